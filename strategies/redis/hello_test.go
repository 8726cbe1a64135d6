package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// hello is the answer of a server to HELLO.
func hello(version, mode, role string) string {
	return fmt.Sprintf("%%4\r\n+version\r\n$%d\r\n%s\r\n+proto\r\n:3\r\n+mode\r\n+%s\r\n+role\r\n+%s\r\n", len(version), version, mode, role)
}

// A server that cannot be used is an error of the start, or where it comes later of every
// operation.
func TestServersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mode, hello, want string
	}{
		"Redis 6":                    {redis.Standalone, hello("6.2.16", "standalone", "master"), "needs Redis 7.0 or newer, this is 6.2.16"},
		"a replica, Redis 6":         {redis.Standalone, hello("6.2.16", "standalone", "replica"), "needs Redis 7.0 or newer, this is 6.2.16"},
		"Redis 6, cluster":           {redis.Cluster, hello("6.2.16", "cluster", "master"), "needs Redis 7.0 or newer, this is 6.2.16"},
		"no HELLO":                   {redis.Standalone, "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n", "needs Redis 7.0 or newer"},
		"a cluster":                  {redis.Standalone, hello("7.2.4", "cluster", "master"), "mode is standalone, and the server at one of the addresses is a node of a cluster"},
		"a sentinel":                 {redis.Standalone, hello("7.2.4", "sentinel", ""), "mode is standalone, and the server at one of the addresses is a sentinel"},
		"no cluster":                 {redis.Cluster, hello("7.2.4", "standalone", "master"), "mode is cluster, and the server at one of the addresses is neither a node of a cluster"},
		"no sentinel":                {redis.Sentinel, hello("7.2.4", "standalone", "master"), "mode is sentinel, and the server at one of the addresses is neither a node of a cluster nor a sentinel"},
		"a cluster, and no sentinel": {redis.Sentinel, hello("7.2.4", "cluster", "master"), "mode is sentinel, and the server at one of the addresses is a node of a cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := redistest.Fake(t, func(args []string) string {
				if strings.EqualFold(args[0], "HELLO") {
					return test.hello
				}
				return "-ERR it is not asked for anything else\r\n"
			})
			check := func(err error) {
				t.Helper()
				var version *redis.VersionError
				var mode *redis.ModeError
				if !errors.As(err, &version) && !errors.As(err, &mode) || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("%v, want %q", err, test.want)
				}
			}
			s := on(redis.Options{Mode: test.mode, Addresses: []string{address}})(t).(*redis.Strategy)
			defer func() { _ = s.Destroy(context.Background()) }() // there is nothing to be closed
			check(s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{})))
			if err := s.Delete(t.Context(), "n:k"); !errors.Is(err, driver.ErrClosed) {
				t.Errorf("Delete after a failed Init: %v", err)
			}

			proxy := redistest.NewProxy(t, address)
			proxy.Refuse()
			later := startLogged(t, redis.Options{Mode: test.mode, Addresses: []string{proxy.Addr()}})
			proxy.Accept()
			until(t, func() error {
				err := later.Delete(t.Context(), "n:k")
				var version *redis.VersionError
				var mode *redis.ModeError
				if errors.As(err, &version) || errors.As(err, &mode) {
					check(err)
					return nil
				}
				return fmt.Errorf("not asked yet: %w", err)
			})
			if _, found, err := later.Get(t.Context(), "n:k"); found || !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("Get: %t, %v", found, err)
			} else {
				check(err)
			}
			if later.log.count("level=ERROR") == 0 || later.log.count(test.want) == 0 {
				t.Error("it is not logged as an error")
			}
		})
	}
}

// Servers that say less, or call themselves something else, are used.
func TestServersThatCanBeUsed(t *testing.T) {
	t.Parallel()
	for name, greeting := range map[string]string{
		"Redis 7":    hello("7.0.0", "standalone", "master"),
		"Valkey":     hello("7.2.4", "standalone", "master"),
		"Redis 10":   hello("10.0.1", "standalone", "master"),
		"no number":  hello("unstable", "standalone", "master"),
		"says less":  "%1\r\n+proto\r\n:3\r\n",
		"in RESP2":   "*6\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n",
		"in modules": "%3\r\n+proto\r\n:3\r\n+version\r\n+7.0.0\r\n+modules\r\n*1\r\n%2\r\n+name\r\n+x\r\n+ver\r\n:1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := redistest.Fake(t, func(args []string) string {
				switch strings.ToUpper(args[0]) {
				case "HELLO":
					return greeting
				case "INFO":
					return "-NOPERM no\r\n"
				case "UNLINK":
					return ":1\r\n"
				case "GET": // the fingerprint
					const agreed = `{"format":3,"lanes":1,"id":"one","settled":true}`
					return fmt.Sprintf("$%d\r\n%s\r\n", len(agreed), agreed)
				}
				return "+OK\r\n"
			})
			proxy := redistest.NewProxy(t, address)
			proxy.Slice(1)
			s := startAt(t, redis.Options{
				Addresses: []string{proxy.Addr()}, ClientName: strings.Repeat("n", 5000), WriteBuffer: driver.KiB,
				DialTimeout: 30 * time.Second, // 5,000 slices take their time on a busy machine
			})
			until(t, func() error { return s.Delete(t.Context(), "n:k") })
		})
	}
}

// A server that says it is a master and refuses to write, as a proxy may: its connections are not
// made anew all the time.
func TestReadOnlyForEver(t *testing.T) {
	t.Parallel()
	const connections = 4
	var used atomic.Int64 // connections on which a write was refused
	address := redistest.FakeEach(t, func() func([]string) string {
		var once sync.Once
		return func(args []string) string {
			switch strings.ToUpper(args[0]) {
			case "HELLO":
				return hello("7.2.4", "standalone", "master")
			case "INFO":
				return "$8\r\nrun_id:a\r\n"
			case "UNLINK":
				once.Do(func() { used.Add(1) })
				return "-READONLY You can't write against a read only replica.\r\n"
			case "MGET":
				return "*1\r\n$1\r\nv\r\n"
			}
			return ":0\r\n"
		}
	})
	s := startAt(t, redis.Options{Addresses: []string{address}, Connections: connections})
	start := time.Now()
	var answer *redis.ServerError
	if err := s.Delete(t.Context(), "n:k"); !errors.As(err, &answer) || answer.Code != "READONLY" {
		t.Fatalf("Delete: %v, want READONLY", err)
	}
	for time.Since(start) < 2500*time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if err := s.Delete(ctx, "n:k"); err == nil {
			t.Fatal("Delete: no error")
		}
		if _, found, err := s.GetHinted(ctx, "n:k", nil); found || err == nil {
			t.Fatalf("a read: %t, %v", found, err)
		}
		cancel()
	}
	// Those of the beginning, and new ones after each time that all were ended. That happens at the
	// first refusal, and then at most once a second.
	n, passed := used.Load(), time.Since(start)
	if purges := 1 + int64(passed/time.Second); n > connections*(1+purges) {
		t.Errorf("%d connections were used in %s", n, passed)
	}
}

// A server that refuses HELLO, here because of the user, is not used. The reply to INFO, which
// follows, must not reach rueidis: it panics in a goroutine of its own.
func TestRefusedHello(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := startAt(t, redis.Options{Addresses: redistest.Start(t).Addrs(), Username: "nobody"})
	var answer *redis.ServerError
	for range 3 {
		if _, found, err := s.Get(t.Context(), "n:k"); found || !errors.Is(err, driver.ErrUnavailable) || !errors.As(err, &answer) {
			t.Errorf("Get: %t, %v", found, err)
		}
	}
}
