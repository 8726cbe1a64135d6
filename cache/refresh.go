package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/entry"
	"github.com/fxcache/fxcache/cache/internal/memo"
	"github.com/fxcache/fxcache/internal/chain"
)

const (
	// failurePause is how long a key is not refreshed after a refresh failed. Without it, every hit
	// would ask a database in trouble again.
	failurePause = time.Second
	// busyPause is how long a key is not refreshed if somebody else is refreshing it.
	busyPause = 100 * time.Millisecond
)

// refresh is one load in the background.
type refresh struct {
	seen entry.Stamp   // of the entry that it replaces
	done chan struct{} // closed when it has ended
	// absent: the loader found nothing, so the entry is gone. It is read after done.
	absent bool
}

// refreshes holds the keys for which no refresh may be started now, each with its last refresh.
type refreshes struct {
	mu    sync.Mutex
	byKey map[string]*refresh
}

// add returns the refresh of key. own reports whether it is a new one. It is nil if the last one
// has ended, and the next one may not start yet.
func (s *refreshes) add(key string, seen entry.Stamp) (r *refresh, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.byKey[key]; r != nil {
		select {
		case <-r.done:
			return nil, false
		default:
			return r, false
		}
	}
	if s.byKey == nil {
		s.byKey = make(map[string]*refresh)
	}
	r = &refresh{seen: seen, done: make(chan struct{})}
	s.byKey[key] = r
	return r, true
}

// end ends a refresh. The next one of its key may start after pause.
func (s *refreshes) end(key string, r *refresh, pause time.Duration) {
	if pause > 0 {
		time.AfterFunc(pause, func() { s.remove(key) })
	} else {
		s.remove(key)
	}
	close(r.done)
}

func (s *refreshes) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, key)
}

// refresh loads an entry again in the background, unless that is being done already. seen is the
// stamp of the entry that was found. Nobody needs the result of a refresh, so it is not a flight,
// and it goes on if a caller that waits for it (Policy.StaleAfter) leaves. It holds the lease, so a
// flight for the same key waits for it as for a load of another process. r is nil if no refresh is
// running, and own reports whether it is a new one.
func (l *loader[T]) refresh(ctx context.Context, physical string, seen entry.Stamp, load func(context.Context) (T, error)) (r *refresh, own bool) {
	if r, own = l.refreshing.add(physical, seen); !own {
		return r, false
	}
	places := &l.admissions().refresh
	if !places.tryEnter() { // too many; a later hit tries again
		l.refreshing.end(physical, r, 0)
		return nil, false
	}
	owner := ctx
	_, _, ok := l.store.tasks.Start(chain.Leave(memo.OutsideScope(ctx)), func(ctx context.Context) {
		// a later value could not be stored
		d := l.store.door()
		ctx, cancel := context.WithTimeout(ctx, d.leaseTTL)
		defer cancel()
		pause := failurePause // if the loader ends the goroutine
		defer func() {
			places.leave()
			l.refreshing.end(physical, r, pause)
		}()
		defer l.watch()()
		pause = l.reload(ctx, owner, d, physical, r, load)
	})
	if !ok { // the Service has stopped
		places.leave()
		l.refreshing.end(physical, r, 0)
		return nil, false
	}
	return r, true
}

// leaseToRefresh returns the lease on the key of a refresh. It is nil if somebody else is loading
// the key. With Policy.StaleAfter it waits for that, because callers wait for the result.
func (l *loader[T]) leaseToRefresh(ctx context.Context, d *door, physical string, r *refresh) (lease *driver.Lease, err error) {
	if lease, err = l.lease(ctx, d, physical); lease != nil || err != nil || l.values.policy().StaleAfter == 0 {
		return lease, err
	}
	_ = l.retry(ctx, d, physical, l.values.policy().StaleAfter, func() bool {
		if _, same, failure := l.find(ctx, d, physical, r); failure == nil && !same {
			return true // somebody else has loaded it
		}
		lease, err = l.lease(ctx, d, physical)
		return lease != nil || err != nil
	})
	return lease, err
}

// find reads the entry that a refresh is to replace. same reports whether it is still there. If
// not, it has been replaced or revoked.
func (l *loader[T]) find(ctx context.Context, d *door, physical string, r *refresh) (encoded []byte, same bool, err error) {
	encoded, exists, err := d.get(ctx, physical, l.values.stored())
	if !exists || err != nil {
		return nil, false, err
	}
	e, err := l.values.typ.Parse(encoded)
	return encoded, err == nil && e.Stamp == r.seen, nil
}

// reload is one refresh, with the loader of the caller whose context is owner. It returns how long
// to wait before the next refresh of the key.
func (l *loader[T]) reload(ctx, owner context.Context, d *door, physical string, r *refresh, load func(context.Context) (T, error)) (pause time.Duration) {
	lease, err := l.leaseToRefresh(ctx, d, physical, r)
	if err != nil {
		return failurePause
	}
	if lease == nil {
		return busyPause
	}
	loading := false
	defer func() { // also if the loader ends the goroutine
		if lease != nil { // not used
			d.release(context.WithoutCancel(ctx), lease)
		}
		if loading {
			l.loadFailed(err)
		}
	}()
	generation := d.pending.Generation()
	// Since the entry was seen, it may have been refreshed or revoked. This is read under the
	// lease, so ErrNotModified may have it stored again.
	encoded, same, err := l.find(ctx, d, physical, r)
	if err != nil {
		return failurePause
	}
	if !same {
		return 0
	}
	l.store.counters.loads.Add(1)
	l.store.counters.refreshes.Add(1)
	loading = true
	source := newSource(ctx, d, l.store.options().Clock, lease)
	defer source.end() // also if the loader ends the goroutine
	value, err := l.run(ctx, chain.Load, physical, load, l.values.replacing(encoded))
	source.end()
	loading = err != nil
	switch kept := context.WithoutCancel(ctx); {
	case err == nil || errors.Is(err, ErrNotFound) && l.values.policy().NegativeTTL > 0:
		if d.outdated(generation) { // see produce
			l.store.counters.refused.Add(1)
			return failurePause
		}
		lease = nil // used
		var how outcome
		if err == nil {
			how = l.fill(kept, physical, value, source, source.took, false)
		} else {
			if how = l.fillAbsent(kept, source); how != stored {
				_ = l.delete(kept, physical) // if it fails, it is pending
			}
			r.absent = true
		}
		if how == failed {
			return failurePause
		}
	case errors.Is(err, ErrNotFound):
		_ = l.delete(kept, physical) // if it fails, it is pending
		r.absent = true
	default:
		if !errors.Is(ctx.Err(), context.Canceled) { // by Stop
			l.store.logger.warn(ctx, ofRefreshes, "cache: a refresh failed; the last good values are served until they end", err)
		}
		if ended := owner.Err(); ended != nil && ctx.Err() == nil && errors.Is(err, ended) {
			// it depended on its request; the load of another caller may succeed
			return busyPause
		}
		return failurePause
	}
	return 0
}

// pastTTL is the rest of GetOrLoad for an entry past its TTL: last, with the stamp seen. It has the
// entry refreshed in the background, and serves last at once, or with Policy.StaleAfter if the
// refresh takes too long.
func (l *loader[T]) pastTTL(ctx context.Context, physical string, last T, seen entry.Stamp, load func(context.Context) (T, error)) (T, error) {
	counters := &l.store.counters
	stale := func(value T) (T, error) {
		counters.hits.Add(1)
		counters.staleHits.Add(1)
		return value, nil
	}
	r, own := l.refresh(ctx, physical, seen, load)
	if r == nil || l.values.policy().StaleAfter == 0 {
		return stale(last)
	}
	if !own {
		counters.sharedLoads.Add(1)
	}
	patient, cancel := context.WithTimeout(ctx, l.values.policy().StaleAfter)
	defer cancel()
	// The refresh may be waiting for what this caller is loading.
	over, stop := chain.From(ctx).Patience(l.store.options().LockWait)
	defer stop()
	select {
	case <-r.done:
	case <-over:
		return stale(last)
	case <-patient.Done():
	}
	value, verdict, found, err := l.again(patient, physical)
	switch {
	case err != nil && ctx.Err() == nil:
		return stale(last)
	case err == nil && verdict == serveStale: // the load failed
		return stale(value)
	}
	counters.misses.Add(1)
	var zero T
	switch {
	case err != nil:
		return zero, l.store.fail("load", ctx.Err())
	case verdict == serve:
		return value, nil
	case verdict == serveNothing, !found && r.absent && r.seen == seen:
		return zero, ErrNotFound
	default: // it was revoked, or what was loaded is not to be stored
		return l.load(ctx, physical, load, false)
	}
}

// again reads an entry after a refresh. So a caller that has waited gets what one would get that
// comes now, whatever the refresh has read, and whatever was revoked since.
func (l *loader[T]) again(ctx context.Context, physical string) (value T, v verdict, found bool, err error) {
	if ctx.Err() != nil {
		return value, reload, false, ctx.Err()
	}
	encoded, found, err := l.store.door().get(ctx, physical, l.values.expected())
	if err != nil || !found {
		if err != nil && ctx.Err() == nil {
			l.store.counters.errors.Add(1)
		}
		return value, reload, false, err
	}
	value, e, failure := l.values.decode(encoded)
	if failure != nil { // the load that follows sees to it
		return value, reload, true, nil //nolint:nilerr // it is a miss
	}
	v, err = l.values.judge(value, e)
	return value, v, true, err
}
