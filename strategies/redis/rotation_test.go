package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// configured starts a strategy from the lines of its section in YAML.
func configured(t testing.TB, section ...string) *started {
	t.Helper()
	s, err := initialise(t, section...)
	s.must(err)
	return s
}

// initialise is configured, but returns the error of Init.
func initialise(t testing.TB, section ...string) (*started, error) {
	t.Helper()
	s := &started{TB: t, log: &lines{}}
	source, err := config.Load(config.YAML(strings.Join(section, "\n")))
	s.must(err)
	strategy, err := redis.Factory().New(source.At(""))
	s.must(err)
	s.Strategy = strategy.(*redis.Strategy)
	t.Cleanup(func() { s.must(s.Destroy(context.Background())) })
	logger := slog.New(slog.NewTextHandler(s.log, nil))
	return s, s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: 2 * time.Second, Logger: logger}))
}

// write replaces a file at once, as a kubelet does.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// works waits until new connections are made and can be used.
func (s *started) works(what string) {
	s.Helper()
	until(s.TB, func() error {
		err := s.Set(s.Context(), "n:k", []byte("v"), newOptions)
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return err
	})
}

// kill ends the connections of a server's clients, but for the one that asks.
func kill(t testing.TB, server *redistest.Server) {
	t.Helper()
	if _, err := server.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"); err != nil {
		t.Fatal(err)
	}
}

// A password that is replaced, in Redis and in its file, is used by the next connection. A file
// that cannot be used leaves the last one in force, and is reported once each time.
func TestPasswordRotates(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, test := range map[string]struct {
		key    string
		text   string // of the file, for a password
		change func(password string) []any
	}{
		"requirepass": {"password_file", "%s\n", func(p string) []any { return []any{"CONFIG", "SET", "requirepass", p} }},
		"ACL user": {"username: app\npassword_file", "%s", func(p string) []any {
			return []any{"ACL", "SETUSER", "app", "reset", "on", ">" + p, "~*", "&*", "+@all"}
		}},
		"url": {"url_file", "redis://app:%s@ADDRESS", func(p string) []any {
			return []any{"ACL", "SETUSER", "app", "reset", "on", ">" + p, "~*", "&*", "+@all"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			path := filepath.Join(t.TempDir(), "secret")
			rotate := func(password string) {
				t.Helper()
				if _, err := server.Do(t.Context(), test.change(password)...); err != nil {
					t.Fatal(err)
				}
			}
			put := func(password string) {
				write(t, path, strings.ReplaceAll(fmt.Sprintf(test.text, password), "ADDRESS", server.Addr()))
			}
			rotate("first")
			put("first")
			section := []string{test.key + ": " + path}
			if test.key != "url_file" {
				section = append(section, fmt.Sprintf("addresses: [%q]", server.Addr()))
			}
			s := configured(t, section...)
			s.works("first")

			rotate("second")
			put("second")
			kill(t, server)
			s.works("second")

			for range 2 { // a file that is lost, then one that is empty, then another password
				for _, broken := range []func(){func() { s.must(os.Remove(path)) }, func() { write(t, path, "") }} {
					broken()
					kill(t, server)
					s.works("without a file")
				}
				rotate("third")
				put("third")
				kill(t, server)
				s.works("third")
			}
			if n := s.log.count("a file cannot be used"); n != 2 {
				t.Errorf("it is reported %d times that the file cannot be used, want once for each of 2 times", n)
			}
			for _, secret := range []string{"first", "second", "third", path} {
				if s.log.count(secret) > 0 {
					t.Errorf("the log has %q", secret)
				}
			}
		})
	}
}

// The password of the sentinels is read again too.
func TestSentinelPasswordRotates(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	sentinels := redistest.StartSentinel(t, 1, 1)
	path := filepath.Join(t.TempDir(), "secret")
	rotate := func(password string) {
		t.Helper()
		for _, sentinel := range sentinels.Sentinels {
			if _, err := sentinel.Do(t.Context(), "ACL", "SETUSER", "watcher", "reset", "on", ">"+password, "&*", "+@all"); err != nil {
				t.Fatal(err)
			}
		}
		write(t, path, password)
	}
	rotate("first")
	proxy := redistest.NewProxy(t, sentinels.Sentinels[0].Addr())
	s := configured(t, "mode: sentinel", fmt.Sprintf("addresses: [%q]", proxy.Addr()),
		"sentinel_username: watcher", "sentinel_password_file: "+path)
	s.works("first")
	before := proxy.Accepted()
	rotate("second")
	proxy.Cut()
	until(t, func() error { // rueidis asks the sentinels again
		clients, err := sentinels.Sentinels[0].Do(t.Context(), "CLIENT", "LIST")
		if err == nil && (proxy.Accepted() == before || !strings.Contains(fmt.Sprint(clients), "user=watcher")) {
			err = fmt.Errorf("no new connection: %v", clients)
		}
		return err
	})
	if s.log.count("WRONGPASS") > 0 {
		t.Error("the old password was used")
	}
}

// Certificates and the authority are replaced: new connections use the new ones. Half a set of
// files changes nothing.
func TestCertificatesRotate(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t, redistest.TLS())
	files := server.TLSFiles()
	s := configured(t, fmt.Sprintf("addresses: [%q]", server.Addr()),
		fmt.Sprintf("tls: {ca: %q, cert: %q, key: %q}", files.CA, files.Cert, files.Key))
	s.works("first")
	key, err := os.ReadFile(files.Key)
	s.must(err)
	write(t, files.Key, "-----BEGIN PRIVATE KEY-----\nbm9uZQ==\n-----END PRIVATE KEY-----\n")
	kill(t, server)
	s.works("with a broken key")
	write(t, files.Key, string(key))
	for range 2 {
		server.Recertify()
		kill(t, server)
		s.works("new certificates")
	}
	if n := s.log.count("a file cannot be used"); n != 1 {
		t.Errorf("it is reported %d times that a file cannot be used, want 1", n)
	}
	if s.log.count("bm9uZQ") > 0 {
		t.Error("the log has a key")
	}
}
