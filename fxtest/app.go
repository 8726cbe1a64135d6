// Package fxtest starts applications with the cache module in tests: on a clock that the test
// moves, and on a storage strategy that the test watches, fails and delays. Nothing here belongs in
// a production binary.
package fxtest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
	upstream "go.uber.org/fx/fxtest"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
)

type (
	// Clock is the CacheTtlProvider of tests: it stands still until Advance.
	Clock = drivertest.Clock
	// Recorder sees every operation on the storage strategy, and can fail, delay and hold them.
	Recorder = drivertest.Recorder
	// Operation is one call that a Recorder saw.
	Operation = drivertest.Operation
)

// The names of operations, for Recorder.
const (
	OpGet        = drivertest.OpGet
	OpSet        = drivertest.OpSet
	OpDelete     = drivertest.OpDelete
	OpInvalidate = drivertest.OpInvalidate
	OpGetOrLease = drivertest.OpGetOrLease
	OpLease      = drivertest.OpLease
	OpFill       = drivertest.OpFill
	OpRelease    = drivertest.OpRelease
	OpClear      = drivertest.OpClear
)

// defaults differ from those of production: the timeout of single operations would strike on a busy
// machine now and then. They are the lowest level of config.Source, so that whatever the
// application configures wins, even where that is the default of production.
var defaults = map[string]any{"cache.timeout": 10 * time.Second}

// App is a started application.
type App struct {
	// Cache is the application's CacheService.
	Cache *cache.Service
	// Sessions is the application's session cache.
	Sessions sessioncache.Sessions
	// Clock is "now" for every expiry in the cache. It starts at the real time, to the millisecond.
	Clock *Clock
	// Strategy watches the storage strategy.
	Strategy *Recorder
}

// New builds and starts an application of options, with fxcache.Module among them or not, and stops
// it when the test ends. It runs on bigcache and the default session strategy unless Config says
// otherwise, and reads no environment variables. An operation on the storage may take ten seconds,
// unless `cache.timeout` is configured. A failure to build, start or stop fails the test.
//
// Take parts of the application out with fx.Populate.
func New(t testing.TB, options ...fx.Option) *App {
	t.Helper()
	app := &App{Clock: drivertest.NewClock(time.Now().Truncate(time.Millisecond))}
	log := &eventLog{Logger: upstream.NewTestLogger(t)}
	application := fx.Options(
		fx.Options(options...),
		fxcache.WithoutEnvironment(defaults),
		fxcache.CacheOptions(func(o *cache.Options) { o.Clock = app.Clock }),
		fxcache.Wrap(func(strategy driver.Strategy) driver.Strategy {
			strategy, app.Strategy = drivertest.Record(strategy)
			return strategy
		}),
		fx.WithLogger(func() fxevent.Logger { return log }),
		fx.Populate(&app.Cache, &app.Sessions),
	)
	built := fx.New(application, fxcache.Module)
	if log.moduleClashes {
		built = fx.New(application) // which has the module
	}
	if err := built.Err(); err != nil {
		t.Fatalf("fxtest: the application cannot be built: %v", err)
	}
	start, cancel := context.WithTimeout(context.Background(), built.StartTimeout())
	defer cancel()
	if err := built.Start(start); err != nil {
		t.Fatalf("fxtest: the application does not start: %v", err)
	}
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), built.StopTimeout())
		defer cancel()
		if err := built.Stop(stop); err != nil {
			t.Errorf("fxtest: the application does not stop: %v", err)
		}
	})
	return app
}

// eventLog notes whether the constructors of a module "fxcache" clash with others: then it is given
// twice. Nobody but fx can look into an fx.Option, and these events are how fx tells. When
// constructors clash, fx runs none of them, but those of loggers, and no fx.Invoke.
type eventLog struct {
	fxevent.Logger
	moduleClashes bool
}

// LogEvent implements fxevent.Logger.
func (l *eventLog) LogEvent(event fxevent.Event) {
	if provided, ok := event.(*fxevent.Provided); ok && provided.ModuleName == "fxcache" && provided.Err != nil {
		l.moduleClashes = true
		return // New builds again, which either works or fails with the same error
	}
	l.Logger.LogEvent(event)
}
