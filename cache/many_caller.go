package cache

import (
	"context"
	"errors"

	"github.com/fxcache/fxcache/cache/internal/entry"
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
	if len(names) > 0 {
		m.share(ctx, m.read(ctx, names, physical))
	}
}

// read reads all keys once, and returns those that must be loaded. Entries that are stale, or soon
// will be, are refreshed in the background.
func (m *manyCaller[T]) read(ctx context.Context, names, physical []string) (missing []flight.Wanted) {
	c := m.cache
	var refresh []sighting
	var damage error
	var damaged []string
	warned := false
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
		served, again, err := m.judge(value, e)
		switch {
		case err != nil:
			m.fail(names[i], err)
			continue
		case !served:
			missing = append(missing, wanted)
			continue
		case !e.Absent:
			m.values[names[i]] = value
		}
		if again {
			refresh = append(refresh, sighting{named: named{names[i], physical[i]}, stamp: e.Stamp})
		}
	}
	c.store.door().discard(ctx, damage, damaged...)
	manyLoader[T]{c.loader, c.store.door()}.refresh(ctx, refresh, m.load)
	return missing
}

// judge counts an entry that was found. served says that it is good, or says that there is nothing,
// and again that it should be refreshed.
func (m *manyCaller[T]) judge(value T, e entry.Entry) (served, again bool, err error) {
	c := m.cache
	verdict, err := c.values.judge(value, e)
	if err != nil {
		return false, false, err
	}
	switch verdict {
	case serveStale:
		c.store.counters.hits.Add(1)
		c.store.counters.staleHits.Add(1)
		return true, true, nil
	case serve:
		c.counted(e)
		return true, c.values.early(e.Stamp), nil
	case serveNothing:
		c.counted(e)
		return true, false, nil
	default:
		c.counted(e)
		return false, false, nil
	}
}

// share loads keys together with all others that want them.
func (m *manyCaller[T]) share(ctx context.Context, missing []flight.Wanted) {
	if len(missing) == 0 {
		return
	}
	store := m.cache.store
	var own, late []named
	for i, o := range m.cache.loader.flights.DoMany(ctx, missing, m.load, store.options().LockWait) {
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
