package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/sessioncache"
)

// login answers POST /login. It always makes a new token, and ends the session that the request came
// with: whoever had planted that token on the user would otherwise be logged in now.
func (a *API) login(w http.ResponseWriter, r *http.Request) error {
	credentials, err := decode[struct {
		Identifier string `json:"identifier"`
		Password   string `json:"password"`
	}](w, r)
	if err != nil {
		return err
	}
	user, err := a.store.Authenticate(r.Context(), credentials.Identifier, credentials.Password)
	if errors.Is(err, shop.ErrLogin) {
		return failure{http.StatusUnauthorized, err.Error()}
	}
	if err != nil {
		return err
	}
	if old := presented(r); old != "" {
		if err := a.endSession(r.Context(), old); err != nil {
			return err
		}
	}
	token := shop.NewToken()
	// Update writes to the database, and then to the cache unless the session was ended meanwhile:
	// the first request after the log-in finds it there.
	session, err := a.sessions.Update(r.Context(), token, func(ctx context.Context) (*sessioncache.CachedSession, error) {
		return a.store.StartSession(ctx, token, user)
	})
	if session == nil {
		return err
	}
	// An error beside a session says that an older state of it may still be cached. Nothing older
	// can be: nobody has seen this token before.
	a.logger.InfoContext(r.Context(), "logged in", "session", session) // it prints ids, and no token
	setCookie(w, r, token)
	reply(w, http.StatusOK, map[string]string{"token": token})
	return nil
}

// logout answers POST /logout. It does not look for the session first: ending one that is gone
// already does no harm, and is what a client does whose first try failed half-way.
func (a *API) logout(w http.ResponseWriter, r *http.Request) error {
	token := presented(r)
	if token == "" {
		return failure{http.StatusUnauthorized, "there is no session to end"}
	}
	if err := a.endSession(r.Context(), token); err != nil {
		return err
	}
	setCookie(w, r, "")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// endSession deletes a session: from the database, and then from the cache.
//
// In this order, because of the requests that come in between. When the cache goes first, such a
// request finds no entry, loads the session from the database, where it still is, and puts it back
// into the cache: the user has logged out, and the token still works.
func (a *API) endSession(ctx context.Context, token string) error {
	// A client that hangs up must not stop this between the two.
	ctx = context.WithoutCancel(ctx)
	if err := a.store.EndSession(ctx, token); err != nil {
		return err // nothing has changed, in the cache neither
	}
	// An error is the client's business: the token may work until the cache asks the database again
	// (session_cache.stale_after).
	return a.sessions.Delete(ctx, token)
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
