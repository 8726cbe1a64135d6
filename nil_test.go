package fxcache_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knadh/koanf/v2"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/refreshing"
	"github.com/fxcache/fxcache/cache/requestscope"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/internal/panics"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/noop"
	"github.com/fxcache/fxcache/strategies/redis"
)

// These types implement interfaces, and the tests pass nil pointers of them.
type (
	ticking  struct{ now time.Time }
	plain    struct{ cache.Codec }
	outbox   struct{ cache.Outbox }
	metering struct{ metric.MeterProvider }
)

func (t *ticking) Now() time.Time { return t.now }

// A nil pointer in an interface counts as absent. A constructor that found nothing to construct may
// return one.
func TestTypedNilsAreAbsent(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]fx.Option{
		"MeterProvider":    fx.Provide(fx.Annotate(func() *metering { return nil }, fx.As(new(metric.MeterProvider)))),
		"no MeterProvider": fx.Provide(func() metric.MeterProvider { return nil }),
		"Logger":           fx.Provide(func() *slog.Logger { return nil }),
		"in options": fxcache.CacheOptions(func(o *cache.Options) {
			o.Clock, o.Codec, o.MeterProvider, o.Logger = (*ticking)(nil), (*plain)(nil), (*metering)(nil), nil
		}),
		"Outbox":      fx.Options(fx.Provide(func() cache.Outbox { return (*outbox)(nil) }), fxcache.Export[cache.Outbox]()),
		"no Outbox":   fx.Options(fx.Provide(func() cache.Outbox { return nil }), fxcache.Export[cache.Outbox]()),
		"Override":    fxcache.Override(nil),
		"files":       fxcache.ConfigFile(),
		"environment": fxcache.Environment("SHOP_", nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var service *cache.Service
			app := newApp(option, fx.Populate(&service))
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := service.Set(t.Context(), "k", "v", cache.SetOptions{}); err != nil {
				t.Error(err)
			}
			if err := app.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A nil value for an option that needs one is an error that names the option.
func TestNilOptions(t *testing.T) {
	t.Parallel()
	boom := func() { panic("hunter2distinct") }
	var nothing map[string]int
	for name, test := range map[string]struct {
		option fx.Option
		want   string
	}{
		"CacheOptions":              {fxcache.CacheOptions(nil), "fxcache.CacheOptions: the function is nil"},
		"SessionOptions":            {fxcache.SessionOptions(nil), "fxcache.SessionOptions: the function is nil"},
		"SessionOptionsFrom":        {fxcache.SessionOptionsFrom(nil), "fxcache.SessionOptionsFrom: needs a constructor"},
		"SessionOptionsFrom text":   {fxcache.SessionOptionsFrom("x"), "must provide constructor function"},
		"SessionOptionsFrom other":  {fxcache.SessionOptionsFrom(func() sessioncache.Options { return sessioncache.Options{} }), "fxcache.SessionOptionsFrom: needs a constructor"},
		"SessionOptionsFrom to nil": {fxcache.SessionOptionsFrom(func() func(*sessioncache.Options) { return nil }), "fxcache.SessionOptions: the function is nil"},
		"Wrap":                      {fxcache.Wrap(nil), "fxcache.Wrap: the function is nil"},
		"Wrap to nil":               {fxcache.Wrap(func(driver.Strategy) driver.Strategy { return nil }), "fxcache.Wrap: the function returned no strategy"},
		"Wrap to a typed nil":       {fxcache.Wrap(func(driver.Strategy) driver.Strategy { return (*bigcache.Strategy)(nil) }), "fxcache.Wrap: the function returned no strategy"},
		"Config":                    {fxcache.Config(nil, ""), "koanf: is nil"},
		"Register":                  {fxcache.Register(driver.Factory{}), "a strategy is registered under the name"},
		"RegisterSession":           {fxcache.RegisterSession(sessioncache.Factory{}), "a strategy is registered under the name"},
		"a factory": {fx.Options(fxcache.Override(map[string]any{"cache.strategy": "x"}), fxcache.Register(driver.Factory{Name: "x",
			New: func(driver.Decoder) (driver.Strategy, error) { return (*bigcache.Strategy)(nil), nil }})), "cache.x: the factory returned no strategy"},
		"a session factory": {fx.Options(fxcache.Override(map[string]any{"session_cache.strategy": "x"}), fxcache.RegisterSession(sessioncache.Factory{Name: "x",
			New: func(driver.Decoder) (sessioncache.Strategy, error) { return (*sessioncache.Default)(nil), nil }})), "session_cache.x: the factory returned no strategy"},
		"CacheOptions that panics":   {fxcache.CacheOptions(func(*cache.Options) { boom() }), "fxcache.CacheOptions: the function panicked with a string"},
		"SessionOptions that panics": {fxcache.SessionOptions(func(*sessioncache.Options) { boom() }), "fxcache.SessionOptions: the function panicked with a string"},
		"Wrap that panics":           {fxcache.Wrap(func(s driver.Strategy) driver.Strategy { nothing["x"] = 1; return s }), "panicked: assignment to entry in nil map"},
		"a codec that panics":        {fxcache.CacheOptions(func(o *cache.Options) { o.Codec = plain{} }), "panicked"},
		"a meter provider that panics": {fxcache.CacheOptions(func(o *cache.Options) {
			o.MeterProvider = struct{ metric.MeterProvider }{}
		}), "panicked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := newApp(test.option).Err()
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// A nil strategy is an error, and so is a zero value of a type that needs a constructor. No panic
// leaves the API.
func TestNilArguments(t *testing.T) {
	t.Parallel()
	started := func() *cache.Service {
		strategy, err := bigcache.New(bigcache.Options{})
		if err != nil {
			t.Fatal(err)
		}
		service, err := cache.NewService(strategy, cache.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = service.Stop(context.Background()) })
		return service
	}
	service := started()
	numbers, err := cache.New(service, "numbers", cache.Policy[int]{})
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := sessioncache.New(sessioncache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	container := dig.New()
	if err := service.ProvideTo(container); err != nil {
		t.Fatal(err)
	}
	if err := sessions.Init(t.Context(), container); err != nil {
		t.Fatal(err)
	}
	hot, err := refreshing.New(func(context.Context) (int, error) { return 0, errors.New("x") }, refreshing.Options{TTL: time.Second, Clock: (*ticking)(nil)})
	if err != nil {
		t.Fatal(err)
	}
	must := map[string]func(ctx context.Context) error{
		"NewService(nil)": func(context.Context) error { _, err := cache.NewService(nil, cache.Options{}); return err },
		"NewService(typed nil)": func(context.Context) error {
			_, err := cache.NewService((*bigcache.Strategy)(nil), cache.Options{})
			return err
		},
		"New(nil)": func(context.Context) error { _, err := cache.New(nil, "x", cache.Policy[int]{}); return err },
		"NewRefreshing(nil)": func(context.Context) error {
			_, err := refreshing.New[int](nil, refreshing.Options{TTL: 1})
			return err
		},
		"Resolve(nil)":         func(context.Context) error { _, err := driver.Resolve[int](nil); return err },
		"Get into nil":         func(ctx context.Context) error { _, err := service.Get(ctx, "k", nil); return err },
		"Get into a typed nil": func(ctx context.Context) error { _, err := service.Get(ctx, "k", (*int)(nil)); return err },
		"Get into no pointer":  func(ctx context.Context) error { _, err := service.Get(ctx, "k", 1); return err },
		"zero Service":         func(ctx context.Context) error { return new(cache.Service).Set(ctx, "k", 1, cache.SetOptions{}) },
		"zero Service starts":  func(ctx context.Context) error { return new(cache.Service).Start(ctx, nil) },
		"zero Service clears":  func(ctx context.Context) error { return new(cache.Service).Clear(ctx) },
		"GetOrLoad(nil)":       func(ctx context.Context) error { _, err := numbers.GetOrLoad(ctx, "k", nil); return err },
		"Update(nil)":          func(ctx context.Context) error { _, err := numbers.Update(ctx, "k", nil); return err },
		"Memo(nil)": func(ctx context.Context) error {
			_, err := requestscope.Memo[int](requestscope.With(ctx), "k", nil)
			return err
		},
		"Memo(nil), no scope": func(ctx context.Context) error { _, err := requestscope.Memo[int](ctx, "k", nil); return err },
		"RefreshWith(nil)":    func(ctx context.Context) error { _, err := hot.RefreshWith(ctx, nil); return err },
		"sessions.GetOrLoad":  func(ctx context.Context) error { _, _, err := sessions.GetOrLoad(ctx, "t", nil); return err },
		"sessions.Update":     func(ctx context.Context) error { _, err := sessions.Update(ctx, "t", nil); return err },
		"sessions.Set":        func(ctx context.Context) error { return sessions.Set(ctx, nil) },
		"zero Default starts": func(ctx context.Context) error { return new(sessioncache.Default).Init(ctx, container) },
		"Default without":     func(ctx context.Context) error { return new(sessioncache.Default).Init(ctx, nil) },
		"noop.GetOrLoad":      func(ctx context.Context) error { _, _, err := sessioncache.Noop{}.GetOrLoad(ctx, "t", nil); return err },
		"noop.Update":         func(ctx context.Context) error { _, err := sessioncache.Noop{}.Update(ctx, "t", nil); return err },
		"bigcache without":    func(ctx context.Context) error { return new(bigcache.Strategy).Init(ctx, nil) },
		"redis without":       func(ctx context.Context) error { return new(redis.Strategy).Init(ctx, nil) },
		"zero bigcache": func(ctx context.Context) error {
			return new(bigcache.Strategy).Set(ctx, "k", nil, cache.SetOptions{TTL: 1})
		},
		"zero redis": func(ctx context.Context) error {
			return new(redis.Strategy).Set(ctx, "k", nil, cache.SetOptions{TTL: 1})
		},
		"Decode into nil": func(context.Context) error { return new(config.Source).Decode("x", nil) },
		"From(nil)":       func(context.Context) error { _, err := config.Load(config.From(nil, "")); return err },
	}
	may := map[string]func(ctx context.Context) error{ // the zero value is fine
		"noop":              func(ctx context.Context) error { return noop.Strategy{}.Set(ctx, "", nil, cache.SetOptions{TTL: 1}) },
		"Delete of nothing": func(ctx context.Context) error { return service.Delete(ctx) },
		"tags of nothing":   func(ctx context.Context) error { return service.InvalidateTags(ctx) },
		"Set of nil":        func(ctx context.Context) error { return service.Set(ctx, "k", nil, cache.SetOptions{}) },
		"Load of nothing": func(context.Context) error {
			_, err := config.Load(config.Input{}, config.Values(nil), config.Defaults(nil))
			return err
		},
		"empty koanf":       func(context.Context) error { _, err := config.Load(config.From(&koanf.Koanf{}, "")); return err },
		"Environ(nil)":      func(context.Context) error { _, err := config.Load(config.Environ("NOTHING_", nil)); return err },
		"Join(nil)":         func(context.Context) error { return config.Join(nil) },
		"zero Default":      func(ctx context.Context) error { return new(sessioncache.Default).Clear(ctx) },
		"noop session":      func(ctx context.Context) error { return sessioncache.Noop{}.Set(ctx, nil) },
		"nil session":       func(context.Context) error { _ = (*sessioncache.CachedSession)(nil).Clone(); return nil },
		"nil user":          func(context.Context) error { _ = (*sessioncache.User)(nil).HasPermission("a", "b"); return nil },
		"Stop before Start": func(ctx context.Context) error { return new(cache.Service).Stop(ctx) },
	}
	try := func(name string, fails bool, call func(context.Context) error) {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if value := recover(); value != nil {
					t.Errorf("it panics: %v", value)
				}
			}()
			err := call(t.Context())
			if (err != nil) != fails {
				t.Errorf("the error is %v", err)
			}
			for _, what := range []string{"GetOrLoad", "Update", "Memo"} {
				if fails && strings.Contains(name, what) && !errors.Is(err, panics.ErrNil) {
					t.Errorf("%v does not say that the function is nil", err)
				}
			}
		})
	}
	for name, call := range must {
		try(name, true, call)
	}
	for name, call := range may {
		try(name, false, call)
	}
}

// kept is an Outbox that counts the revocations it receives.
type kept struct{ n atomic.Int32 }

func (k *kept) Add(_ context.Context, pending []cache.Revocation) error {
	k.n.Add(int32(len(pending)))
	return nil
}
func (*kept) Remove(context.Context, []cache.Revocation) error    { return nil }
func (*kept) Pending(context.Context) ([]cache.Revocation, error) { return nil, nil }

// If the application provides an Outbox, it is used, whether or not it is exported.
func TestOutboxOfTheGraph(t *testing.T) {
	t.Parallel()
	for name, export := range map[string]fx.Option{"provided": fx.Options(), "exported": fxcache.Export[cache.Outbox]()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &kept{}
			app := fxtest.New(t, fx.Provide(func() cache.Outbox { return o }), export)
			app.Strategy.FailNext(fxtest.OpDelete, 1, errors.New("boom"))
			if err := app.Cache.Delete(t.Context(), "k"); !errors.Is(err, cache.ErrRevocationPending) || o.n.Load() != 1 {
				t.Errorf("%v; the outbox was given %d, want 1", err, o.n.Load())
			}
		})
	}
}
