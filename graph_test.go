package fxcache_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	rueidis "github.com/redis/rueidis"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
)

// missing is a type that nobody provides.
type missing struct{}

// What the application provides, and the cache cannot use, is logged at start, with what to do.
func TestUnusedIsLogged(t *testing.T) {
	t.Parallel()
	redis := fxcache.Override(map[string]any{"cache.strategy": "redis", "cache.namespace": "shop", "cache.redis.addresses": []string{"127.0.0.1:1"}})
	client := fx.Provide(func() rueidis.Client { return nil })
	for name, test := range map[string]struct {
		option fx.Option
		want   string // "": nothing
	}{
		"Outbox lacks something":        {fx.Provide(func(missing) cache.Outbox { return &kept{} }), "cache.Outbox"},
		"Outbox lacks something deeper": {fx.Provide(func(int) cache.Outbox { return &kept{} }, func(missing) int { return 1 }), "cache.Outbox"},
		"Outbox in a module lacks":      {fx.Module("m", fx.Provide(func(missing) cache.Outbox { return &kept{} })), "cache.Outbox"},
		"Outbox is nil":                 {fx.Provide(func() cache.Outbox { return nil }), "cache.Outbox"},
		"MeterProvider":                 {fx.Provide(func(missing) metric.MeterProvider { return nil }), "metric.MeterProvider"},
		"Clock":                         {fx.Provide(func(missing) driver.Clock { return nil }), "driver.Clock"},
		"Codec":                         {fx.Provide(func(missing) cache.Codec { return nil }), "cache.Codec"},
		"rueidis.Client":                {fx.Options(redis, client), "fxcache.Export[rueidis.Client]()"},
		"an Outbox that works":          {fx.Provide(func() cache.Outbox { return &kept{} }), ""},
		"an Outbox that is needed only": {fx.Provide(func(struct {
			fx.In
			Outbox cache.Outbox `optional:"true"`
		}) int {
			return 1
		}), ""},
		"a client, without redis": {client, ""},
		"no client":               {redis, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, nil))
			app := newApp(test.option, fxcache.CacheOptions(func(o *cache.Options) { o.Logger = logger }))
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			stop(t, app)
			if got := log.String(); !strings.Contains(got, test.want) || strings.Contains(got, "does not use") != (test.want != "") {
				t.Errorf("the log is %q, want %q in it", got, test.want)
			}
		})
	}
}

// A clock and a codec of the application are used.
func TestClockAndCodecOfTheGraph(t *testing.T) {
	t.Parallel()
	clock := drivertest.NewClock(time.Now())
	codec := fx.Provide(func() cache.Codec { return plain{cache.JSON{}} })
	var service *cache.Service
	app := newApp(fx.Provide(func() driver.Clock { return clock }), codec, fx.Populate(&service))
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	if o := service.Options(); o.Clock != driver.Clock(clock) || o.Codec != cache.Codec(plain{cache.JSON{}}) {
		t.Errorf("clock %T, codec %T", o.Clock, o.Codec)
	}
	err := newApp(codec, fxcache.Override(map[string]any{"cache.codec": "json"})).Err()
	if err == nil || !strings.Contains(err.Error(), "cache.codec") || !strings.Contains(err.Error(), "remove one") {
		t.Errorf("a codec in the configuration as well: %v", err)
	}
}

// Wrong uses of the module say what to do.
func TestWrongUses(t *testing.T) {
	t.Parallel()
	noop := fxcache.Override(map[string]any{"session_cache.strategy": "noop"})
	for name, test := range map[string]struct {
		option fx.Option
		want   string
	}{
		"twice":             {fxcache.Module, "fxcache.Module is installed twice: add it once"},
		"in a module":       {fx.Module("a", fxcache.Module), "fxcache.Module is installed twice: add it once"},
		"in two modules":    {fx.Options(fx.Module("a", fxcache.Module), fx.Module("b", fxcache.Module)), "fxcache.Module is installed twice: add it once"},
		"Export":            {fxcache.Export[*sql.DB](), "fxcache.Export[*sql.DB]: the application does not provide this type: add fx.Provide"},
		"Export twice":      {fx.Options(fxcache.Export[*sql.DB](), fxcache.Export[*sql.DB]()), "fxcache.Export[*sql.DB]: the application does not provide"},
		"Export that lacks": {fx.Options(fxcache.Export[*sql.DB](), fx.Provide(func(missing) *sql.DB { return nil })), "fxcache_test.missing"},
		"Export that fails": {fx.Options(fxcache.Export[*sql.DB](), fx.Provide(func() (*sql.DB, error) { return nil, errors.New("no route") })), "no route"},
		"Default under noop": {fx.Options(noop, fx.Invoke(func(*sessioncache.Default) {})),
			`session_cache.strategy is "noop", which is not a *sessioncache.Default: depend on sessioncache.Sessions`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := newApp(test.option).Err(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// What Export accepts is what fx can build, in whichever module and however it is provided.
func TestExportOfWhatIsProvided(t *testing.T) {
	t.Parallel()
	db := func() *sql.DB { return new(sql.DB) }
	for name, option := range map[string]fx.Option{
		"private":           fx.Module("m", fx.Provide(db, fx.Private), fxcache.Export[*sql.DB]()),
		"in another module": fx.Options(fx.Module("m", fx.Provide(db)), fxcache.Export[*sql.DB]()),
		"as an interface":   fx.Options(fx.Provide(fx.Annotate(func() *kept { return &kept{} }, fx.As(new(cache.Outbox)))), fxcache.Export[cache.Outbox]()),
		"supplied":          fx.Options(fx.Supply(new(sql.DB)), fxcache.Export[*sql.DB]()),
		"a result": fx.Options(fx.Provide(func() struct {
			fx.Out
			DB *sql.DB
		} {
			return struct {
				fx.Out
				DB *sql.DB
			}{DB: new(sql.DB)}
		}), fxcache.Export[*sql.DB]()),
		"a function":     fx.Options(fx.Provide(func() func(string) error { return nil }), fxcache.Export[func(string) error]()),
		"generic":        fx.Options(fx.Supply(of[*sql.DB]{}), fxcache.Export[of[*sql.DB]]()),
		"fx's own":       fxcache.Export[fx.Shutdowner](),
		"the module's":   fxcache.Export[sessioncache.Sessions](),
		"a zero value":   fx.Options(fx.Supply(0), fxcache.Export[int]()),
		"also a variant": fx.Options(fx.Provide(db, fx.Annotate(db, fx.ResultTags(`name:"second"`))), fxcache.Export[*sql.DB]()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := newApp(option).Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

type of[T any] struct{ _ T }

// One Module serves all modules of the application, also if it stands in one of them.
func TestModuleInAModule(t *testing.T) {
	t.Parallel()
	uses := func(s *cache.Service) error { return s.Set(context.Background(), "k", 1, cache.SetOptions{}) }
	onStart := fx.Invoke(func(lc fx.Lifecycle, s *cache.Service) { lc.Append(fx.StartHook(func() error { return uses(s) })) })
	app := fx.New(fx.NopLogger, fxcache.WithoutEnvironment(nil),
		fx.Module("a", fxcache.Module, onStart), fx.Module("b", onStart), onStart)
	start(t, app)
	stop(t, app)
}
