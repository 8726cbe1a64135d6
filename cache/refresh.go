package cache

import (
	"context"
	"errors"
	"sync"
	"time"

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

// keySet is a set of keys.
type keySet struct {
	mu   sync.Mutex
	keys map[string]struct{}
}

// add reports whether key was not there yet.
func (s *keySet) add(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.keys[key]; there {
		return false
	}
	if s.keys == nil {
		s.keys = make(map[string]struct{})
	}
	s.keys[key] = struct{}{}
	return true
}

func (s *keySet) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, key)
}

// refresh loads an entry again in the background, unless that is being done already. seen is the
// stamp of the entry that was served. Nobody waits for a refresh, so it is not a flight. It holds
// the lease, so a flight for the same key waits for it as for a load of another process.
func (l *loader[T]) refresh(ctx context.Context, physical string, seen entry.Stamp, load func(context.Context) (T, error)) {
	if !l.refreshing.add(physical) {
		return
	}
	places := &l.admissions().refresh
	if !places.tryEnter() { // too many; a later hit tries again
		l.refreshing.remove(physical)
		return
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
			if pause > 0 {
				time.AfterFunc(pause, func() { l.refreshing.remove(physical) })
			} else {
				l.refreshing.remove(physical)
			}
		}()
		defer l.watch()()
		pause = l.reload(ctx, owner, d, physical, seen, load)
	})
	if !ok { // the Service has stopped
		places.leave()
		l.refreshing.remove(physical)
	}
}

// reload is one refresh, with the loader of the caller whose context is owner. It returns how long
// to wait before the next refresh of the key.
func (l *loader[T]) reload(ctx, owner context.Context, d *door, physical string, seen entry.Stamp, load func(context.Context) (T, error)) (pause time.Duration) {
	lease, err := l.lease(ctx, d, physical)
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
	// Since the entry was seen, it may have been refreshed or revoked.
	encoded, exists, err := d.get(ctx, physical, l.values.tags, l.values.tagsKnown())
	if err != nil {
		return failurePause
	}
	if e, err := l.values.typ.Parse(encoded); !exists || err != nil || e.Stamp != seen {
		return 0
	}
	generation := d.pending.Generation()
	l.store.counters.loads.Add(1)
	l.store.counters.refreshes.Add(1)
	loading = true
	source := newSource(ctx, d, l.store.options().Clock, lease)
	defer source.end() // also if the loader ends the goroutine
	value, err := l.run(ctx, chain.Load, physical, load)
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
		} else if how = l.fillAbsent(kept, source); how != stored {
			_ = l.delete(kept, physical) // if it fails, it is pending
		}
		if how == failed {
			return failurePause
		}
	case errors.Is(err, ErrNotFound):
		_ = l.delete(kept, physical) // if it fails, it is pending
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
