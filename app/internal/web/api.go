// Package web is the HTTP side of the example: the shop as a JSON API. It shows how a request finds
// its session through the session cache, and in which order the database and the cache change.
package web

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

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

// handler answers a request. If it returns an error, it has written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

// methods maps the methods of one path to their handlers. http.ServeMux can route methods too, but
// it refuses other methods in plain text.
type methods map[string]handler

// failure is an answer other than 2xx. Its message is for the client.
type failure struct {
	status  int
	message string
}

// Error implements error.
func (f failure) Error() string { return f.message }

func (a *API) route(endpoint methods) http.Handler {
	allowed := strings.Join(slices.Sorted(maps.Keys(endpoint)), ", ")
	return a.handle(func(w http.ResponseWriter, r *http.Request) error {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // net/http omits the body
		}
		answer, ok := endpoint[method]
		if !ok {
			w.Header().Set("Allow", allowed)
			return failure{http.StatusMethodNotAllowed, "use " + allowed}
		}
		return answer(w, r)
	})
}

// handle turns the error of answer into a JSON answer.
func (a *API) handle(answer handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store") // nearly every answer is about one user
		header.Set("X-Content-Type-Options", "nosniff")
		err := answer(w, r)
		if err == nil {
			return
		}
		f := explain(err)
		if f.status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
			a.logError(r, "a request failed", err)
		}
		reply(w, f.status, map[string]string{"error": f.message})
	})
}

// explain returns the answer for err.
func explain(err error) failure {
	var known failure
	var cacheFailed *cache.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, cache.ErrNotFound):
		return failure{http.StatusNotFound, "there is no such thing"}
	case errors.As(err, &cacheFailed):
		// Reads do not fail because of the cache, so this request was a change. Unless the database
		// failed too, it has the change. In both cases the client may repeat the request.
		return failure{http.StatusServiceUnavailable, "the cache does not answer, so other instances may serve old data for some minutes; it is being tried again, and you can repeat the request"}
	default:
		return failure{http.StatusInternalServerError, "something went wrong"}
	}
}

// logInterval is the minimum time between two log lines with the same message, so that a flood of
// requests does not flood the log.
const logInterval = 10 * time.Second

// logThrottle suppresses repeated log lines. It keeps the messages that were logged, by route and
// message. There are few of both.
type logThrottle struct {
	mu       sync.Mutex
	messages map[[2]string]*throttled
}

type throttled struct {
	next       time.Time
	suppressed int // since the last log line
}

// due reports whether the message may be logged now, and how often it was suppressed since it was
// last logged.
func (t *logThrottle) due(route, message string, now time.Time) (suppressed int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]string{route, message}
	last := t.messages[key]
	if last == nil {
		last = &throttled{}
		if t.messages == nil {
			t.messages = make(map[[2]string]*throttled)
		}
		t.messages[key] = last
	}
	if now.Before(last.next) {
		last.suppressed++
		return 0, false
	}
	suppressed = last.suppressed
	*last = throttled{next: now.Add(logInterval)}
	return suppressed, true
}

// logError logs that a request failed. It logs the pattern of the route and not the URL, which may
// contain private data.
func (a *API) logError(r *http.Request, message string, err error) {
	if suppressed, due := a.throttle.due(r.Pattern, message, time.Now()); due {
		a.logger.ErrorContext(r.Context(), message, "method", r.Method, "path", r.Pattern, "error", err, "suppressed", suppressed)
	}
}
