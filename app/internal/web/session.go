package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/cache"
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

// login answers POST /login. It always makes a new token and ends the session that the request came
// with. Otherwise an attacker who planted that token in the user's browser would now be logged in
// (session fixation). Both changes are one transaction. The cache is updated afterwards, and the
// login succeeds even if the cache fails.
func (a *API) login(w http.ResponseWriter, r *http.Request) error {
	credentials, err := decode[struct {
		Identifier string `json:"identifier"`
		Password   string `json:"password"`
	}](w, r)
	if err != nil {
		return err
	}
	user, err := a.store.Authenticate(r.Context(), credentials.Identifier, credentials.Password)
	switch {
	case errors.Is(err, shop.ErrLogin):
		return failure{http.StatusUnauthorized, err.Error()}
	case errors.Is(err, shop.ErrBusy):
		w.Header().Set("Retry-After", "1") // seconds
		return failure{http.StatusServiceUnavailable, "too many people are logging in; try again in a moment"}
	case err != nil:
		return err
	case r.Context().Err() != nil:
		return r.Context().Err() // without a client nobody would have the token, so nobody could end the session
	}
	// From here on a client that disconnects must not stop the login half-way.
	ctx := context.WithoutCancel(r.Context())
	token, old, ended := shop.NewToken(), presented(r), false
	// Update writes to the database, and then to the cache unless the session was ended meanwhile.
	// The first request after the login is therefore a hit. No node can know the new token, so
	// there is none to wait for.
	session, err := a.sessions.Update(cache.WithNewKey(ctx), token, func(ctx context.Context) (session *sessioncache.CachedSession, err error) {
		if session, ended, err = a.store.StartSession(ctx, token, user, old); err != nil {
			err = fmt.Errorf("%w: %w", cache.ErrUnchanged, err) // it was rolled back, and no client has this token
		}
		return session, err
	})
	if session == nil {
		return err
	}
	// An error together with a session says that an older state of the session may still be cached.
	// There is no older state, because the token is new.
	body := map[string]string{"token": token}
	if ended {
		// The login is valid even if the previous session could not be deleted from the cache.
		if err := a.sessions.Delete(ctx, old); err != nil {
			body["warning"] = "the previous session has ended, but other instances may serve it for some minutes"
			a.logError(r, "the cache does not know that a session has ended", err)
		}
	}
	setCookie(w, r, token)
	if deliver(w, r, body) {
		a.logger.InfoContext(ctx, "logged in", "session", session) // session prints IDs, not the token
		return nil
	}
	// No client has the token, so no client could end the session.
	if _, err := a.store.EndSession(ctx, token); err != nil {
		a.logError(r, "a session without a client cannot be ended", err)
	} else if err := a.sessions.Delete(ctx, token); err != nil {
		a.logError(r, "the cache does not know that a session has ended", err)
	}
	return nil
}

// logout answers POST /logout. It deletes the session from the database first, and then from the
// cache.
//
// The order matters because of requests in between. If the cache were first, such a request would
// miss, load the session, which the database still has, and cache it again. The user would be
// logged out, but the token would still work.
//
// Ending a session that is already gone is harmless: a client repeats the request if its first
// attempt failed half-way. However, a token that neither the database nor the cache knows is not
// deleted from the cache. While the cache is down, each deletion becomes a pending revocation, and
// strangers can send any number of such tokens.
func (a *API) logout(w http.ResponseWriter, r *http.Request) error {
	token := presented(r)
	if token == "" {
		return failure{http.StatusUnauthorized, "there is no session to end"}
	}
	ctx := context.WithoutCancel(r.Context()) // a client that disconnects must not stop this between the two deletions
	known, err := a.store.EndSession(ctx, token)
	if err != nil {
		return err // neither the database nor the cache has changed
	}
	if !known {
		if _, known, err = a.sessions.Get(ctx, token); err != nil {
			return err
		}
	}
	if known {
		// The client must know about an error: the token may work until the session is read from
		// the database again (session_cache.stale_after).
		if err := a.sessions.Delete(ctx, token); err != nil {
			return err
		}
	}
	setCookie(w, r, "")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// logoutEverywhere answers POST /logout-everywhere. The database is first. The cache then needs one
// operation, however many sessions the user has.
func (a *API) logoutEverywhere(w http.ResponseWriter, r *http.Request, session *sessioncache.CachedSession) error {
	ctx := context.WithoutCancel(r.Context())
	if err := a.store.EndSessions(ctx, session.User.ID); err != nil {
		return err
	}
	if err := a.sessions.DeleteUser(ctx, session.User.ID); err != nil {
		return err
	}
	a.logger.InfoContext(ctx, "logged out everywhere", "session", session)
	setCookie(w, r, "")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// me answers GET /me.
func (a *API) me(w http.ResponseWriter, _ *http.Request, session *sessioncache.CachedSession) error {
	permissions := []string{}
	for _, channel := range session.User.ChannelPermissions {
		permissions = append(permissions, channel.Permissions...)
	}
	reply(w, http.StatusOK, map[string]any{
		"id":          session.User.ID,
		"identifier":  session.User.Identifier,
		"roles":       append([]string{}, shop.Roles(session)...), // [], not null
		"permissions": permissions,
		"expires":     session.Expires.UTC(),
	})
	return nil
}
