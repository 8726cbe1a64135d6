package redistest_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
)

func TestServerAnswers(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	wantReply(t, s, "OK", "SET", "key", []byte("a\r\n\x00b"))
	wantReply(t, s, "a\r\n\x00b", "GET", "key")
	wantReply(t, s, nil, "GET", "missing")
	wantReply(t, s, int64(7), "INCRBY", "number", 7)
	wantReply(t, s, "OK", "DEBUG", "SET-ACTIVE-EXPIRE", 0)
	if got, err := s.Do(t.Context(), "MGET", "number", "missing"); err != nil || len(got.([]any)) != 2 || got.([]any)[0] != "7" {
		t.Errorf("MGET: %v, %v", got, err)
	}
	var refused redistest.ReplyError
	if _, err := s.Do(t.Context(), "LPUSH", "key", 1); !errors.As(err, &refused) || !strings.HasPrefix(refused.Error(), "WRONGTYPE") {
		t.Errorf("LPUSH on a string: %v, want WRONGTYPE", err)
	}
	if got := s.Addrs(); len(got) != 1 || got[0] != s.Addr() {
		t.Errorf("Addrs: %v, want %s alone", got, s.Addr())
	}
	if !strings.Contains(s.Log(), "Ready to accept connections") {
		t.Errorf("Log: %q", s.Log())
	}
}

func TestConnReceives(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	monitor := dial(t, s)
	wantReply(t, monitor, "OK", "MONITOR")
	wantReply(t, s, nil, "GET", "seen")
	for {
		line, err := monitor.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line.(string), `"GET" "seen"`) {
			return
		}
	}
}

func TestConfigWins(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Config("maxmemory 8mb", "maxmemory-policy allkeys-lru", "appendonly yes"))
	for name, want := range map[string]string{"maxmemory": "8388608", "maxmemory-policy": "allkeys-lru", "appendonly": "yes", "save": ""} {
		if got, err := s.Do(t.Context(), "CONFIG", "GET", name); err != nil || got.([]any)[1] != want {
			t.Errorf("%s: %v, %v, want %q", name, got, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(s.Dir(), "appendonlydir")); err != nil {
		t.Error(err)
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Kill()
	if _, err := s.Do(t.Context(), "PING"); !errors.Is(err, syscall.ECONNREFUSED) || s.Running() {
		t.Errorf("PING: %v, running: %v; want connection refused", err, s.Running())
	}
	s.Kill() // once more does nothing
	s.Stop()
	s.Restart()
	wantReply(t, s, "PONG", "PING")
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	conn := dial(t, s)
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if got, err := conn.Do(ctx, "SET", "key", "late"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("SET on a paused server: %v, %v, want a timeout", got, err)
	}
	s.Resume()
	wantReply(t, s, "late", "GET", "key")
	s.Pause()
	s.Stop() // ends a paused one too
	if s.Running() {
		t.Error("it is still running")
	}
	s.Restart()
	s.Pause() // and so does the cleanup
}

func TestRestart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options []redistest.Option
		want    any
	}{
		{name: "with AOF", options: []redistest.Option{redistest.Config("appendonly yes")}, want: "kept"},
		{name: "without", want: nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, test.options...)
			addr, dir, pid := s.Addr(), s.Dir(), s.PID()
			wantReply(t, s, "OK", "SET", "key", "kept")
			s.Kill()
			s.Restart()
			wantReply(t, s, test.want, "GET", "key")
			s.Restart()
			wantReply(t, s, test.want, "GET", "key")
			if s.Addr() != addr || s.Dir() != dir || s.PID() == pid {
				t.Errorf("address %s, folder %s, process %d", s.Addr(), s.Dir(), s.PID())
			}
			if got := strings.Count(s.Log(), "Ready to accept connections"); got != 3 {
				t.Errorf("the log knows %d starts, want 3", got)
			}
		})
	}
}

func TestUsersAndPassword(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password(`pass "word"\`), redistest.User("app", "secret", "~app:*", "+get", "+set"))
	conn := dial(t, s)
	wantRefused := func(code string, args ...any) {
		t.Helper()
		if got, err := conn.Do(t.Context(), args...); err == nil || !strings.HasPrefix(err.Error(), code) {
			t.Errorf("%v: %v, %v, want %s", args, got, err, code)
		}
	}
	wantRefused("NOAUTH", "GET", "app:1")
	wantRefused("WRONGPASS", "AUTH", "app", "wrong")
	wantReply(t, conn, "OK", "AUTH", "app", "secret")
	wantReply(t, conn, "OK", "SET", "app:1", "v")
	wantRefused("NOPERM", "SET", "other:1", "v")
	wantRefused("NOPERM", "DEL", "app:1")
	wantReply(t, conn, "OK", "AUTH", `pass "word"\`)
	wantReply(t, conn, int64(1), "DEL", "app:1")
	// The verbs have an account of their own.
	wantReply(t, s, "OK", "ACL", "SETUSER", "default", "off")
	wantReply(t, s, "PONG", "PING")
}

func TestStartErrorsShowTheLog(t *testing.T) {
	t.Parallel()
	recorder := record(t, func(t testing.TB) { redistest.Start(t, redistest.Config("no-such-directive 1")) })
	if !recorder.failed || !strings.Contains(recorder.text.String(), "Bad directive or wrong number of arguments") {
		t.Errorf("failed: %v, said %q", recorder.failed, recorder.text.String())
	}
}

func TestFailuresShowTheLog(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{true, false} {
		recorder := record(t, func(t testing.TB) {
			redistest.Start(t)
			if fails {
				t.Fatalf("for some reason")
			}
		})
		if got := strings.Contains(recorder.text.String(), "Ready to accept connections"); got != fails {
			t.Errorf("failed: %v, said %q", fails, recorder.text.String())
		}
	}
}

func TestPortsAreApart(t *testing.T) {
	t.Parallel()
	a, b := redistest.Start(t), redistest.Start(t)
	_, portA, err := net.SplitHostPort(a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if a.Addr() == b.Addr() || a.Dir() == b.Dir() || portA >= "32768" {
		t.Errorf("%s in %s, %s in %s", a.Addr(), a.Dir(), b.Addr(), b.Dir())
	}
}
