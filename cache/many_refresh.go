package cache

import (
	"context"
	"errors"
	"time"

	"github.com/fxcache/fxcache/cache/internal/entry"
	"github.com/fxcache/fxcache/cache/internal/memo"
	"github.com/fxcache/fxcache/internal/chain"
)

// sighting is an entry that was served, and should be refreshed.
type sighting struct {
	named

	stamp   entry.Stamp
	refresh *refresh
}

// refresh loads entries again in the background, with one call of load, unless that is being done
// already. See loader.refresh.
func (m manyLoader[T]) refresh(ctx context.Context, seen []sighting, load loadMany[T]) {
	var mine []sighting
	for _, s := range seen {
		var own bool
		if s.refresh, own = m.refreshing.add(s.physical, s.stamp); own {
			mine = append(mine, s)
		}
	}
	if len(mine) == 0 {
		return
	}
	drop := func() {
		for _, s := range mine {
			m.refreshing.end(s.physical, s.refresh, 0)
		}
	}
	places := &m.admissions().refresh
	if !places.tryEnter() { // too many; a later hit tries again
		drop()
		return
	}
	owner := ctx
	_, _, ok := m.store.tasks.Start(chain.Leave(memo.OutsideScope(ctx)), func(ctx context.Context) {
		// a later value could not be stored
		ctx, cancel := context.WithTimeout(ctx, m.door.leaseTTL)
		defer cancel()
		pauses := map[time.Duration][]string{} // the keys that have one; all others failed
		defer func() {
			places.leave()
			m.rest(mine, pauses)
		}()
		defer m.watch()()
		m.reload(ctx, owner, mine, load, func(pause time.Duration, physical ...string) {
			pauses[pause] = append(pauses[pause], physical...)
		})
	})
	if !ok { // the Service has stopped
		places.leave()
		drop()
	}
}

// rest ends the refreshes. Each key can be refreshed again after its pause.
func (m manyLoader[T]) rest(keys []sighting, pauses map[time.Duration][]string) {
	pauseOf := make(map[string]time.Duration, len(keys))
	for pause, some := range pauses {
		for _, key := range some {
			pauseOf[key] = pause
		}
	}
	for _, s := range keys {
		pause, settled := pauseOf[s.physical]
		if !settled {
			pause = failurePause
		}
		m.refreshing.end(s.physical, s.refresh, pause)
	}
}

// reload is one refresh, with the loader of the caller whose context is owner. It tells with settle
// how long each key should rest before its next refresh; those that it leaves out have failed.
func (m manyLoader[T]) reload(ctx, owner context.Context, keys []sighting, load loadMany[T], settle func(pause time.Duration, physical ...string)) {
	var parts []*part[T]
	defer func() { m.releaseUnused(ctx, parts) }() // also if the loader ends the goroutine
	seen := make(map[string]sighting, len(keys))
	physical := make([]string, len(keys))
	for i, s := range keys {
		seen[s.physical], physical[i] = s, s.physical
	}
	for i, r := range (leaseBatch{m.door}).lease(ctx, physical) {
		switch {
		case r.Err != nil:
			m.store.logger.warn(ctx, ofFills, "cache: no leases; values are not stored", r.Err)
		case r.Lease == nil:
			settle(busyPause, physical[i])
		default:
			p := &part[T]{named: keys[i].named}
			p.lease, p.stale = r.Lease, true
			parts = append(parts, p)
		}
	}
	// Since the entries were seen, they may have been refreshed or revoked.
	var current []*part[T]
	for i, r := range m.door.getMany(ctx, physicalOf(parts), m.values.stored()) {
		if r.Err != nil {
			continue
		}
		if e, err := m.values.typ.Parse(r.Value); !r.Found || err != nil || e.Stamp != seen[parts[i].physical].stamp {
			settle(0, parts[i].physical)
			continue
		}
		current = append(current, parts[i])
	}
	if len(current) == 0 {
		return
	}
	generation := m.door.pending.Generation()
	m.store.counters.refreshes.Add(1)
	m.load(ctx, chain.Load, current, load)
	if err := current[0].err; err != nil && !current[0].absent {
		m.refreshFailed(ctx, owner, err, func() { settle(busyPause, physicalOf(current)...) })
		return
	}
	m.fill(ctx, current, generation, func([]*part[T]) {})
	overtaken := m.door.outdated(generation)
	for _, p := range current {
		seen[p.physical].refresh.absent = p.absent // for who waits for it
		if p.how != failed || p.absent && m.values.policy().NegativeTTL == 0 && !overtaken {
			settle(0, p.physical)
		}
	}
}

// refreshFailed logs it, and calls dead if the load failed because it depended on a request that
// has ended: the load of another caller may succeed.
func (m manyLoader[T]) refreshFailed(ctx, owner context.Context, err error, dead func()) {
	if !errors.Is(ctx.Err(), context.Canceled) { // by Stop
		m.store.logger.warn(ctx, ofRefreshes, "cache: a refresh failed; the last good values are served until they end", err)
	}
	if ended := owner.Err(); ended != nil && ctx.Err() == nil && errors.Is(err, ended) {
		dead()
	}
}
