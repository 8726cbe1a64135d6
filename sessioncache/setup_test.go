package sessioncache_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/dig"
	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a Default on bigcache. A test can watch the storage and move the clock.
type fixture struct {
	*sessioncache.Default
	service  *cache.Service
	clock    *drivertest.Clock
	recorder *drivertest.Recorder
	storage  driver.Strategy
	log      *bytes.Buffer // read it only after everything has stopped
}

func newFixture(t testing.TB, options sessioncache.Options) *fixture {
	t.Helper()
	return newFixtureOn(t, newBigcache(t), options)
}

func newFixtureOn(t testing.TB, storage driver.Strategy, options sessioncache.Options) *fixture {
	t.Helper()
	f := &fixture{clock: drivertest.NewClock(time.Unix(1_800_000_000, 0)), log: &bytes.Buffer{}}
	f.storage, f.recorder = drivertest.Record(storage)
	var timeout time.Duration // the default, in a bubble of synctest, where the year is 2000
	if time.Now().Year() > 2000 {
		timeout = 5 * time.Second // a busy machine may take longer than the default
	}
	var err error
	f.service, err = cache.NewService(f.storage, cache.Options{
		Clock: f.clock, Timeout: timeout, Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	check(t, err)
	check(t, f.service.Start(t.Context(), nil))
	t.Cleanup(func() { check(t, f.service.Stop(context.Background())) })
	f.Default, err = sessioncache.New(options)
	check(t, err)
	check(t, f.Init(t.Context(), injector(t, f.service)))
	return f
}

// session returns a session that lasts for d.
func (f *fixture) session(token string, d time.Duration) *sessioncache.CachedSession {
	return &sessioncache.CachedSession{ID: "1", Token: cache.NewSecret(token), Expires: f.clock.Now().Add(d),
		User: &sessioncache.User{ID: "42", Identifier: "alice@example.com"}}
}

// found reports whether the cache itself has the session.
func (f *fixture) found(t testing.TB, token string) bool {
	t.Helper()
	_, found, err := f.Get(t.Context(), token)
	check(t, err)
	return found
}

// returns returns a load that returns session.
func returns(session *sessioncache.CachedSession) sessioncache.Load {
	return func(context.Context) (*sessioncache.CachedSession, error) { return session.Clone(), nil }
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// injector returns the container of service, as the module passes it to Init.
func injector(t testing.TB, service *cache.Service) driver.Injector {
	t.Helper()
	container := dig.New()
	check(t, service.ProvideTo(container))
	return container
}
