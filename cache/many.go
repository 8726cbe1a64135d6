package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/chain"
	"github.com/fxcache/fxcache/internal/panics"
)

// BatchError says which of many keys failed in a GetMany, SetMany or GetOrLoadMany. Find it with
// errors.As. errors.Is finds the causes. Its text does not contain the keys.
type BatchError struct {
	// Failed holds the error of each key that failed. It is never empty.
	Failed map[string]error `json:"-" yaml:"-"`
	// Of is how many different keys the call was about.
	Of int
}

// Error implements error.
func (e *BatchError) Error() string {
	for _, key := range slices.Sorted(maps.Keys(e.Failed)) {
		return fmt.Sprintf("%d of %d keys failed, one of them with: %v", len(e.Failed), e.Of, e.Failed[key])
	}
	return fmt.Sprintf("0 of %d keys failed", e.Of)
}

// Format implements fmt.Formatter. Every verb and flag prints the message, and none prints the
// keys.
func (e *BatchError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.Error()) }

// Unwrap returns the causes, for errors.Is and errors.As.
func (e *BatchError) Unwrap() []error { return slices.Collect(maps.Values(e.Failed)) }

// batch collects the errors of one call with many keys.
type batch struct {
	store  *store
	op     string
	of     int
	failed map[string]error
}

func (b *batch) fail(key string, err error) {
	if b.failed == nil {
		b.failed = make(map[string]error)
	}
	b.failed[key] = err
}

func (b *batch) err() error {
	if len(b.failed) == 0 {
		return nil
	}
	return b.store.fail(b.op, &BatchError{Failed: b.failed, Of: b.of})
}

// GetMany is Get for many keys. The map holds the values that were found. If the strategy is a
// driver.Batcher, it takes one round trip for each node of the storage. If some keys fail, GetMany
// returns the values of the others together with a [BatchError].
func (c *Cache[T]) GetMany(ctx context.Context, keys ...string) (map[string]T, error) {
	if err := c.store.ready(); err != nil {
		return nil, c.fail("get", err)
	}
	values := make(map[string]T, len(keys))
	b := batch{store: c.store, op: "get"}
	within := chain.From(ctx)
	names, physical := c.different(&b, keys, func(_, physical string) bool {
		return within == nil && c.named.enabled() || !c.unreadable(ctx, physical)
	})
	var damage error
	var damaged []string
	for i, r := range c.readMany(ctx, physical) {
		if r.Err != nil {
			b.fail(names[i], r.Err)
			continue
		}
		if !r.Found {
			continue
		}
		value, e, err := c.values.decode(r.Value)
		switch {
		case err == nil && c.values.counted(e):
			values[names[i]] = value
		case err != nil && c.store.damaged(err):
			damage, damaged = err, append(damaged, physical[i])
		}
	}
	c.store.door().discard(ctx, damage, damaged...)
	return values, b.err()
}

// different returns the keys that wanted selects, each once, and their physical form. It notes in b
// how many there are, and those that can name nothing.
func (c *Cache[T]) different(b *batch, keys []string, wanted func(key, physical string) bool) (names, physical []string) {
	names, physical = make([]string, 0, len(keys)), make([]string, 0, len(keys))
	asked := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		if _, twice := asked[key]; twice {
			continue
		}
		asked[key] = struct{}{}
		name, err := c.key(key)
		if err != nil {
			b.fail(key, err)
		} else if wanted(key, name) {
			names, physical = append(names, key), append(physical, name)
		}
	}
	b.of = len(asked)
	return names, physical
}

// GetOrLoadMany is GetOrLoad for many keys: one read, and one call of load for all keys that are
// missing and that nobody else is loading. It waits for those that others load. The map holds what
// was found or loaded. A key that load leaves out has nothing: it is neither in the map nor an
// error, and is remembered for Policy.NegativeTTL. What load returns for keys that it was not asked
// for is ignored. A duplicate counts once.
//
// Every rule of GetOrLoad holds for each key. If load fails, it fails the keys that it was asked
// for; with ErrNotFound, there is nothing for any of them. The others are returned, together with a
// [BatchError]. load runs a second time, for some of the keys, if another process that was loading
// them has not stored them, or has not within lock_wait. With Policy.StaleFor and EarlyRefresh, one
// call of load in the background refreshes all keys that need it. A call of load takes one place of
// max_concurrent_loads.
//
// If the strategy is a driver.Batcher and driver.BatchLeaser, the reads, the leases and the fills
// take one round trip each for each node of the storage. While batches find little, the reads and
// the leases take one together.
func (c *Cache[T]) GetOrLoadMany(ctx context.Context, keys []string, load func(ctx context.Context, missing []string) (map[string]T, error)) (map[string]T, error) {
	if load == nil {
		return nil, c.fail("load", panics.ErrNil)
	}
	if err := c.store.ready(); err != nil {
		return nil, c.fail("load", err)
	}
	m := &manyCaller[T]{
		cache: c, load: load, values: make(map[string]T, len(keys)),
		batch: batch{store: c.store, op: "load"},
	}
	m.get(ctx, keys)
	return m.values, m.err()
}

// SetMany is Set for many keys. If the strategy is a driver.Batcher, it takes one round trip for
// each node of the storage. If some keys fail, the others are stored, and a [BatchError] says which
// ones failed.
func (c *Cache[T]) SetMany(ctx context.Context, values map[string]T) error {
	s := c.store
	if err := s.ready(); err != nil {
		return c.fail("set", err)
	}
	b := batch{store: s, op: "set", of: len(values)}
	items, names := make([]driver.Item, 0, len(values)), make([]string, 0, len(values))
	through := c.through(ctx)
	var refused, replaced []string // keys that are not stored, and their physical form
	for key, value := range values {
		physical, err := c.key(key)
		if err != nil {
			b.fail(key, err)
			continue
		}
		encoded, opts, store, err := c.values.encode(value, nil, 0)
		if err != nil || !store || through {
			if err != nil {
				b.fail(key, err)
			}
			refused, replaced = append(refused, key), append(replaced, physical)
			continue
		}
		items, names = append(items, driver.Item{Key: physical, Value: encoded, Options: opts}), append(names, key)
	}
	// The entries that refused values should have replaced must not stay readable.
	if err := c.loader.deleteReplaced(ctx, replaced...); err != nil {
		for _, key := range refused {
			b.fail(key, errors.Join(b.failed[key], err))
		}
	}
	for i, err := range s.setMany(ctx, c.values.bound(), items) {
		if err != nil {
			b.fail(names[i], err)
		} else {
			s.counters.sets.Add(1)
		}
	}
	if n := len(b.failed); n > 0 {
		s.counters.setErrors.Add(uint64(n))
	}
	return written(ctx, "set", len(values), b.err(), s)
}

// readMany reads many entries. It counts misses and errors. The result at i belongs to physical[i].
func (c *Cache[T]) readMany(ctx context.Context, physical []string) []driver.Result {
	results := c.store.door().getMany(ctx, physical, c.values.expected())
	for _, r := range results {
		c.store.counters.read(r.Found, r.Err)
	}
	return results
}
