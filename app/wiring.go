package main

import (
	"context"
	"database/sql"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/app/internal/web"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// wiring is the whole application: the cache module and the shop's own parts. The module uses the
// logger and the meter provider because they are provided here.
//
// fx starts a component after everything it depends on, and stops in reverse order: database,
// cache, server.
func wiring(o options, logger *slog.Logger) fx.Option {
	configuration := fx.Options()
	if o.config != "" {
		configuration = fxcache.ConfigFile(o.config)
	}
	if o.watch {
		configuration = fx.Options(configuration, fxcache.Watch(), fx.Invoke(reloadOnHangup))
	}
	return fx.Options(
		fxcache.Module,
		configuration,
		fxcache.SessionOptionsFrom(sessionOptions),
		// A custom strategy, registered with fxcache.Register, can resolve the database in its
		// Init.
		fxcache.Export[*sql.DB](),
		// The outbox keeps pending revocations in the database. The next start applies them.
		fxcache.Export[cache.Outbox](),

		fx.Supply(o, logger),
		fx.Provide(
			newDatabase,
			newStore,
			shop.NewCatalog,
			shop.NewOutbox,
			newMetrics,
			web.NewAPI,
			newServer,
		),
		fx.Invoke(func(*web.Server) {}),
	)
}

// sessionOptions sets the options that only code can set: the tags that a change of roles
// invalidates, and how the database prolongs a session.
func sessionOptions(store *shop.Store) func(*sessioncache.Options) {
	return func(o *sessioncache.Options) {
		o.ValidToken = shop.IsToken
		o.Tags = shop.SessionTags
		o.Duration = shop.SessionDuration
		o.Renew = func(ctx context.Context, session *sessioncache.CachedSession) (*sessioncache.CachedSession, error) {
			return store.RenewSession(ctx, session.Token.Reveal()) // to find its hash in the database
		}
	}
}

func newDatabase(lifecycle fx.Lifecycle, o options) (*sql.DB, error) {
	db, err := shop.Open(o.database)
	if err != nil {
		return nil, err
	}
	lifecycle.Append(fx.StopHook(db.Close))
	return db, nil
}

func newStore(lifecycle fx.Lifecycle, db *sql.DB) *shop.Store {
	store := shop.New(db)
	lifecycle.Append(fx.StartHook(store.Prepare))
	return store
}

// newMetrics returns a registry of its own, not the global one. Two applications in one process, as
// in tests, must not share a registry.
func newMetrics(lifecycle fx.Lifecycle) (metric.MeterProvider, web.Metrics, error) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		return nil, nil, err
	}
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	lifecycle.Append(fx.StopHook(provider.Shutdown))
	return provider, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}

func newServer(lifecycle fx.Lifecycle, o options, api *web.API, logger *slog.Logger, shutdowner fx.Shutdowner) *web.Server {
	server := web.NewServer(o.address, api.Handler(), logger, func(err error) {
		logger.Error("the server ended", "error", err)
		_ = shutdowner.Shutdown(fx.ExitCode(exitFailure)) // fails only if a shutdown is already running
	})
	lifecycle.Append(fx.StartStopHook(server.Start, server.Stop))
	return server
}
