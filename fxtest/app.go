// Package fxtest starts applications with the cache module in tests: on a clock that the test moves,
// and on a storage strategy that the test watches, fails and delays. Nothing here belongs in a
// production binary.
package fxtest

import (
	"context"
	"fmt"
	"strings"
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

// timeout is that of single operations, unless the configuration has one: the default of production
// would strike on a busy machine now and then.
const timeout = 10 * time.Second

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
// otherwise, and reads no environment variables. A failure to build, start or stop fails the test.
//
// Take parts of the application out with fx.Populate.
func New(t testing.TB, options ...fx.Option) *App {
	t.Helper()
	app := &App{Clock: drivertest.NewClock(time.Now().Truncate(time.Millisecond))}
	if !strings.Contains(fmt.Sprint(options), `fx.Module("fxcache"`) {
		options = append(options, fxcache.Module)
	}
	built := fx.New(
		fx.Options(options...),
		fxcache.Environment("FXCACHE_", func() []string { return nil }),
		fxcache.CacheOptions(func(o *cache.Options) {
			o.Clock = app.Clock
			if o.Timeout == (cache.Options{}).WithDefaults().Timeout {
				o.Timeout = timeout
			}
		}),
		fxcache.Wrap(func(strategy driver.Strategy) driver.Strategy {
			strategy, app.Strategy = drivertest.Record(strategy)
			return strategy
		}),
		fx.WithLogger(func() fxevent.Logger { return upstream.NewTestLogger(t) }),
		fx.Populate(&app.Cache, &app.Sessions),
	)
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
