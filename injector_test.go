package fxcache_test

import (
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
)

// The Injector is a real dig container. A custom strategy can resolve the application's *sql.DB and
// the module's own values from it.
func TestStrategyResolvesTheDatabase(t *testing.T) {
	t.Parallel()
	s := &storage{journal: &journal{}}
	s.init = func(ctx context.Context, in driver.Injector) error {
		if _, ok := in.(*dig.Scope); !ok {
			t.Errorf("the Injector is a %T, want a *dig.Scope", in)
		}
		db, err := driver.Resolve[*sql.DB](in)
		if err != nil {
			return err
		}
		var one int
		if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil || one != 1 {
			t.Errorf("the database answers %d, %v", one, err)
		}
		resolves[*cache.Service](t, in)
		resolves[driver.Limits](t, in)
		resolves[driver.Clock](t, in)
		resolves[*slog.Logger](t, in)
		resolves[metric.Meter](t, in)
		resolves[*config.Source](t, in)
		if factories := resolves[[]driver.Factory](t, in); len(factories) < 3 {
			t.Errorf("%d factories are registered, want the built-in ones and this", len(factories))
		}
		return nil
	}
	app := newApp(s.register(), fxcache.Export[*sql.DB](), fxcache.Export[*sql.DB](),
		fx.Provide(openDatabase),
		fx.Invoke(func(lc fx.Lifecycle, db *sql.DB) { lc.Append(fx.StopHook(db.Close)) }))
	start(t, app)
	stop(t, app)
}

func resolves[T any](t *testing.T, in driver.Injector) T {
	t.Helper()
	value, err := driver.Resolve[T](in)
	if err != nil {
		t.Error(err)
	}
	return value
}

func TestResolveNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := &storage{journal: &journal{}}
	s.init = func(_ context.Context, in driver.Injector) error {
		_, err := driver.Resolve[*sql.DB](in)
		return err
	}
	err := newApp(s.register(), fx.Provide(openDatabase)).Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "*sql.DB is not known") || !strings.Contains(err.Error(), "fxcache.Export[*sql.DB]()") {
		t.Errorf("the error must name the type and the fix: %v", err)
	}
}

// repository is a value that the application exports although it depends on the cache.
type repository struct{ service *cache.Service }

func TestExportMayDependOnTheService(t *testing.T) {
	t.Parallel()
	var resolved *repository
	s := &storage{journal: &journal{}}
	s.init = func(_ context.Context, in driver.Injector) (err error) {
		resolved, err = driver.Resolve[*repository](in)
		return err
	}
	app := newApp(s.register(), fxcache.Export[*repository](),
		fx.Provide(func(service *cache.Service) *repository { return &repository{service} }))
	start(t, app)
	stop(t, app)
	if resolved == nil || resolved.service == nil {
		t.Error("the repository did not arrive")
	}
}

// Values that one strategy provides are not visible to the other.
func TestScopes(t *testing.T) {
	t.Parallel()
	j := &journal{}
	s, k, options := both(j)
	s.init = func(_ context.Context, in driver.Injector) error {
		return in.(*dig.Scope).Provide(func() *repository { return &repository{} })
	}
	k.init = func(_ context.Context, in driver.Injector) error {
		if _, err := driver.Resolve[*repository](in); err == nil {
			t.Error("the session strategy sees what the storage strategy provided for itself")
		}
		return nil
	}
	app := newApp(options)
	start(t, app)
	stop(t, app)
}

func TestExportOfWhatTheModuleHas(t *testing.T) {
	t.Parallel()
	err := newApp(fxcache.Export[*cache.Service]()).Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Export[*cache.Service]") {
		t.Errorf("Start: %v, want an error that names the export", err)
	}
}
