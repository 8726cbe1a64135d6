package fxcache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/internal/redistest"
)

// names returns the names of the keys on a Redis.
func names(t *testing.T, server *redistest.Server) []string {
	t.Helper()
	reply, err := server.Do(t.Context(), "KEYS", "*")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, key := range reply.([]any) {
		all = append(all, fmt.Sprint(key))
	}
	return all
}

// having counts the names that contain text.
func having(names []string, text string) (n int) {
	for _, name := range names {
		if strings.Contains(name, text) {
			n++
		}
	}
	return n
}

// sessionsOn is a configuration with the sessions on a Redis, and all else in the process.
func sessionsOn(server *redistest.Server, more string) string {
	return fmt.Sprintf(`
cache:
  stores:
    sessions: {strategy: redis, namespace: shop, timeout: 2s, redis: {addresses: [%q]%s}}
session_cache: {store: sessions}
`, server.Addr(), more)
}

// Sessions are on Redis, and products are not.
func TestSessionsOnRedisAndProductsInMemory(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	app := fxtest.New(t, fxtest.Config(sessionsOn(server, "")))
	products := caches(t, app.Cache, "product", cache.Policy[int]{})
	logIn(t, app.Sessions, "token")
	if err := products.Set(t.Context(), "1", 1); err != nil {
		t.Fatal(err)
	}
	if on := names(t, server); having(on, "session") == 0 || having(on, "product") > 0 {
		t.Errorf("on Redis there are %q", on)
	}
	if keys, _ := inStore(app.Store("default")); keys != 1 || !loggedIn(t, app.Sessions, "token") {
		t.Errorf("%d calls of bigcache, want 1", keys)
	}
	stores := app.Cache.Stores()
	if stores[0].Stats.Sets != 1 || stores[1].Stats.Filled != 1 || stores[1].Stats.Hits != 1 || stores[0].Stats.Hits != 0 {
		t.Errorf("the counts are %+v", stores)
	}
}

// A store that is down degrades what is placed there, and nothing else: the other one serves hits
// and stores, and waits for nothing.
func TestOneStoreIsDown(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	down, up := redistest.Start(t), redistest.Start(t)
	app := fxtest.New(t, fxtest.Config(fmt.Sprintf(`
cache:
  strategy: redis
  namespace: shop
  redis: {addresses: [%q]}
  stores: {sessions: {strategy: redis, timeout: 1s, redis: {addresses: [%q]}}}
session_cache: {store: sessions}
`, up.Addr(), down.Addr())))
	products := caches(t, app.Cache, "product", cache.Policy[int]{Tags: []string{"all"}})
	logIn(t, app.Sessions, "token")
	offers := caches(t, app.Cache, "offer", cache.Policy[int]{Tags: []string{"other"}})
	if err := errors.Join(products.Set(t.Context(), "1", 1), offers.Set(t.Context(), "1", 1)); err != nil {
		t.Fatal(err)
	}
	down.Kill()
	before := time.Now()
	err := app.Cache.InvalidateTags(t.Context(), "other")
	var failed *cache.Error
	var pending *cache.PendingError
	if !errors.As(err, &failed) || failed.Store != "sessions" || failed.Strategy != "redis" || !errors.As(err, &pending) || pending.Until.Before(before) {
		t.Errorf("InvalidateTags = %v", err)
	}
	if _, found, err := offers.Get(t.Context(), "1"); found || err != nil {
		t.Errorf("the store that is up was not told: %t, %v", found, err)
	}
	for range 30 {
		if _, _, err := app.Sessions.Get(t.Context(), "token"); !errors.As(err, &failed) || failed.Store != "sessions" {
			t.Fatalf("a session that may have been revoked: %v", err)
		}
		if v, found, err := products.Get(t.Context(), "1"); v != 1 || !found || err != nil {
			t.Fatalf("a product in the store that is up: %v, %t, %v", v, found, err)
		}
	}
	if err := errors.Join(products.Set(t.Context(), "2", 2), products.Delete(t.Context(), "1")); err != nil {
		t.Errorf("the store that is up: %v", err)
	}
	stores := app.Cache.Stores()
	if s := stores[0].Stats; s.Errors+s.ShortCircuited+s.PendingRevocations+s.DeleteErrors > 0 || s.Hits != 30 {
		t.Errorf("the store that is up: %+v", s)
	}
	if s := stores[1].Stats; s.Errors != 30 || s.PendingRevocations != 1 || s.DeleteErrors != 1 {
		t.Errorf("the store that is down: %+v", s)
	}
	health := app.Cache.Health(t.Context())
	if health.Status != cache.Degraded || len(health.Reasons) == 0 || slices.ContainsFunc(health.Reasons, func(r string) bool { return !strings.HasPrefix(r, "store sessions: ") }) {
		t.Errorf("health is %+v", health)
	}
	down.Restart()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for app.Cache.Stats().PendingRevocations > 0 && ctx.Err() == nil {
		_, _, _ = app.Sessions.Get(ctx, "token") // a reader tries
	}
	if h := app.Cache.Health(t.Context()); slices.ContainsFunc(h.Reasons, func(r string) bool { return strings.Contains(r, "pending") }) {
		t.Errorf("health is %+v", h)
	}
}

// Two stores with one namespace on one Redis would read each other's entries. It is an error,
// even if only Init can tell that it is one Redis. With two namespaces or two servers all is well.
func TestOneNamespaceOnOneRedis(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	one, other := redistest.Start(t), redistest.Start(t)
	_, port, _ := strings.Cut(one.Addr(), ":")
	for name, test := range map[string]struct {
		address, namespace, more string
		refused                  string // when
	}{
		"the same address":             {one.Addr(), "shop", "", "build"},
		"another name of the server":   {"localhost:" + port, "shop", "", "start"},
		"another namespace":            {one.Addr(), "login", "", ""},
		"another name and namespace":   {"localhost:" + port, "login", "", ""},
		"another server":               {other.Addr(), "shop", "", ""},
		"another database of a server": {one.Addr(), "shop", ", db: 3", ""},
	} {
		t.Run(name, func(t *testing.T) {
			app := newApp(fxtest.Config(fmt.Sprintf(`
cache:
  strategy: redis
  namespace: shop
  timeout: 5s
  redis: {addresses: [%q], require: true}
  stores: {sessions: {strategy: redis, namespace: %s, redis: {addresses: [%q], require: true%s}}}
`, one.Addr(), test.namespace, test.address, test.more)))
			when, err := "build", app.Err()
			if err == nil {
				when, err = "start", app.Start(t.Context())
			}
			if test.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				stop(t, app)
				return
			}
			var invalid *config.Error
			if !errors.As(err, &invalid) || when != test.refused || len(invalid.Problems) != 1 || invalid.Problems[0].Path != "cache.stores.sessions.namespace" ||
				!strings.Contains(invalid.Problems[0].Message, `that of the store "default"`) {
				t.Errorf("%s = %v", when, err)
			}
			connections(t, one, 0)
		})
	}
}

// connections waits until a server has that many connections, other than that of who asks.
func connections(t *testing.T, server *redistest.Server, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		reply, err := server.Do(ctx, "CLIENT", "LIST")
		if err != nil {
			t.Fatalf("there are more than %d connections: %v", want, err)
		}
		if strings.Count(fmt.Sprint(reply), "addr=")/2 == want+1 { // addr and laddr
			return
		}
	}
}

// If the second store does not start, the connections of the first one are closed, and the
// application may try again.
func TestSecondStoreDoesNotStart(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server, second := redistest.Start(t), redistest.Start(t, redistest.Password("other"))
	app := newApp(fxtest.Config(fmt.Sprintf(`
cache:
  strategy: redis
  namespace: shop
  timeout: 5s
  redis: {addresses: [%q], require: true}
  stores: {sessions: {strategy: redis, redis: {addresses: [%q], require: true}}}
`, server.Addr(), second.Addr())))
	err := app.Start(t.Context())
	var failed *cache.Error
	if !errors.As(err, &failed) || failed.Op != "start" || failed.Store != "sessions" || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("Start = %v", err)
	}
	connections(t, server, 0)
	if _, err := second.Do(t.Context(), "CONFIG", "SET", "requirepass", ""); err != nil {
		t.Fatal(err)
	}
	start(t, app)
	stop(t, app)
	connections(t, server, 0)
}

// ledger is an Outbox in memory that outlives the processes of a test.
type ledger struct {
	mu   sync.Mutex
	rows map[cache.Revocation]bool
}

func (l *ledger) Add(_ context.Context, pending []cache.Revocation) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, row := range pending {
		l.rows[row] = true
	}
	return nil
}

func (l *ledger) Remove(_ context.Context, applied []cache.Revocation) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.rows, func(row cache.Revocation, _ bool) bool { return slices.Contains(applied, row) })
	return nil
}

func (l *ledger) Pending(context.Context) ([]cache.Revocation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.rows)), nil
}

// storages returns what the rows say about their storages, without the ids.
func (l *ledger) storages() []string {
	rows, _ := l.Pending(context.Background())
	var all []string
	for _, row := range rows {
		all = append(all, row.Storage[:strings.LastIndex(row.Storage, "/")+1]+":"+row.Key+row.Tag)
	}
	slices.Sort(all)
	return all
}

// A log-out is pending for the one store that is down, also beyond the end of the process. The row
// names the store, and no other store settles it. It is applied before the session is served.
func TestOutboxOfSeveralStores(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	first, second := redistest.Start(t), redistest.Start(t)
	outbox := &ledger{rows: map[cache.Revocation]bool{}}
	text := fmt.Sprintf(`
cache:
  strategy: redis
  namespace: shop
  timeout: 2s
  redis: {addresses: [%q]}
  stores: {sessions: {strategy: redis, redis: {addresses: [%q]}}}
  caches: {there: {store: sessions}}
session_cache: {store: sessions}
`, first.Addr(), second.Addr())
	old := cache.Policy[int]{Tags: []string{"old"}}
	log := &logged{}
	life := func(text string, live func(*fxtest.App)) (stopped error) {
		app := &fxtest.App{}
		application := newApp(fxtest.Config(text), fx.Provide(func() cache.Outbox { return outbox }),
			fx.Supply(slog.New(slog.NewTextHandler(log, nil))), fx.Populate(&app.Cache, &app.Sessions))
		start(t, application)
		live(app)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		return application.Stop(ctx)
	}
	err := life(text, func(app *fxtest.App) {
		logIn(t, app.Sessions, "token")
		for _, name := range []string{"here", "there"} {
			if err := caches(t, app.Cache, name, old).Set(t.Context(), "k", 1); err != nil {
				t.Error(err)
			}
		}
		second.Pause()
		if err := app.Cache.InvalidateTags(t.Context(), "session:user:bob", "all"); !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("InvalidateTags = %v", err)
		}
		if err := app.Sessions.Delete(t.Context(), "token"); !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("Delete = %v", err)
		}
	})
	if !errors.Is(err, cache.ErrRevocationPending) {
		t.Errorf("Stop = %v", err)
	}
	second.Resume()
	rows := outbox.storages()
	if len(rows) != 3 || slices.ContainsFunc(rows, func(row string) bool { return !strings.HasPrefix(row, "sessions@redis/shop/:") }) {
		t.Fatalf("the outbox has %q", rows)
	}
	// Without the store the rows stay, and are warned about.
	if err := life(fmt.Sprintf("cache: {strategy: redis, namespace: shop, timeout: 2s, redis: {addresses: [%q]}}", first.Addr()), func(app *fxtest.App) {
		if err := app.Cache.InvalidateTags(t.Context(), "all"); err != nil {
			t.Error(err)
		}
	}); err != nil || !slices.Equal(outbox.storages(), rows) || !strings.Contains(log.String(), "the outbox has revocations for another storage") {
		t.Errorf("%v; the outbox has %q, want %q; the log has\n%s", err, outbox.storages(), rows, log)
	}
	outbox.rows[cache.Revocation{Tag: "old"}] = true // of a release without stores: of the default store
	if err := life(text, func(app *fxtest.App) {
		if loggedIn(t, app.Sessions, "token") {
			t.Error("a session is served after its log-out")
		}
		for name, want := range map[string]bool{"here": false, "there": true} {
			if _, found, err := caches(t, app.Cache, name, old).Get(t.Context(), "k"); found != want || err != nil {
				t.Errorf("the old row and the store %s: %t, %v", name, found, err)
			}
		}
	}); err != nil || len(outbox.rows) != 0 {
		t.Errorf("%v; the outbox still has %v", err, outbox.rows)
	}
}
