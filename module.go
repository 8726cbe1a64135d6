package fxcache

import (
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/sessioncache"
)

// Module provides *cache.Service, sessiondriver.Strategy and sessioncache.Sessions, *config.Source,
// and, where `session_cache.strategy` is default, *sessioncache.Default. It takes *slog.Logger,
// metric.MeterProvider and cache.Outbox from the application, where that provides them.
//
// A configuration error is reported when the application is built: fx.App.Err returns one
// *config.Error that lists every problem.
//
// The strategy is initialised first, then the session strategy, in one OnStart hook; OnStop destroys
// them in the reverse order. Whatever depends on *cache.Service starts after it and stops before it.
var Module = fx.Module("fxcache",
	fx.Provide(
		fx.Private,
		newRuntime,
	),
	fx.Provide(
		func(r *runtime) (*cache.Service, error) { return r.service, r.err },
		func(r *runtime) (*config.Source, error) { return r.source, r.err },
		func(r *runtime) (sessioncache.Strategy, error) { return r.sessions, r.err },
		sessionsOf[sessioncache.Sessions],
		sessionsOf[*sessioncache.Default],
	),
	fx.Invoke(func(in injected) error {
		in.Runtime.seeds = in.Seeds
		if in.Outbox != nil {
			in.Runtime.seeds = append(in.Runtime.seeds, seedOf(in.Outbox))
		}
		return in.Runtime.err
	}),
)

// runtimeIn is what newRuntime takes from the fx graph.
type runtimeIn struct {
	fx.In

	Lifecycle        fx.Lifecycle
	Inputs           []input                                 `group:"fxcache.inputs"`
	Environments     []environment                           `group:"fxcache.environments"`
	Factories        []driver.Factory                        `group:"fxcache.factories"`
	SessionFactories []sessioncache.Factory                  `group:"fxcache.session_factories"`
	CacheOptions     []func(*cache.Options)                  `group:"fxcache.cache_options"`
	SessionOptions   []func(*sessioncache.Options)           `group:"fxcache.session_options"`
	Wrappers         []func(driver.Strategy) driver.Strategy `group:"fxcache.wrappers"`
	Logger           *slog.Logger                            `optional:"true"`
	MeterProvider    metric.MeterProvider                    `optional:"true"`
}

// injected adds what the application exports. The Runtime does not depend on it, so that what is
// exported may itself depend on *cache.Service. Seeds come first in order to be built first: their
// own OnStart hooks run before the strategy's Init then.
type injected struct {
	fx.In

	Seeds   []seed `group:"fxcache.seeds"`
	Runtime *runtime
	Outbox  cache.Outbox `optional:"true"` // what is provided and not used would be lost without a word
}
