package cache

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/fxcache/fxcache/internal/chain"
)

const (
	// failurePause is for how long a key is left alone whose refresh failed, so that a database in
	// trouble is not asked again by every hit.
	failurePause = time.Second
	// busyPause is for how long a key is left alone that somebody else is refreshing.
	busyPause = 100 * time.Millisecond
)

// verdict says what to do with an entry that was found.
type verdict int

const (
	reload       verdict = iota // it must not be served
	serve                       // it is good
	serveStale                  // it is past its TTL; serve it, and refresh it
	serveNothing                // it says that there is nothing
)

// judge decides about an entry.
func (c *Cache[T]) judge(value T, e envelope) (verdict, error) {
	if e.absent {
		if c.policy.NegativeTTL > 0 {
			return serveNothing, nil
		}
		return reload, nil
	}
	if e.expiry != 0 {
		switch late := c.service.options.Clock.Now().UnixMilli() - e.expiry; {
		case late >= c.policy.StaleFor.Milliseconds() && late >= 0:
			return reload, nil
		case late >= 0:
			return serveStale, nil
		}
	}
	fresh, err := c.fresh(value)
	if err != nil || !fresh {
		return reload, err
	}
	return serve, nil
}

// maxSurprise is above -ln of the smallest number that 1-Float64 returns, 2^-53.
const maxSurprise = 37

// early reports whether a hit should start a refresh before the entry's TTL ends: XFetch, as named in
// Policy. Far from the end that is certain without a random number.
func (c *Cache[T]) early(s stamp) bool {
	if c.policy.EarlyRefresh == 0 || s.took == 0 {
		return false
	}
	left := float64(time.UnixMilli(s.expiry).Sub(c.service.options.Clock.Now()))
	scale := float64(s.took) * c.policy.EarlyRefresh
	return left < scale*maxSurprise && left <= scale*-math.Log(1-c.random())
}

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

// refresh loads an entry again in the background, unless that is being done already. seen is the stamp of
// the entry that was served. Nobody waits for a refresh: it is no flight. To a flight for the same key
// it is what a load of another process is, because it has the lease.
func (c *Cache[T]) refresh(ctx context.Context, physical string, seen stamp, load func(context.Context) (T, error)) {
	s := c.service
	if !c.refreshing.add(physical) {
		return
	}
	places := &s.loadersOf(c.policy.Reserved).refresh
	if !places.tryEnter() { // too many; a later hit tries again
		c.refreshing.remove(physical)
		return
	}
	owner := ctx
	_, _, ok := s.loads.start(chain.Leave(outsideScope(ctx)), func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, s.leaseTTL) // what comes later is not stored
		defer cancel()
		pause := failurePause // stands where the loader ends the goroutine
		defer func() {
			places.leave()
			if pause > 0 {
				time.AfterFunc(pause, func() { c.refreshing.remove(physical) })
			} else {
				c.refreshing.remove(physical)
			}
		}()
		defer c.watch()()
		pause = c.reload(ctx, owner, physical, seen, load)
	})
	if !ok { // the Service has stopped
		places.leave()
		c.refreshing.remove(physical)
	}
}

// reload is one refresh, with the load of the caller whose context is owner. It returns for how long the key
// should be left alone.
func (c *Cache[T]) reload(ctx, owner context.Context, physical string, seen stamp, load func(context.Context) (T, error)) (pause time.Duration) {
	s := c.service
	lease, err := c.lease(ctx, physical)
	if err != nil {
		return failurePause
	}
	if lease == nil {
		return busyPause
	}
	loading := false
	defer func() { // also when the loader ends the goroutine
		if lease != nil { // not used
			c.release(context.WithoutCancel(ctx), lease)
		}
		if loading {
			s.counters.loadErrors.Add(1)
		}
	}()
	// Since it was seen, the entry may have been refreshed, or revoked.
	sealed, found, err := s.fetch(ctx, physical, c.tags, c.policy.TagsOf == nil)
	if err != nil {
		return failurePause
	}
	if e, err := c.shape.open(sealed, s.options.MaxValueBytes); !found || err != nil || e.stamp != seen {
		return 0
	}
	owing := s.owed.failed.Load()
	s.counters.loads.Add(1)
	s.counters.refreshes.Add(1)
	loading = true
	o := s.origin(ctx, lease)
	defer o.end() // also when the loader ends the goroutine
	value, err := c.run(ctx, chain.Load, physical, load)
	o.end()
	loading = err != nil
	switch kept := context.WithoutCancel(ctx); {
	case err == nil || errors.Is(err, ErrNotFound) && c.policy.NegativeTTL > 0:
		if s.owed.failed.Load() != owing { // see produce
			s.counters.refused.Add(1)
			return failurePause
		}
		used := lease
		lease = nil
		var how outcome
		if err == nil {
			how = c.fill(kept, used, value, o, o.took, false)
		} else if how = c.fillAbsent(kept, used, o); how != stored {
			_ = c.delete(kept, physical) // what fails is owed
		}
		if how == failed {
			return failurePause
		}
	case errors.Is(err, ErrNotFound):
		_ = c.delete(kept, physical) // what fails is owed
	default:
		if !errors.Is(ctx.Err(), context.Canceled) { // by Stop
			s.warn(ctx, &s.refreshWarning, "cache: a refresh failed; the last good values are served until they end", err)
		}
		if ended := owner.Err(); ended != nil && ctx.Err() == nil && errors.Is(err, ended) {
			return busyPause // it used what belonged to its request; another caller's load may do better
		}
		return failurePause
	}
	return 0
}
