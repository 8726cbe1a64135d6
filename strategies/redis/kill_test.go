package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// startKilled returns a strategy, and a connection of an administrator, who is not killed by
// himself.
func startKilled(t *testing.T) (s *started, send func(args ...any) any) {
	t.Helper()
	server := redistest.Start(t)
	s = start(t, server, redis.Options{})
	admin, err := server.Dial(t.Context())
	s.must(err)
	t.Cleanup(func() { s.must(admin.Close()) })
	return s, func(args ...any) any {
		reply, err := admin.Do(t.Context(), args...)
		s.must(err)
		return reply
	}
}

// CLIENT KILL ends the strategy's connections while it revokes. A revocation that returned nil was
// applied, any other one says ErrUnavailable, and the next but few work again.
func TestKilledConnections(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s, send := startKilled(t)
	const rounds = 200
	for name, test := range map[string]struct {
		key    string
		revoke func() error
	}{
		"Delete":         {"n:v:{0}:k", func() error { return s.Delete(t.Context(), "n:k") }},
		"InvalidateTags": {"n:t:{0}:k", func() error { return s.InvalidateTags(t.Context(), "n:k") }},
	} {
		applied, failed, longest := 0, 0, time.Duration(0)
		for range rounds {
			send("SET", test.key, "x")
			result := make(chan error, 1)
			go func() { result <- test.revoke() }()
			send("CLIENT", "KILL", "USER", "default")
			switch err := <-result; {
			case err == nil:
				applied++
				if send("EXISTS", test.key) != int64(0) {
					t.Errorf("%s returned nil and was not applied", name)
				}
			case errors.Is(err, driver.ErrUnavailable):
				failed++
			default:
				t.Errorf("%s: %v, want ErrUnavailable", name, err)
			}
			longest = max(longest, until(t, test.revoke))
			if send("EXISTS", test.key) != int64(0) {
				t.Errorf("%s, repeated, returned nil and was not applied", name)
			}
		}
		t.Logf("%s: %d were applied, %d failed; working again after %v at the latest", name, applied, failed, longest)
		if failed == 0 {
			t.Errorf("%s never met a killed connection: the test proves nothing", name)
		}
		if longest > 5*time.Second {
			t.Errorf("%s works again only after %v", name, longest)
		}
	}
}

// The same for reads and writes: what a read returns is what was stored, a write that returned nil
// is there.
func TestKilledConnectionsOfReadersAndWriters(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s, send := startKilled(t)
	failed := map[string]int{}
	killed := func(name string, call func() error) error {
		result := make(chan error, 1)
		go func() { result <- call() }()
		send("CLIENT", "KILL", "USER", "default")
		err := <-result
		if err != nil {
			failed[name]++
			if !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("%s: %v, want ErrUnavailable", name, err)
			}
		}
		return err
	}
	for round := range 200 {
		want := fmt.Sprint("value ", round)
		set := func() error {
			return s.Set(t.Context(), "n:k", []byte(want), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t"}})
		}
		get := func() error {
			value, found, err := s.Get(t.Context(), "n:k")
			if err == nil && (!found || string(value) != want) {
				t.Errorf("round %d: %q, %t, want %q", round, value, found, want)
			}
			return err
		}
		if killed("Set", set) != nil {
			until(t, set)
		}
		until(t, get)
		_ = killed("Get", get) // it has checked what came of it
	}
	t.Logf("failed: %v", failed)
	if failed["Set"] == 0 || failed["Get"] == 0 {
		t.Errorf("failed: %v: not all have met a killed connection, and the test proves nothing", failed)
	}
}

// A script that has written and does not end cannot be killed, only the server can.
func TestUnkillableScript(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	s.set("n:k", time.Hour, "n:t")
	s.direct("CONFIG", "SET", "busy-reply-threshold", 10)
	ended := s.meanwhile("EVAL", "redis.call('SET', KEYS[1], 'x') while true do end", 1, "n:unused")
	s.answering("BUSY")
	if _, err := s.server.Do(t.Context(), "SCRIPT", "KILL"); err == nil || !strings.HasPrefix(err.Error(), "UNKILLABLE") {
		t.Errorf("SCRIPT KILL: %v, want UNKILLABLE", err)
	}
	for name, err := range map[string]error{
		"Delete": s.Delete(t.Context(), "n:k"), "InvalidateTags": s.InvalidateTags(t.Context(), "n:t"),
		"Set": s.Set(t.Context(), "n:k", nil, newOptions),
	} {
		var answer *redis.ServerError
		if !errors.As(err, &answer) || answer.Code != "BUSY" || !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("%s: %v, want BUSY", name, err)
		}
	}
	s.server.Kill()
	<-ended
	if err := s.Delete(t.Context(), "n:k"); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Delete without a server: %v", err)
	}
	s.server.Restart()
	until(t, func() error { return s.Set(t.Context(), "n:k", []byte("value of n:k"), newOptions) })
	if !s.found("n:k") {
		t.Error("what was set is not found")
	}
}

// connections is an error unless want connections have that name.
func connections(s *started, name string, want int) error {
	if n := strings.Count(s.direct("CLIENT", "LIST").(string), " name="+name+" "); n != want {
		return fmt.Errorf("%d connections, want %d", n, want)
	}
	return nil
}

// However many callers there are, there are as many connections as the option says.
func TestConnections(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for _, want := range []int{1, 2, 8} {
		s := start(t, redistest.Start(t), redis.Options{Connections: want, ClientName: "counted"})
		until(t, func() error {
			s.found("n:none")
			return connections(s, "counted", want)
		})
		for range 100 {
			s.found("n:none")
		}
		s.must(connections(s, "counted", want))
	}
}
