package web

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/sessioncache"
)

const (
	cookieName = "session"
	// sourceHeader tells whether this request asked the database for its session.
	sourceHeader = "X-Session-Source"
)

// sessionHandler is a handler of requests that have a session.
type sessionHandler func(w http.ResponseWriter, r *http.Request, session *sessioncache.CachedSession) error

// authenticated passes requests on that have a session.
//
// Note what is not here: no Get, no Set, no decision what to do when the cache is down. GetOrLoad
// asks the cache, and the database where that has no answer in time; what it stores can never
// outlive a log-out or a change of roles that came while it was reading.
func (a *API) authenticated(next sessionHandler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		token := presented(r)
		if token == "" {
			return unauthenticated(w)
		}
		var loaded atomic.Bool // the load may still run when this request has been cancelled
		session, found, err := a.sessions.GetOrLoad(r.Context(), token, func(ctx context.Context) (*sessioncache.CachedSession, error) {
			loaded.Store(true)
			return a.store.Session(ctx, token)
		})
		if err != nil {
			return err
		}
		// A session without a user is anonymous. This shop makes none, but what is in the cache may come
		// from a program that does.
		if !found || session.User == nil {
			return unauthenticated(w)
		}
		source := "cache"
		if loaded.Load() {
			source = "database"
		}
		w.Header().Set(sourceHeader, source)
		return next(w, r, session)
	}
}

func unauthenticated(w http.ResponseWriter) error {
	w.Header().Set("WWW-Authenticate", "Bearer")
	return failure{http.StatusUnauthorized, "please log in"}
}

// permitted passes requests on whose user has the permission.
func (a *API) permitted(permission string, next sessionHandler) handler {
	return a.authenticated(func(w http.ResponseWriter, r *http.Request, session *sessioncache.CachedSession) error {
		if !session.User.HasPermission(shop.Channel, permission) {
			return failure{http.StatusForbidden, "this needs the permission " + permission}
		}
		return next(w, r, session)
	})
}

// presented returns the token that r came with, from the header or else the cookie; empty: none, or what
// cannot be a token.
func presented(r *http.Request) (token string) {
	if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(rest)
	} else if cookie, err := r.Cookie(cookieName); err == nil {
		token = cookie.Value
	}
	if !shop.IsToken(token) {
		return ""
	}
	return token
}

// setCookie gives the browser a token; an empty one takes the cookie away.
//
// The cookie lives as long as any session may: the database decides when a session ends, and renews
// it without telling the browser.
func setCookie(w http.ResponseWriter, r *http.Request, token string) {
	lifetime := shop.SessionLimit
	if token == "" {
		lifetime = -time.Second
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // a shop on localhost has no TLS, and a Secure cookie would not come back
		Name:     cookieName,
		Value:    token,
		Path:     "/",
		MaxAge:   int(lifetime / time.Second),
		Expires:  time.Now().Add(lifetime),
		HttpOnly: true,         // no script can read it
		Secure:   r.TLS != nil, // a forwarded header could come from anybody
		SameSite: http.SameSiteLaxMode,
	})
}
