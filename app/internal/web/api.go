// Package web is the HTTP side of the example: the shop as a JSON API. It shows how a request finds
// its session through the session cache, and in which order the database and the cache change.
package web

import (
	"log/slog"
	"net/http"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// API answers the requests of the shop.
type API struct {
	store   *shop.Store
	catalog *shop.Catalog
	// sessions is the interface, not *sessioncache.Default, so that `session_cache.strategy: noop`
	// works too.
	sessions sessioncache.Sessions
	cache    *cache.Service
	metrics  http.Handler
	logger   *slog.Logger

	throttle logThrottle
}

// Metrics answers GET /metrics.
type Metrics http.Handler

// NewAPI returns the API of the given parts.
func NewAPI(store *shop.Store, catalog *shop.Catalog, sessions sessioncache.Sessions, service *cache.Service, metrics Metrics, logger *slog.Logger) *API {
	return &API{store: store, catalog: catalog, sessions: sessions, cache: service, metrics: metrics, logger: logger}
}

// Handler routes the requests.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, endpoint := range map[string]methods{
		"/login":             {http.MethodPost: a.login},
		"/me":                {http.MethodGet: a.authenticated(a.me)},
		"/logout":            {http.MethodPost: a.logout},
		"/logout-everywhere": {http.MethodPost: a.authenticated(a.logoutEverywhere)},
		"/roles/{code}":      {http.MethodPut: a.permitted(shop.ChangeRoles, a.putRole)},
		"/products/{id}":     {http.MethodGet: a.getProduct, http.MethodPut: a.permitted(shop.ChangeProducts, a.putProduct)},
		"/stats":             {http.MethodGet: a.stats},
		"/healthz":           {http.MethodGet: a.healthz},
		"/metrics":           {http.MethodGet: func(w http.ResponseWriter, r *http.Request) error { a.metrics.ServeHTTP(w, r); return nil }},
	} {
		mux.Handle(path, a.route(endpoint))
	}
	mux.Handle("/", a.handle(func(http.ResponseWriter, *http.Request) error {
		return failure{http.StatusNotFound, "there is no such page"}
	}))
	// SameSite keeps the cookie from other sites, but not from other hosts of the same domain.
	// Requests that change something must therefore come from this very host.
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(a.handle(func(http.ResponseWriter, *http.Request) error {
		return failure{http.StatusForbidden, "requests from other sites are not accepted"}
	}))
	return protection.Handler(mux)
}
