package fxcache_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"
	"go.uber.org/goleak"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/sessioncache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func both(j *journal) (*storage, *tickets, fx.Option) {
	s, k := &storage{journal: j}, &tickets{journal: j}
	return s, k, fx.Options(s.register(), k.register(),
		fxcache.ConfigFile("testdata/tickets.yaml"))
}

// V23: the cache strategy starts first, then the session strategy. They stop in reverse order.
// After a stop, both can start again.
func TestOrder(t *testing.T) {
	t.Parallel()
	j := &journal{}
	_, k, options := both(j)
	k.init = func(ctx context.Context, in driver.Injector) error {
		service, err := driver.Resolve[*cache.Service](in)
		if err != nil {
			return err
		}
		return service.Set(ctx, "key", "value", cache.SetOptions{}) // ready
	}
	app := newApp(options)
	for range 2 {
		start(t, app)
		stop(t, app)
	}
	j.is(t, "storage init", "sessions init", "sessions destroy", "storage destroy",
		"storage init", "sessions init", "sessions destroy", "storage destroy")
}

// If OnStart of a hook fails, fx does not call its OnStop. A failed Init must therefore release its
// resources itself.
func TestFailedInitReleases(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	tests := []struct {
		name          string
		storage, next func(context.Context, driver.Injector) error
		want          []string
	}{
		{"storage", func(context.Context, driver.Injector) error { return boom }, nil,
			[]string{"storage init", "storage destroy"}},
		{"sessions", nil, func(context.Context, driver.Injector) error { return boom },
			[]string{"storage init", "sessions init", "sessions destroy", "storage destroy"}},
		{"storage panics", func(context.Context, driver.Injector) error { panic(boom) }, nil,
			[]string{"storage init", "storage destroy"}},
		{"sessions panic", nil, func(context.Context, driver.Injector) error { panic(boom) },
			[]string{"storage init", "sessions init", "sessions destroy", "storage destroy"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			j := &journal{}
			s, k, options := both(j)
			s.init, k.init = test.storage, test.next
			err := newApp(options).Start(t.Context())
			if err == nil || test.name == "storage" && !errors.Is(err, boom) {
				t.Errorf("Start: %v, want boom", err)
			}
			j.is(t, test.want...)
		})
	}
}

// If Init returns after fx has given up, it must not leave anything open, because fx does not call
// OnStop.
func TestStartTimedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		s, _, options := both(j)
		s.init = func(context.Context, driver.Injector) error {
			<-time.After(time.Minute)
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := newApp(options).Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Start: %v, want the deadline", err)
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		j.is(t, "storage init", "sessions init", "sessions destroy", "storage destroy")
	})
}

// Stop returns when its context ends, even if a loader ignores its own context.
func TestStopWithinContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var service *cache.Service
		app := newApp(fx.Populate(&service), fx.Supply(slog.New(slog.DiscardHandler)))
		start(t, app)
		values, err := cache.New(service, "values", cache.Policy[int]{})
		if err != nil {
			t.Fatal(err)
		}
		deaf, loading := make(chan struct{}), make(chan struct{})
		go func() {
			_, _ = values.GetOrLoad(context.Background(), "key", func(context.Context) (int, error) {
				close(loading)
				<-deaf
				return 1, nil
			})
		}()
		<-loading
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := app.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v, want the deadline", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("Stop took %v beyond its context", took-time.Second)
		}
		close(deaf)
	})
}

// A component that depends on the Service can use it in OnStart and in OnStop, wherever the module
// stands among the options.
func TestServiceOutlivesItsUsers(t *testing.T) {
	t.Parallel()
	var onStart, onStop error
	user := fx.Module("user", fx.Invoke(func(lc fx.Lifecycle, service *cache.Service, sessions sessioncache.Strategy) {
		use := func(ctx context.Context) error {
			_, _, err := sessions.Get(ctx, "token")
			return errors.Join(err, service.Set(ctx, "key", 1, cache.SetOptions{}))
		}
		lc.Append(fx.Hook{
			OnStart: func(ctx context.Context) error { onStart = use(ctx); return nil },
			OnStop:  func(ctx context.Context) error { onStop = use(ctx); return nil },
		})
	}))
	app := fx.New(user, fxcache.Module, fx.NopLogger)
	start(t, app)
	stop(t, app)
	if onStart != nil || onStop != nil {
		t.Errorf("the cache could not be used: OnStart %v, OnStop %v", onStart, onStop)
	}
}

func start(t *testing.T, app *fx.App) {
	t.Helper()
	if err := app.Err(); err != nil {
		t.Fatalf("build: %v", err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
}

func stop(t *testing.T, app *fx.App) {
	t.Helper()
	if err := app.Stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
}
