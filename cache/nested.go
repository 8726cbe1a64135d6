package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/internal/chain"
)

// ReadThrough returns a context for what runs within an open transaction of the database. No cache can
// know what a transaction sees: its snapshot may be older than an invalidation, and what it has
// written may be rolled back. With this context
//
//   - GetOrLoad runs its load at once, alone, with this very context, and stores nothing; Get and GetMany
//     are misses. [Refreshing], [Derive] and the session cache likewise; sessions are not renewed.
//   - Update runs its write and stores nothing; Update, Set and SetMany delete the entry instead, as Delete does.
//     Refreshing.Refresh is followed by Invalidate.
//   - [Memo] neither uses nor keeps what the request has memoised.
//   - Delete, InvalidateTags and Clear do what they always do.
//
// Until the commit others may load, and store, what is about to change: revoke it once more after the
// commit, or change it in the write of an Update that commits before it returns.
//
// Use it for what runs within the transaction, and the context that it was made of for what comes after.
func ReadThrough(ctx context.Context) context.Context {
	ctx, _ = chain.Enter(outsideScope(ctx), chain.Transaction, nil)
	return ctx
}

// ReadsThrough reports whether ctx is from [ReadThrough]. Caches that are no [Cache], such as session
// strategies with a storage of their own, ask it.
func ReadsThrough(ctx context.Context) bool { return chain.From(ctx).InTransaction() }

// nestedWait is how long a load or write waits for a Refreshing or a Memo that somebody else loads: as
// long as Options.LockWait by default. Both may be in a ring of loads that wait for each other.
const nestedWait = 2 * time.Second

// hungLoad is after what time a load is warned about.
const hungLoad = time.Minute

// entryID is what the links of a chain tell of an entry. Two caches of one name share their entries.
type entryID struct {
	service  *Service
	physical string
}

// unreadable reports whether an entry is a miss for the code that has ctx, whatever is stored.
func (s *Service) unreadable(ctx context.Context, physical string) bool {
	within := chain.From(ctx)
	if within == nil || within.To(entryID{s, physical}) == chain.Apart || s.ready() != nil {
		return false
	}
	s.counters.misses.Add(1)
	return true
}

// run runs a load or a write of an entry.
func (c *Cache[T]) run(ctx context.Context, kind chain.Kind, physical string, function func(context.Context) (T, error)) (T, error) {
	ctx, link := chain.Enter(ctx, kind, entryID{c.service, physical})
	defer link.End()
	return protect(ctx, function)
}

// alone runs load for its caller alone, and stores nothing.
func (c *Cache[T]) alone(ctx context.Context, kind chain.Kind, physical string, load func(context.Context) (T, error)) (value T, err error) {
	c.service.counters.loads.Add(1)
	err = &PanicError{} // stands where load ends the goroutine
	defer func() {
		if err != nil {
			c.service.counters.loadErrors.Add(1)
		}
	}()
	return c.run(outsideScope(ctx), kind, physical, load)
}

// patience bounds the wait of a caller for what somebody else loads. Within a load or a write it may be
// that this one waits for the caller. over is nil where the caller may wait for as long as its context.
func patience(within *chain.Link, wait time.Duration) (over <-chan time.Time, stop func()) {
	if within == nil {
		return nil, func() {}
	}
	if within.HasWaited() {
		wait = 0
	}
	timer := time.NewTimer(wait)
	return timer.C, func() { timer.Stop() }
}

var errHungLoad = fmt.Errorf("it has been running for %v", hungLoad)

// watch warns of a load that has not ended a minute later, until stop is called.
func (c *Cache[T]) watch() (stop func()) {
	timer := time.AfterFunc(hungLoad, func() {
		c.service.warn(context.Background(), &c.hungWarning, "cache: a load does not end, and who asks for its key waits for it",
			errHungLoad, "cache", c.name)
	})
	return func() { timer.Stop() }
}
