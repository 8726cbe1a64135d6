package web

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/fxcache/fxcache/cache"
)

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
