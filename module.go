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

// Module provides *cache.Service, *config.Source, *Reloader, sessioncache.Strategy and
// sessioncache.Sessions. If `session_cache.strategy` is default, it provides *sessioncache.Default
// too. It uses the application's *slog.Logger, metric.MeterProvider, driver.Clock, cache.Codec and
// cache.Outbox if the application provides them. If one of them is nil, or cannot be built because
// its constructor lacks something, that is logged at start.
//
// An application has one Module, however many modules of its own: what it provides reaches all of
// them. A second one is an error.
//
// A configuration error is reported when the application is built. fx.App.Err then returns one
// *config.Error that lists every problem.
//
// One OnStart hook initialises the storage strategy first and the session strategy second. OnStop
// destroys them in reverse order. A component that depends on *cache.Service starts after it and
// stops before it.
var Module = fx.Module("fxcache",
	fx.Provide(
		fx.Annotate(func() once { return once{} }, fx.ResultTags(`name:"`+installedTwice+`"`)),
	),
	fx.Provide(
		fx.Private,
		newRuntime,
	),
	fx.Provide(
		func(r *runtime) (*cache.Service, error) { return r.service, r.err },
		func(r *runtime) (*config.Source, error) { return r.source, r.err },
		func(r *runtime) (sessioncache.Strategy, error) { return r.sessions, r.err },
		func(r *runtime) (*Reloader, error) { return r.reloader, r.err },
		sessionsOf[sessioncache.Sessions],
		sessionsOf[*sessioncache.Default],
	),
	fx.Invoke(func(in injected) error {
		in.Runtime.exports = in.Exports
		if in.Outbox != nil {
			in.Runtime.exports = append(in.Runtime.exports, exportOf(in.Outbox))
		}
		in.Runtime.warnings = in.unused()
		return in.Runtime.err
	}),
)

// once is provided by the Module, under a name that is the error if there are two: fx refuses the
// second provider, and shows the name.
type once struct{}

const installedTwice = "fxcache.Module is installed twice: add it once, at the root of the application. What it provides reaches every fx.Module"

// runtimeIn holds what newRuntime takes from the fx graph.
type runtimeIn struct {
	fx.In

	Lifecycle        fx.Lifecycle
	Inputs           []input                       `group:"fxcache.inputs"`
	Environments     []environment                 `group:"fxcache.environments"`
	Factories        []driver.Factory              `group:"fxcache.factories"`
	SessionFactories []sessioncache.Factory        `group:"fxcache.session_factories"`
	Codecs           []cache.Codec                 `group:"fxcache.codecs"`
	CacheOptions     []func(*cache.Options)        `group:"fxcache.cache_options"`
	SessionOptions   []func(*sessioncache.Options) `group:"fxcache.session_options"`
	Wrappers         []wrapper                     `group:"fxcache.wrappers"`
	Watches          []watch                       `group:"fxcache.watches"`
	Logger           *slog.Logger                  `optional:"true"`
	MeterProvider    metric.MeterProvider          `optional:"true"`
	Clock            driver.Clock                  `optional:"true"`
	Codec            cache.Codec                   `optional:"true"`
}

// injected adds the values that the application exports. newRuntime does not depend on them, so an
// exported value may itself depend on *cache.Service. Exports comes before Runtime, so fx builds
// the exported values first. Their own OnStart hooks therefore run before the strategy's Init.
type injected struct {
	fx.In

	Provided []provided `group:"fxcache.provided"` // first: its errors say what an Export lacks
	Exports  []export   `group:"fxcache.exports"`
	Runtime  *runtime
	Outbox   cache.Outbox `optional:"true"` // an outbox that is provided must not be ignored silently
	Graph    fx.DotGraph

	// as in runtimeIn
	Logger        *slog.Logger         `optional:"true"`
	MeterProvider metric.MeterProvider `optional:"true"`
	Clock         driver.Clock         `optional:"true"`
	Codec         cache.Codec          `optional:"true"`
}
