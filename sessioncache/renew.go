package sessioncache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/chain"
)

// errRotated explains an ErrTokenMismatch of Options.Renew.
var errRotated = fmt.Errorf("%w: Renew must not rotate the token, because the client goes on with the old one; "+
	"rotate it where the client is told: Update the new token, then Delete the old one", ErrTokenMismatch)

// renewals are the sessions that this process is renewing, and those that it has tried to renew to
// no avail. They are found by a hash of the token: not every application sets an ID.
type renewals struct {
	seed    maphash.Seed
	mu      sync.Mutex
	running map[uint64]struct{}
	// tried says when. The second map is the older one, and is forgotten as a whole.
	tried  [2]map[uint64]time.Time
	turned time.Time // when the second one was the first
}

// maxTried limits each map of renewals.tried. With more sessions, the oldest may be tried early.
const maxTried = 1 << 16

// tryStart reports whether a session may be renewed now. If so, finish must follow.
func (r *renewals) tryStart(session uint64, now time.Time, pause time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, running := r.running[session]; running {
		return false
	}
	for _, tried := range r.tried {
		if at, there := tried[session]; there && now.Sub(at) < pause && !now.Before(at) { // unless the clock was set back
			return false
		}
	}
	if r.running == nil {
		r.running = make(map[uint64]struct{})
	}
	r.running[session] = struct{}{}
	return true
}

// finish ends a renewal that began at that time. Unless it has settled the matter, there is none
// for pause.
func (r *renewals) finish(session uint64, began time.Time, pause time.Duration, settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, session)
	if settled {
		return
	}
	if r.tried[0] == nil || len(r.tried[0]) >= maxTried || began.Sub(r.turned) >= pause {
		r.tried = [2]map[uint64]time.Time{make(map[uint64]time.Time), r.tried[0]}
		r.turned = began
	}
	r.tried[0][session] = began
}

// renew prolongs session if less than half of its duration is left, and returns its new state. It
// checks every session that is served, not only those that were loaded. Otherwise a user whose
// session always comes from the cache would be logged out while working.
func (d *Default) renew(ctx context.Context, st *state, session *CachedSession) (*CachedSession, bool, error) {
	if chain.From(ctx) != nil { // never write to the database within a load, a write or a transaction
		return session, true, nil
	}
	began := st.clock.Now()
	if d.options.Renew == nil || session.capped || !d.due(session, began) {
		return session, true, nil
	}
	token := session.Token.Reveal()
	name := maphash.String(d.renewals.seed, token)
	if !d.renewals.tryStart(name, began, d.limits.Load().staleAfter) {
		return session, true, nil // it was tried, or another request renews it, and it is still valid
	}
	settled := false
	defer func() { d.renewals.finish(name, began, d.limits.Load().staleAfter, settled) }()
	// A node that does not know of the renewal yet serves a session that is as valid. No read waits
	// for it.
	renewed, err := d.Update(chain.WithoutPropagation(ctx), token, func(ctx context.Context) (*CachedSession, error) {
		renewed, err := d.options.Renew(ctx, session.Clone())
		if err != nil && !errors.Is(err, cache.ErrNotFound) {
			// A failed renewal changes nothing. The cached session is still valid, and it must stay
			// cached because the database may be in trouble.
			return nil, fmt.Errorf("%w: %w", cache.ErrUnchanged, err)
		}
		if err != nil || renewed == nil {
			return nil, err
		}
		if !renewed.Token.IsZero() && renewed.Token.Reveal() != token {
			return nil, errRotated
		}
		renewed.capped = d.due(renewed, st.clock.Now())
		return renewed, nil
	})
	switch failure := (*cache.Error)(nil); {
	case errors.Is(err, cache.ErrNotFound) && !errors.Is(err, ErrNoExpires):
		return nil, false, nil
	case renewed != nil && (err == nil || errors.As(err, &failure)):
		settled = !renewed.capped
		return renewed, true, nil
	default:
		d.warn(ctx, st, ofRenewals, "sessioncache: a session could not be renewed; this is not tried again within stale_after",
			"session", session.ID, "error", err)
		return session, true, nil
	}
}

// due reports whether less than half of the session's duration is left.
func (d *Default) due(session *CachedSession, now time.Time) bool {
	return session.Expires.Sub(now) < d.options.Duration/2
}
