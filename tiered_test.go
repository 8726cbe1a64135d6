package fxcache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies/redis"
	"github.com/fxcache/fxcache/strategies/tiered"
)

// onTiered is a configuration with copies in the process.
func onTiered(server *redistest.Server, more string) fx.Option {
	return fxtest.Config(fmt.Sprintf(`
cache: {strategy: tiered, namespace: shop, timeout: 5s, tiered: {lag: 500ms}, redis: {addresses: [%q], lanes: 2, require: true}%s}
`, server.Addr(), more))
}

// publishLag makes the namespace "shop" one in which all nodes have known of copies for long.
func publishLag(t *testing.T, server *redistest.Server) {
	t.Helper()
	ms := redis.MaxLag.Milliseconds()
	text := fmt.Sprintf(`{"format":3,"lanes":2,"id":"7465737473","settled":true,"lag_ms":%d,"usable_ms":%d}`, ms, ms)
	if _, err := server.Do(t.Context(), "SET", "shop:f:{0}:", text); err != nil {
		t.Fatal(err)
	}
}

// node is an application with copies in the process.
type node struct {
	service  *cache.Service
	sessions sessioncache.Sessions
	strategy *tiered.Strategy
}

func tieredNode(t *testing.T, server *redistest.Server, more string) *node {
	t.Helper()
	n := &node{}
	app := newApp(onTiered(server, more), fx.Populate(&n.service, &n.sessions), fxcache.Wrap(func(s driver.Strategy) driver.Strategy {
		n.strategy = s.(*tiered.Strategy)
		return s
	}))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// await repeats condition until it is true.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("does not happen: %s", what)
		}
	}
}

// A session that was ended on one node is not served by another one, which had a copy of it, when
// the log-out has returned.
func TestSessionsOnTiered(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	publishLag(t, server)
	here, there := tieredNode(t, server, ""), tieredNode(t, server, "")
	copies := there.strategy
	for i := range 10 {
		token := fmt.Sprint("token", i)
		logIn(t, here.sessions, token)
		before := copies.Stats().Hits
		await(t, "a copy", func() bool {
			if !loggedIn(t, there.sessions, token) {
				t.Fatal("not logged in on the other node")
			}
			return copies.Stats().Hits > before
		})
		if err := here.sessions.Delete(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if loggedIn(t, there.sessions, token) {
			t.Fatal("a session is served after Delete returned nil")
		}
	}
}

// The operator says for each cache whether it is copied.
func TestCachesWithoutCopies(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	publishLag(t, server)
	n := tieredNode(t, server, ", caches: {report: {l1: off}}")
	products, reports := caches(t, n.service, "product", cache.Policy[int]{}), caches(t, n.service, "report", cache.Policy[int]{})
	if err := errors.Join(products.Set(t.Context(), "1", 1), reports.Set(t.Context(), "1", 1)); err != nil {
		t.Fatal(err)
	}
	read := func(c *cache.Cache[int]) (copied bool) {
		before := n.strategy.Stats().Hits
		if v, found, err := c.Get(t.Context(), "1"); v != 1 || !found || err != nil {
			t.Fatalf("Get = %v, %t, %v", v, found, err)
		}
		return n.strategy.Stats().Hits > before
	}
	await(t, "a copy", func() bool { return read(products) })
	for range 100 {
		if read(reports) {
			t.Fatal("a copy of a cache without copies was served")
		}
	}
}

// fxtest works on it: what is planned for a Get also holds for an entry with a copy.
func TestFxtestOnTiered(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	publishLag(t, server)
	app := fxtest.New(t, onTiered(server, ", caches: {session: {l1_ttl: 10s}}"))
	logIn(t, app.Sessions, "token")
	for range 100 {
		if !loggedIn(t, app.Sessions, "token") {
			t.Fatal("not logged in")
		}
	}
	if n := app.Store("default").Count(fxtest.OpGet); n < 100 {
		t.Errorf("%d reads were recorded", n)
	}
	app.Store("default").FailNext(fxtest.OpGet, 1, cache.ErrUnavailable)
	if _, _, err := app.Sessions.Get(t.Context(), "token"); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("Get = %v", err)
	}
}

// A mistake in any of the sections that tiered is made of is an error with its path, and so is what
// only Init can tell.
func TestMistakesInTiered(t *testing.T) {
	t.Parallel()
	for text, path := range map[string]string{
		"tiered: {lag: 1s}":                               "cache.tiered.lag",
		"tiered: {lag: 25}":                               "cache.tiered.lag",
		"tiered: {l1_ttl: 0s}":                            "cache.tiered.l1_ttl",
		"tiered: {coherence: strong}":                     "cache.tiered.coherence",
		"tiered: {max_size: 64MiB}":                       "cache.tiered.max_size",
		"redis: {lanes: 0}":                               "cache.redis.lanes",
		"bigcache: {max_siz: 64MiB}":                      "cache.bigcache.max_siz",
		"caches: {product: {l1_ttl: 0s}}":                 "cache.caches.product.l1_ttl",
		"caches: {product: {l1_ttl: 30}}":                 "cache.caches.product.l1_ttl",
		"caches: {product: {l1: maybe}}":                  "cache.caches.product.l1",
		"stores: {s: {strategy: tiered, redis: {db: x}}}": "cache.stores.s.redis.db",
	} {
		err := newApp(fxtest.Config("cache: {strategy: tiered, namespace: shop, " + text + "}")).Err()
		var invalid *config.Error
		if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Path != path {
			t.Errorf("%s: %v, want one problem with %s", text, err, path)
		}
	}
	for text, path := range map[string]string{
		"cache: {caches: {session: {l1: off}}}\nsession_cache: {l1: on}":        "session_cache.l1",
		"cache: {caches: {session: {l1_ttl: 1s}}}\nsession_cache: {l1_ttl: 2s}": "session_cache.l1_ttl",
		"session_cache: {l1_ttl: -1s}":                                          "session_cache.l1_ttl",
	} {
		err := newApp(fxtest.Config(text)).Err()
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want a problem with %s", text, err, path)
		}
	}
}

// An option of the redis tier that does not fit the other nodes is reported as one of its section.
func TestTieredAmongOtherNodes(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	publishLag(t, server)
	app := newApp(fxtest.Config(fmt.Sprintf("cache: {strategy: tiered, namespace: shop, redis: {addresses: [%q], lanes: 4}}", server.Addr())))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := app.Start(ctx)
	var invalid *config.Error
	if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Path != "cache.redis.lanes" {
		t.Errorf("Start = %v", err)
	}
}
