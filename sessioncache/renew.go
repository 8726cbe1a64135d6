package sessioncache

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/chain"
)

// renewals are the sessions that this process is renewing.
type renewals struct {
	mu      sync.Mutex
	running map[ID]struct{}
}

func (r *renewals) tryStart(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, running := r.running[id]; running {
		return false
	}
	if r.running == nil {
		r.running = make(map[ID]struct{})
	}
	r.running[id] = struct{}{}
	return true
}

func (r *renewals) finish(id ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, id)
}

// renew prolongs session if less than half of its duration is left, and returns its new state. It
// checks every session that is served, not only those that were loaded. Otherwise a user whose
// session always comes from the cache would be logged out while working.
func (d *Default) renew(ctx context.Context, st *state, session *CachedSession) (*CachedSession, bool, error) {
	if chain.From(ctx) != nil { // never write to the database within a load, a write or a transaction
		return session, true, nil
	}
	if d.options.Renew == nil || session.capped || session.Expires.Sub(st.clock.Now()) >= d.options.Duration/2 {
		return session, true, nil
	}
	if !d.renewals.tryStart(session.ID) {
		return session, true, nil // another request renews it, and it is still valid
	}
	defer d.renewals.finish(session.ID)
	token := session.Token.Reveal()
	renewed, err := d.Update(ctx, token, func(ctx context.Context) (*CachedSession, error) {
		renewed, err := d.options.Renew(ctx, session.Clone())
		if renewed != nil {
			renewed.capped = !renewed.Expires.After(session.Expires)
		}
		if err != nil && !errors.Is(err, cache.ErrNotFound) {
			// A failed renewal changes nothing. The cached session is still valid, and it must stay
			// cached because the database may be in trouble.
			err = fmt.Errorf("%w: %w", cache.ErrUnchanged, err)
		}
		return renewed, err
	})
	switch failure := (*cache.Error)(nil); {
	case errors.Is(err, cache.ErrNotFound):
		return nil, false, nil
	case renewed != nil && (err == nil || errors.As(err, &failure)):
		return renewed, true, nil
	default:
		st.service.Options().Logger.WarnContext(ctx, "sessioncache: a session could not be renewed", "error", err)
		return session, true, nil
	}
}
