package cache

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/fxcache/fxcache/cache/internal/flight"
	"github.com/fxcache/fxcache/internal/chain"
)

// loadMany is the loader of a GetOrLoadMany.
type loadMany[T any] = func(ctx context.Context, missing []string) (map[string]T, error)

// manyCaller is one call of GetOrLoadMany.
type manyCaller[T any] struct {
	batch

	cache  *Cache[T]
	load   loadMany[T]
	values map[string]T // the result
}

// coldness tells whether the next batch of a cache is likely to find little. Then one operation
// reads and asks for leases, in place of two. It costs the storage more only if most is there after
// all.
type coldness struct{ inARow atomic.Int32 } // batches that found less than half of their keys

// coldBatches is how many cold batches make the next one likely to be cold.
const coldBatches = 2

func (c *coldness) likely() bool { return c.inARow.Load() >= coldBatches }

// batch notes how many keys of a batch were missing.
func (c *coldness) batch(missing, of int) {
	switch n := c.inARow.Load(); {
	case 2*missing > of && n < coldBatches:
		c.inARow.Add(1)
	case 2*missing <= of && n > 0:
		c.inARow.Store(0)
	}
}

// named is a key, as the caller calls it and as it is stored.
type named struct{ name, physical string }

// get finds or loads the values of keys.
func (m *manyCaller[T]) get(ctx context.Context, keys []string) {
	c := m.cache
	var own []named // the caller is writing them, or may see another state than others
	within := chain.From(ctx)
	names, physical := c.different(&m.batch, keys, func(name, physical string) bool {
		if within == nil && c.named.enabled() {
			return true
		}
		switch within.To(entryID{c.store, physical}) {
		case chain.Loading:
			m.fail(name, ErrRecursiveLoad)
			return false
		case chain.Writing:
			own = append(own, named{name, physical})
			return false
		default:
			if !c.named.enabled() {
				own = append(own, named{name, physical})
				return false
			}
			return true
		}
	})
	m.alone(ctx, chain.Load, own)
	if len(names) == 0 {
		return
	}
	if len(names) > 1 && c.loader.cold.likely() && c.store.door().features.BatchLeaser != nil {
		all := make([]flight.Wanted, len(names))
		for i, name := range names {
			all[i] = flight.Wanted{Key: physical[i], Name: name}
		}
		if m.share(ctx, all, true) {
			return
		}
	}
	m.share(ctx, m.read(ctx, names, physical), false)
}

// read reads all keys once, and returns those that must be loaded. Entries that are stale, or soon
// will be, are refreshed in the background.
func (m *manyCaller[T]) read(ctx context.Context, names, physical []string) (missing []flight.Wanted) {
	c := m.cache
	var refresh []sighting
	var damage error
	var damaged []string
	warned := false
	missing = make([]flight.Wanted, 0, len(names))
	for i, r := range c.readMany(ctx, physical) {
		wanted := flight.Wanted{Key: physical[i], Name: names[i], Unleased: r.Err != nil}
		switch {
		case r.Err != nil && ctx.Err() != nil:
			m.fail(names[i], r.Err)
			continue
		case r.Err != nil && !warned:
			warned = true
			c.store.logger.warn(ctx, ofReads, "cache: reads fail; loading instead", r.Err)
		}
		if r.Err != nil || !r.Found {
			missing = append(missing, wanted)
			continue
		}
		value, e, err := c.values.decode(r.Value)
		if err != nil {
			if c.store.damaged(err) {
				damage, damaged = err, append(damaged, physical[i])
			}
			missing = append(missing, wanted)
			continue
		}
		verdict, err := c.values.judge(value, e)
		if err != nil {
			m.fail(names[i], err)
			continue
		}
		again := c.values.seen(verdict, e)
		switch {
		case verdict == reload:
			missing = append(missing, wanted)
			continue
		case !e.Absent:
			m.values[names[i]] = value
		}
		if again {
			refresh = append(refresh, sighting{named: named{names[i], physical[i]}, stamp: e.Stamp})
		}
	}
	c.loader.cold.batch(len(missing), len(names))
	c.store.door().discard(ctx, damage, damaged...)
	manyLoader[T]{c.loader, c.store.door()}.refresh(ctx, refresh, m.load)
	return missing
}

// share loads keys together with all others that want them. With unread, they were not read before;
// share then does nothing, and returns false, if others are loading some of them.
func (m *manyCaller[T]) share(ctx context.Context, missing []flight.Wanted, unread bool) bool {
	if len(missing) == 0 {
		return true
	}
	store := m.cache.store
	outcomes := m.cache.loader.flights.DoMany(ctx, missing, m.load, store.options().LockWait, unread)
	if outcomes == nil {
		return false
	}
	var own, late []named
	for i, o := range outcomes {
		key := named{missing[i].Name, missing[i].Key}
		switch o.Err {
		case flight.ErrLoadAlone: //nolint:errorlint // never wrapped
			own = append(own, key)
		case flight.ErrPatience:
			store.counters.leaseTimeouts.Add(1)
			late = append(late, key)
		default:
			m.settle(key.name, o.Value, o.Err)
		}
	}
	m.alone(ctx, chain.Load, own)
	m.alone(ctx, chain.LoadAfterWait, late)
	return true
}

// alone loads keys for this caller alone, and stores nothing.
func (m *manyCaller[T]) alone(ctx context.Context, kind chain.Kind, keys []named) {
	if len(keys) == 0 {
		return
	}
	values, err := manyLoader[T]{m.cache.loader, m.cache.store.door()}.alone(ctx, kind, keys, m.load)
	for _, key := range keys {
		value, failure := of(values, key.name, err)
		m.settle(key.name, value, failure)
	}
}

// settle notes the result of one key.
func (m *manyCaller[T]) settle(name string, value T, err error) {
	switch {
	case err == nil:
		m.values[name] = value
	case errors.Is(err, ErrNotFound):
	default:
		m.fail(name, err)
	}
}

// of returns what a load of many returned for one of its keys.
func of[T any](values map[string]T, name string, err error) (value T, failure error) {
	if err != nil {
		return value, err
	}
	value, found := values[name]
	if !found {
		err = ErrNotFound
	}
	return value, err
}
