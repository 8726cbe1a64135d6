package bigcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"

	"github.com/allegro/bigcache/v3"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/fence"
)

// maxLeases bounds how many leases exist. A lease is held for as long as a loader runs.
const maxLeases = 1 << 16

// store is what one Init has opened.
type store struct {
	layout
	hasher  bigcache.Hasher
	names   chunkNames
	entries *bigcache.BigCache
	fence   *fence.Fence
	clock   driver.Clock
	buffers sync.Pool
	chunkID atomic.Uint64 // of the latest value that was divided

	parts   []part       // one for each shard
	waiting atomic.Int64 // in all parts
}

// Init allocates the store. It fails if max_size cannot hold a value of max_value_bytes.
func (s *Strategy) Init(_ context.Context, in driver.Injector) error {
	limits, err := driver.Resolve[driver.Limits](in)
	if err != nil {
		return err
	}
	clock, err := driver.Resolve[driver.Clock](in)
	if err != nil {
		return err
	}
	layout, err := plan(s.options, limits)
	if err != nil {
		return err
	}
	names := newChunkNames()
	st, err := newStore(layout, clock, s.newFence(clock), names, hasher{maphash.MakeSeed(), names, uint64(layout.shards) - 1}) //nolint:gosec // positive
	if err != nil {
		return err
	}
	s.store.Store(st)
	return nil
}

func (s *Strategy) newFence(clock driver.Clock) *fence.Fence {
	return fence.New(fence.Options{
		MaxTags: s.options.MaxInvalidatedTags, MaxLeases: maxLeases, LeaseTTL: s.options.LeaseTTL, MaxLeaseTTL: s.LeaseTTL(), Now: clock.Now,
	})
}

func newStore(layout layout, clock driver.Clock, fence *fence.Fence, names chunkNames, hasher bigcache.Hasher) (*store, error) {
	st := &store{
		layout: layout, hasher: hasher, names: names, clock: clock, fence: fence,
		parts:   make([]part, layout.shards),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}
	for i := range st.parts {
		st.parts[i].credit.Store(layout.maxCredit)
	}
	config := bigcache.Config{
		Shards:           layout.shards,
		HardMaxCacheSize: layout.megabytes,
		// bigcache knows whole seconds, and expires entries by the system's clock and not by ours.
		// So it must never be the first to expire one. A CleanWindow of 0 starts no goroutine:
		// expired entries are overwritten when their space is needed.
		LifeWindow:  math.MaxInt64,
		CleanWindow: 0,
		// Their product, divided by the shards, is the memory that a shard begins with.
		MaxEntriesInWindow: entriesAtFirst * layout.shards,
		MaxEntrySize:       layout.initial / entriesAtFirst,
		Hasher:             hasher,
		OnRemoveWithReason: st.evicted,
	}
	var err error
	st.entries, err = bigcache.New(context.Background(), config.OnRemoveFilterSet(bigcache.NoSpace))
	return st, err
}

// entriesAtFirst is how many entries a shard's index has room for at first.
const entriesAtFirst = 16

var errDamaged = errors.New("bigcache: damaged entry")

func (st *store) get(key string) ([]byte, bool, error) {
	e, found, err := st.read(key)
	switch {
	case err != nil || !found:
		return nil, false, err
	case !e.valid():
		return nil, false, errDamaged
	case !st.current(e):
		return nil, false, nil
	case e.isHead():
		return st.assemble(e)
	}
	return e.value(), true, nil
}

// read returns a copy of what is stored under a name.
func (st *store) read(name string) (entry, bool, error) {
	raw, err := st.entries.Get(name)
	if errors.Is(err, bigcache.ErrEntryNotFound) {
		waiting := st.await(name)
		return bytes.Clone(waiting), waiting != nil, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("bigcache: %w", err)
	}
	return raw, true, nil
}

// put stores an entry. If it cannot, nothing stays under key. The caller holds the key in the
// fence, and calls settle when it does not any more.
func (st *store) put(key string, value []byte, opts driver.SetOptions, sequence uint64, tags []uint64) error {
	if err := st.tryPut(key, value, opts, sequence, tags); err != nil {
		return errors.Join(err, st.remove(key))
	}
	return nil
}

func (st *store) tryPut(key string, value []byte, opts driver.SetOptions, sequence uint64, tags []uint64) error {
	expires, err := expiry(st.clock.Now(), opts.TTL)
	switch {
	case err != nil:
		return err
	case len(key) > maxKeyBytes:
		return driver.ErrInvalidKey
	case len(tags) > maxTags:
		return driver.ErrTooManyTags
	case !st.fits(len(key), len(tags), len(value)):
		// bigcache would notice only after it had emptied the whole shard.
		return driver.ErrValueTooLarge
	}
	format := byte(entryFormat)
	if entryBytes(len(key), len(tags), len(value)) > st.small {
		format = headFormat
		if value, err = st.divide(key, value); err != nil {
			return err
		}
	}
	buffer := st.buffers.Get().(*[]byte)
	defer st.buffers.Put(buffer)
	*buffer = appendEntry((*buffer)[:0], format, value, expires, sequence, tags)
	return st.write(key, *buffer)
}

// write stores bytes under a name. What waits under the same name is older and goes, but only
// afterwards: until then, it could be evicted once more.
func (st *store) write(name string, raw []byte) error {
	if err := st.entries.Set(name, raw); err != nil {
		return fmt.Errorf("bigcache: %w", err)
	}
	st.take(name)
	st.earn(name, overheadBytes+len(name)+len(raw))
	return nil
}

// remove removes what is stored under key. What waits goes afterwards, as in write.
func (st *store) remove(key string) error {
	err := st.entries.Delete(key)
	st.take(key)
	if err == nil || errors.Is(err, bigcache.ErrEntryNotFound) {
		return nil
	}
	// bigcache also reports errors for entries that are gone already, for example an empty queue.
	if _, err := st.entries.Get(key); err == nil {
		return errors.New("bigcache: an entry could not be deleted")
	}
	return nil
}

func (st *store) hashes(tags []string) []uint64 {
	if len(tags) == 0 {
		return nil
	}
	hashes := make([]uint64, len(tags))
	for i, tag := range tags {
		hashes[i] = st.fence.Hash(tag)
	}
	return hashes
}
