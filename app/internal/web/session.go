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
	// sourceHeader says whether the session of this request was read from the database.
	sourceHeader = "X-Session-Source"
)

// sessionHandler handles a request that has a session.
type sessionHandler func(w http.ResponseWriter, r *http.Request, session *sessioncache.CachedSession) error

// authenticated passes a request on only if it has a session.
//
// There is no Get, no Set, and no special case for a cache that is down. GetOrLoad asks the cache,
// and reads the database if the cache has no answer in time. If a logout or a change of roles
// happens while it reads, the result is not cached.
func (a *API) authenticated(next sessionHandler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		token := presented(r)
		if token == "" {
			return unauthenticated(w)
		}
		var loaded atomic.Bool // atomic: the load may still run after this request was cancelled
		session, found, err := a.sessions.GetOrLoad(r.Context(), token, func(ctx context.Context) (*sessioncache.CachedSession, error) {
			loaded.Store(true)
			return a.store.Session(ctx, token)
		})
		if err != nil {
			return err
		}
		// A session without a user is anonymous. This shop makes none, but another program that
		// shares the cache may.
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

// permitted passes a request on only if its user has the permission.
func (a *API) permitted(permission string, next sessionHandler) handler {
	return a.authenticated(func(w http.ResponseWriter, r *http.Request, session *sessioncache.CachedSession) error {
		if !session.User.HasPermission(shop.Channel, permission) {
			return failure{http.StatusForbidden, "this needs the permission " + permission}
		}
		return next(w, r, session)
	})
}

// presented returns the token of r, from the header or else from the cookie. It returns "" if there
// is none, or if it cannot be a token.
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

// setCookie sends the token to the browser. An empty token removes the cookie.
//
// The cookie lives as long as the longest session. The database decides when a session ends, and
// renews it without telling the browser.
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
		HttpOnly: true,         // scripts cannot read it
		Secure:   r.TLS != nil, // a forwarded header cannot be trusted
		SameSite: http.SameSiteLaxMode,
	})
}
