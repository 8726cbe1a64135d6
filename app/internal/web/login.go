package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// login answers POST /login. It always makes a new token, and ends the session that the request came
// with: whoever had planted that token on the user would otherwise be logged in now. Both are one
// transaction; the cache hears of it afterwards, and need not answer.
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
		return r.Context().Err() // a session that nobody has the token of is one that nobody can end
	}
	// From here on a client that hangs up stops nothing half-way.
	ctx := context.WithoutCancel(r.Context())
	token, old, ended := shop.NewToken(), presented(r), false
	// Update writes to the database, and then to the cache unless the session was ended meanwhile:
	// the first request after the log-in finds it there.
	session, err := a.sessions.Update(ctx, token, func(ctx context.Context) (session *sessioncache.CachedSession, err error) {
		if session, ended, err = a.store.StartSession(ctx, token, user, old); err != nil {
			err = fmt.Errorf("%w: %w", cache.ErrUnchanged, err) // it was rolled back, and nobody has seen this token
		}
		return session, err
	})
	if session == nil {
		return err
	}
	// An error beside a session says that an older state of it may still be cached. Nothing older
	// can be: nobody has seen this token before.
	body := map[string]string{"token": token}
	if ended {
		// The log-in stands, whether or not the cache can be told of the session before it.
		if err := a.sessions.Delete(ctx, old); err != nil {
			body["warning"] = "the session of before has ended, but other instances may serve it for some minutes"
			a.complain(r, "the cache does not know that a session has ended", err)
		}
	}
	setCookie(w, r, token)
	if deliver(w, r, body) {
		a.logger.InfoContext(ctx, "logged in", "session", session) // it prints ids, and no token
		return nil
	}
	// Nobody has the token, so nobody could end the session.
	if _, err := a.store.EndSession(ctx, token); err != nil {
		a.complain(r, "a session without a client cannot be ended", err)
	} else if err := a.sessions.Delete(ctx, token); err != nil {
		a.complain(r, "the cache does not know that a session has ended", err)
	}
	return nil
}

// logout answers POST /logout: it deletes the session from the database, and then from the cache.
//
// In this order, because of the requests that come in between. When the cache goes first, such a
// request finds no entry, loads the session from the database, where it still is, and puts it back
// into the cache: the user has logged out, and the token still works.
//
// Ending a session that is gone already does no harm, and is what a client does whose first try failed
// half-way. What neither the database nor the cache knows is not deleted from the cache, though: while the
// cache does not answer that would be owed, and strangers can send any number of such tokens.
func (a *API) logout(w http.ResponseWriter, r *http.Request) error {
	token := presented(r)
	if token == "" {
		return failure{http.StatusUnauthorized, "there is no session to end"}
	}
	ctx := context.WithoutCancel(r.Context()) // a client that hangs up must not stop this between the two
	known, err := a.store.EndSession(ctx, token)
	if err != nil {
		return err // nothing has changed, in the cache neither
	}
	if !known {
		if _, known, err = a.sessions.Get(ctx, token); err != nil {
			return err
		}
	}
	if known {
		// An error is the client's business: the token may work until the cache asks the database again
		// (session_cache.stale_after).
		if err := a.sessions.Delete(ctx, token); err != nil {
			return err
		}
	}
	setCookie(w, r, "")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// logoutEverywhere answers POST /logout-everywhere: database first, and one operation on the cache,
// however many sessions the user has.
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
		"roles":       append([]string{}, shop.Roles(session)...), // [] and not null
		"permissions": permissions,
		"expires":     session.Expires.UTC(),
	})
	return nil
}
