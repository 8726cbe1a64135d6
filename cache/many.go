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
)

// BatchError says which of many keys failed in a GetMany or SetMany. Find it with errors.As.
// errors.Is finds the causes. Its text does not contain the keys.
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

// batch collects the errors of one GetMany or SetMany.
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
	names, physical := make([]string, 0, len(keys)), make([]string, 0, len(keys))
	asked := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		if _, twice := asked[key]; twice {
			continue
		}
		asked[key] = struct{}{}
		name, err := c.key(key)
		if err != nil {
			b.fail(key, err)
			continue
		}
		if (within != nil || !c.named.enabled()) && c.unreadable(ctx, name) {
			continue
		}
		names, physical = append(names, key), append(physical, name)
	}
	b.of = len(asked)
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
		case err == nil && c.counted(e):
			values[names[i]] = value
		case err != nil && c.store.damaged(err):
			damage, damaged = err, append(damaged, physical[i])
		}
	}
	c.store.door().discard(ctx, damage, damaged...)
	return values, b.err()
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
	return b.err()
}

// readMany reads many entries. It counts misses and errors. The result at i belongs to physical[i].
func (c *Cache[T]) readMany(ctx context.Context, physical []string) []driver.Result {
	results := c.store.door().getMany(ctx, physical, c.values.tags, c.values.tagsKnown())
	for _, r := range results {
		switch {
		case r.Err != nil:
			c.store.counters.errors.Add(1)
		case !r.Found:
			c.store.counters.misses.Add(1)
		}
	}
	return results
}
