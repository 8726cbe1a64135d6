// Package fxtest starts applications with the cache module in tests. The test moves the clock. It
// can watch, fail and delay the operations of the storage strategy. Do not use this package in
// production code.
package fxtest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
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
	// Clock is a driver.Clock for tests. It stands still until Advance.
	Clock = drivertest.Clock
	// Recorder records every operation on the storage strategy, and can fail, delay and hold
	// operations.
	Recorder = drivertest.Recorder
	// Operation is one call that a Recorder has recorded.
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

// defaults are the defaults of tests. They differ from those of production in the timeout of single
// operations, which a busy machine would exceed now and then. They are the lowest level of
// config.Source: every value that the application configures wins, even if it equals the production
// default.
var defaults = map[string]any{"cache.timeout": 10 * time.Second}

// App is a started application.
type App struct {
	// Cache is the application's cache.Service.
	Cache *cache.Service
	// Sessions is the application's session cache.
	Sessions sessioncache.Sessions
	// Clock is the current time for every expiry in the cache. It starts at the real time, to the
	// millisecond.
	Clock *Clock
	// Strategy records the operations on the storage strategy of the store "default" that the
	// application started with. After a reload with another one, see [App.Store].
	Strategy *Recorder

	t      testing.TB
	mu     sync.Mutex
	stores map[string]*Recorder
}

// Store returns what records the operations on the storage strategy of the store with that name, as
// in `cache.stores`. If there is no such store, the test fails.
//
// A reload that asks for another strategy makes another Recorder. Store returns it as soon as that
// strategy is made, even if its Init fails then. Until `cache.handover` is over, it gets the
// revocations and no reads of entries, because the former strategy is in use. A Recorder that the
// test already has goes on with the former strategy.
func (a *App) Store(name string) *Recorder {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	recorder, there := a.stores[name]
	if !there {
		a.t.Fatalf("fxtest: there is no store %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(a.stores)), ", "))
	}
	return recorder
}

// record puts a recorder around the strategy of a store.
func (a *App) record(store string, strategy driver.Strategy) driver.Strategy {
	recorded, recorder := drivertest.Record(strategy)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stores[store] = recorder
	if store == "default" && a.Strategy == nil { // a test reads it while a reload is running
		a.Strategy = recorder
	}
	return recorded
}

// New builds and starts an application from options, and stops it when the test ends. The options
// may include fxcache.Module, but need not. The application runs on bigcache and the default
// session strategy unless Config says otherwise. It reads no environment variables. An operation on
// the storage may take ten seconds, unless `cache.timeout` is configured. If the application cannot
// be built, started or stopped, the test fails.
//
// Use fx.Populate to get other parts of the application.
func New(t testing.TB, options ...fx.Option) *App {
	t.Helper()
	app := &App{Clock: drivertest.NewClock(time.Now().Truncate(time.Millisecond)), t: t, stores: make(map[string]*Recorder)}
	log := &eventLog{Logger: upstream.NewTestLogger(t)}
	application := fx.Options(
		fx.Options(options...),
		fxcache.WithoutEnvironment(defaults),
		fxcache.CacheOptions(func(o *cache.Options) { o.Clock = app.Clock }),
		fxcache.WrapStores(app.record),
		fx.WithLogger(func() fxevent.Logger { return log }),
		fx.Populate(&app.Cache, &app.Sessions),
	)
	built := fx.New(application, fxcache.Module)
	if log.moduleClashes {
		built = fx.New(application) // the options include the module
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

// eventLog detects that the application already includes fxcache.Module. An fx.Option cannot be
// inspected, but if the module is given twice, fx reports that its constructors clash. fx then runs
// no fx.Invoke, and no constructors except those of loggers.
type eventLog struct {
	fxevent.Logger
	moduleClashes bool
}

// LogEvent implements fxevent.Logger.
func (l *eventLog) LogEvent(event fxevent.Event) {
	if provided, ok := event.(*fxevent.Provided); ok && provided.ModuleName == "fxcache" && provided.Err != nil {
		l.moduleClashes = true
		return // New builds again without the second module
	}
	l.Logger.LogEvent(event)
}
