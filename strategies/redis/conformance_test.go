package redis_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/cachetest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/sessioncache/sessiontest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// rueidis closes a connection that the topology no longer needs five seconds later, and looks at a
// topology that was redirected from up to a second later, each in a goroutine that sleeps until then,
// also after Close.
func TestMain(m *testing.M) {
	if address := os.Getenv(fleetVariable); address != "" {
		if err := member(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
	)
}

// on returns strategies with those options.
func on(options redis.Options) func(testing.TB) cache.Strategy {
	return func(t testing.TB) cache.Strategy {
		t.Helper()
		strategy, err := redis.New(options)
		if err != nil {
			t.Fatal(err)
		}
		return strategy
	}
}

// conforms runs both suites, unchanged.
func conforms(t *testing.T, options redis.Options) {
	t.Run("cache", func(t *testing.T) {
		cachetest.Run(t, on(options), cachetest.WallClock(), cachetest.NoEviction(), cachetest.Container(cache.Options{MaxValueBytes: cache.MiB}))
	})
	t.Run("sessions", func(t *testing.T) { sessiontest.Run(t, sessiontest.OnStorage(on(options))) })
}

func TestStandalone(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	conforms(t, redis.Options{Addresses: []string{redistest.Start(t).Addr()}})
}

// Several lanes on one server: what a cluster does to the scripts, without one.
func TestLanes(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	conforms(t, redis.Options{Addresses: []string{redistest.Start(t).Addr()}, Lanes: 8})
}

// The ACL rule of docs/redis.md is enough for both suites.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t, leastPrivilege(t))
	conforms(t, redis.Options{Addresses: []string{server.Addr()}, Username: "shop", Password: cache.NewSecret("password")})
}

// leastPrivilege makes the user shop, with the rule of docs/redis.md.
func leastPrivilege(t *testing.T) redistest.Option {
	t.Helper()
	document, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`ACL SETUSER shop on >password (.*)`).FindStringSubmatch(string(document))
	if rule == nil {
		t.Fatal("docs/redis.md has no ACL rule")
	}
	// The tests choose namespaces of their own; the rule is for one.
	return redistest.User("shop", "password", strings.NewReplacer("~shop:*", "~*", "&shop:*", "&*").Replace(rule[1]))
}

func TestTLS(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t, redistest.TLS())
	files := server.TLSFiles()
	options := redis.Options{Addresses: []string{server.Addr()}, TLS: redis.TLS{CA: files.CA, Cert: files.Cert, Key: files.Key, MinVersion: "1.3"}}
	sessiontest.Run(t, sessiontest.OnStorage(on(options)))
}
