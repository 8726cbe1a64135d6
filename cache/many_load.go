package cache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/entry"
	"github.com/fxcache/fxcache/cache/internal/flight"
	"github.com/fxcache/fxcache/cache/internal/memo"
	"github.com/fxcache/fxcache/internal/backoff"
	"github.com/fxcache/fxcache/internal/chain"
	"github.com/fxcache/fxcache/internal/panics"
)

// manyLoader is a loader, for loads of many keys. No lease is held while it waits for somebody
// else's: it first loads and stores everything that it has leases on. So two nodes that want the
// same keys in different orders never wait for each other.
type manyLoader[T any] struct {
	*loader[T]

	door *door
}

// part is one key of a load of many.
type part[T any] struct {
	found[T]
	named

	flight *flight.Flight[T] // nil for a refresh
	source *source
	err    error // of the load
	absent bool
	how    outcome
}

// produce finds the values of the flights of a batch: in the cache after all, or by loading them.
func (m manyLoader[T]) produce(ctx context.Context, b *flight.Batch[T]) {
	waiting, cancel := context.WithCancel(ctx) // ends the notification
	defer cancel()
	var over <-chan time.Time
	var told <-chan struct{}
	wanted := b.Flights()
	for pauses := (backoff.Backoff{First: firstPause, Last: lastPause}); ; {
		loading, held := m.look(ctx, b, wanted)
		m.loadFlights(ctx, b, loading)
		if len(held) == 0 {
			return
		}
		if over == nil {
			timer := time.NewTimer(m.store.options().LockWait)
			defer timer.Stop()
			over = timer.C
		}
		// Who holds one of the leases is likely to hold them all. The other keys are looked at as
		// often as without a notice.
		if told == nil && m.door.features.Notifier != nil {
			told = m.door.notify(waiting, held[0].Key)
		}
		next := time.NewTimer(pauses.Next())
		select {
		case <-next.C:
		case <-told:
			told = nil
			pauses.Reset()
		case <-over:
			next.Stop()
			m.store.counters.leaseTimeouts.Add(uint64(len(held)))
			m.loadFlights(ctx, b, partsOf[T](held))
			return
		case <-ctx.Done():
			next.Stop()
			m.finish(ctx, b, partsOf[T](held), ctx.Err())
			return
		}
		next.Stop()
		wanted = held
	}
}

func partsOf[T any](flights []*flight.Flight[T]) []*part[T] {
	parts, all := make([]*part[T], len(flights)), make([]part[T], len(flights))
	for i, f := range flights {
		parts[i] = &all[i]
		parts[i].flight, parts[i].named = f, named{f.Name(), f.Key}
	}
	return parts
}

// look reads entries once, and asks for leases on those that are not there. It finishes the flights
// of those that are. The others must be loaded, or somebody else holds their leases.
func (m manyLoader[T]) look(ctx context.Context, b *flight.Batch[T], flights []*flight.Flight[T]) (loading []*part[T], held []*flight.Flight[T]) {
	b.Admit(flights)
	asked, unleased := split(partsOf(flights), func(p *part[T]) bool { return !p.flight.Unleased })
	loading = slices.Grow(unleased, len(flights))
	var again []*part[T]
	var settled []flight.Settled[T]
	var refresh []sighting
	first := b.Unread
	for i, r := range (leaseBatch{m.door}).getOrLease(ctx, physicalOf(asked)) {
		p := asked[i]
		if first {
			m.store.counters.read(r.Found, r.Err)
		}
		switch {
		case r.Err != nil && ctx.Err() != nil: // everybody has left
			settled = append(settled, flight.Settled[T]{Flight: p.flight, Err: ctx.Err()})
		case r.Err != nil:
			m.store.logger.warn(ctx, ofReads, "cache: reads fail; loading instead", r.Err)
			p.flight.Unleased = true
			loading = append(loading, p)
		case r.Found:
			var stamp *entry.Stamp
			var err error
			if p.found, stamp, err = m.weigh(ctx, p.physical, r.Value, first); stamp != nil {
				refresh = append(refresh, sighting{named: p.named, stamp: *stamp})
			}
			if p.found.found || err != nil {
				settled = append(settled, flight.Settled[T]{Flight: p.flight, Value: p.value, Err: err})
			} else {
				again = append(again, p)
			}
		case r.Lease != nil:
			p.vacant, p.lease = true, r.Lease
			loading = append(loading, p)
		default:
			held = append(held, p.flight)
		}
	}
	if first {
		b.Unread = false
		m.cold.batch(len(asked)-len(settled), len(asked))
		m.refresh(b.Owner(), refresh, b.Load)
	}
	b.Finish(ctx, settled)
	for i, r := range (leaseBatch{m.door}).lease(ctx, physicalOf(again)) {
		p := again[i]
		switch {
		case r.Err != nil:
			m.store.logger.warn(ctx, ofFills, "cache: no leases; values are not stored", r.Err)
			p.flight.Unleased = true
			loading = append(loading, p)
		case r.Lease != nil:
			p.lease = r.Lease
			loading = append(loading, p)
		default:
			held = append(held, p.flight)
		}
	}
	return loading, held
}

func physicalOf[T any](parts []*part[T]) []string {
	keys := make([]string, len(parts))
	for i, p := range parts {
		keys[i] = p.physical
	}
	return keys
}

// loadFlights loads what is not there, and finishes its flights.
func (m manyLoader[T]) loadFlights(ctx context.Context, b *flight.Batch[T], parts []*part[T]) {
	if len(parts) == 0 {
		return
	}
	defer m.releaseUnused(ctx, parts) // also if the loader ends the goroutine
	if slices.ContainsFunc(parts, func(p *part[T]) bool { return p.flight.Unleased }) {
		within, leave, err := m.store.admissions.admit(ctx, &m.admissions().outage)
		if err == nil {
			defer leave()
			ctx = within
		} else {
			unleased, rest := split(parts, func(p *part[T]) bool { return p.flight.Unleased })
			m.finish(ctx, b, unleased, m.store.fail("load", err))
			if parts = rest; len(parts) == 0 {
				return
			}
		}
	}
	kind, flights := chain.Load, make([]*flight.Flight[T], len(parts))
	for i, p := range parts {
		if flights[i] = p.flight; p.flight.Nested() {
			kind = chain.LoadAfterWait
		}
	}
	generation := m.door.pending.Generation()
	if left := b.Begin(flights); left != nil {
		m.releaseUnused(ctx, parts) // whoever goes on needs them
		m.finish(ctx, b, parts, left)
		return
	}
	m.load(ctx, kind, parts, b.Load)
	m.fill(ctx, parts, generation, func(filled []*part[T]) {
		flights := make([]*flight.Flight[T], len(filled))
		for i, p := range filled {
			flights[i] = p.flight
		}
		b.Detach(flights) // see produce of loader
	})
	m.releaseUnused(ctx, parts)
	settled := make([]flight.Settled[T], len(parts))
	for i, p := range parts {
		settled[i] = flight.Settled[T]{Flight: p.flight, Value: p.value, Err: p.err}
		if p.how == stored && m.values.current(p.value, p.absent, p.source) {
			settled[i].Sharing = flight.Everybody
		}
	}
	b.Finish(ctx, settled)
}

// split returns the parts that are selected, and the others.
func split[T any](parts []*part[T], selected func(*part[T]) bool) (these, others []*part[T]) {
	these, others = make([]*part[T], 0, len(parts)), make([]*part[T], 0, len(parts))
	for _, p := range parts {
		if selected(p) {
			these = append(these, p)
		} else {
			others = append(others, p)
		}
	}
	return these, others
}

// finish finishes flights with an error.
func (m manyLoader[T]) finish(ctx context.Context, b *flight.Batch[T], parts []*part[T], err error) {
	settled := make([]flight.Settled[T], len(parts))
	for i, p := range parts {
		settled[i] = flight.Settled[T]{Flight: p.flight, Err: err}
	}
	b.Finish(ctx, settled)
}

// releaseUnused gives up the leases that were not used.
func (m manyLoader[T]) releaseUnused(ctx context.Context, parts []*part[T]) {
	var leases []*driver.Lease // most often there are none
	for _, p := range parts {
		if p.lease != nil {
			leases = append(leases, p.lease)
			p.lease = nil
		}
	}
	leaseBatch{m.door}.release(context.WithoutCancel(ctx), leases)
}

// load runs load once for all parts, and notes in each what it returned for it.
func (m manyLoader[T]) load(ctx context.Context, kind chain.Kind, parts []*part[T], load loadMany[T]) {
	leases, keys := make([]*driver.Lease, len(parts)), make([]named, len(parts))
	for i, p := range parts {
		leases[i], keys[i] = p.lease, p.named
	}
	sources := newSources(ctx, m.door, m.store.options().Clock, leases)
	defer sources.end() // also if the loader ends the goroutine
	values, err := m.counted(ctx, kind, keys, load)
	sources.end()
	for i, p := range parts {
		p.source = sources.all[i]
		p.value, p.err = of(values, p.name, err)
		p.absent = errors.Is(p.err, ErrNotFound)
	}
}

// alone runs load for its caller alone, and stores nothing.
func (m manyLoader[T]) alone(ctx context.Context, kind chain.Kind, keys []named, load loadMany[T]) (map[string]T, error) {
	return m.counted(memo.OutsideScope(ctx), kind, keys, load)
}

// counted runs load once for all keys, and counts what became of it.
func (m manyLoader[T]) counted(ctx context.Context, kind chain.Kind, keys []named, load loadMany[T]) (values map[string]T, err error) {
	m.store.counters.loads.Add(1)
	err = panics.ErrEnded // if the loader ends the goroutine
	defer func() {
		if err != nil {
			m.loadFailed(err)
		}
	}()
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key.name
	}
	entries := sync.OnceValue(func() map[any]struct{} { // few loads ask the cache for anything
		all := make(map[any]struct{}, len(keys))
		for _, key := range keys {
			all[entryID{m.store, key.physical}] = struct{}{}
		}
		return all
	})
	within, link := chain.EnterMany(ctx, kind, entries)
	defer link.End()
	values, err = panics.Run(within, func(ctx context.Context) (map[string]T, error) { return load(ctx, names) })
	if chain.SaysNotModified(err) { // a load of many does not know what it replaces
		err = m.store.fail("load", chain.Unfounded(err))
	}
	if err = m.blame(ctx, err); err != nil {
		return nil, err
	}
	for _, key := range keys {
		if _, found := values[key.name]; !found {
			m.store.counters.notFound.Add(1)
		}
	}
	return values, nil
}

// fill stores what was loaded under leases. It calls detach before, with the parts that may be
// stored: a caller that comes from then on may come after an invalidation that follows the fill.
func (m manyLoader[T]) fill(ctx context.Context, parts []*part[T], generation uint64, detach func([]*part[T])) {
	kept := context.WithoutCancel(ctx)
	filling, _ := split(parts, func(p *part[T]) bool {
		return p.lease != nil && (p.err == nil || p.absent && m.values.policy().NegativeTTL > 0)
	})
	if len(filling) > 0 {
		detach(filling)
		if m.door.outdated(generation) { // see produce of loader
			m.store.counters.refused.Add(uint64(len(filling)))
			return
		}
		m.fillAll(kept, filling)
	}
	// What should have been replaced must not stay.
	gone, _ := split(parts, func(p *part[T]) bool { return p.stale && p.absent && p.how != stored })
	if failure := m.deleteReplaced(kept, physicalOf(gone)...); failure != nil {
		for _, p := range gone {
			p.err = errors.Join(p.err, failure)
		}
	}
}

// fillAll stores parts under their leases, and gives those up.
func (m manyLoader[T]) fillAll(ctx context.Context, parts []*part[T]) {
	fills, filling := make([]driver.Fill, 0, len(parts)), make([]*part[T], 0, len(parts))
	var unusable, replaced []*part[T]
	causes := make(map[*part[T]]error)
	for _, p := range parts {
		var encoded []byte
		var opts SetOptions
		var err error
		store := true
		if p.absent {
			encoded, opts, err = m.values.encodeAbsent(p.source)
		} else {
			encoded, opts, store, err = m.values.encode(p.value, p.source, p.source.took)
		}
		if err == nil && store {
			fills, filling = append(fills, driver.Fill{Lease: p.lease, Value: encoded, Options: opts}), append(filling, p)
			continue
		}
		unusable, causes[p] = append(unusable, p), err
		if !p.vacant && !p.absent { // see fill of loader
			replaced = append(replaced, p)
		}
	}
	for i, r := range (leaseBatch{m.door}).fill(ctx, fills) {
		p := filling[i]
		var unused bool
		if p.how, unused = m.filled(ctx, r.Stored, r.Err, p.source, p.shown()); !unused {
			p.lease = nil
		}
	}
	if failure := m.deleteReplaced(ctx, physicalOf(replaced)...); failure != nil {
		for _, p := range replaced {
			causes[p] = errors.Join(causes[p], failure)
		}
	} else {
		for _, p := range replaced {
			p.lease = nil // deleting has ended it
		}
	}
	for _, p := range unusable {
		if err := causes[p]; err != nil {
			m.unstorable(ctx, p.source, p.shown(), err)
		}
	}
}

// shown is the value, for the log.
func (p *part[T]) shown() any {
	if p.absent {
		return nil
	}
	return p.value
}
