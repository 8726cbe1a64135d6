package bigcache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/allegro/bigcache/v3"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/fence"
)

// maxLeases bounds how many leases exist. A lease is held for as long as a loader runs.
const maxLeases = 1 << 16

// store is what one Init has opened.
type store struct {
	entries  *bigcache.BigCache
	fence    *fence.Fence
	clock    driver.Clock
	maxEntry int // bytes, header and key included
	buffers  sync.Pool
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
	seed := maphash.MakeSeed()
	entries, err := bigcache.New(context.Background(), bigcache.Config{
		Shards:           layout.shards,
		HardMaxCacheSize: layout.megabytes,
		// bigcache knows whole seconds, and expires entries by the system's clock and not by ours.
		// So it must never be the first to expire one. A CleanWindow of 0 starts no goroutine:
		// expired entries are overwritten when their space is needed.
		LifeWindow:         max(limits.MaxTTL, limits.MaxTTL+time.Hour), // the sum may overflow
		CleanWindow:        0,
		MaxEntriesInWindow: layout.shards, // small: shards grow with use
		MaxEntrySize:       64,
		Hasher:             hasher(seed),
	})
	if err != nil {
		return err
	}
	s.store.Store(&store{
		entries: entries,
		fence: fence.New(fence.Options{
			MaxTags: s.options.MaxInvalidatedTags, MaxLeases: maxLeases, LeaseTTL: s.options.LeaseTTL, MaxLeaseTTL: s.LeaseTTL(), Now: clock.Now,
		}),
		clock:    clock,
		maxEntry: layout.maxEntry,
		buffers:  sync.Pool{New: func() any { return new([]byte) }},
	})
	return nil
}

func (st *store) get(key string) ([]byte, bool, error) {
	raw, err := st.entries.Get(key)
	if errors.Is(err, bigcache.ErrEntryNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("bigcache: %w", err)
	}
	e := entry(raw)
	if !e.valid() {
		return nil, false, errors.New("bigcache: damaged entry")
	}
	if st.clock.Now().UnixMilli() >= e.expiry() {
		return nil, false, nil
	}
	if !st.fence.Untouched(e.sequence()) {
		var few [8]uint64 // on the stack: this is the hot path after any invalidation
		if !st.fence.Good(e.sequence(), e.appendTags(few[:0])...) {
			return nil, false, nil
		}
	}
	return e.value(), true, nil
}

// put stores an entry. If it cannot, nothing stays under key. The caller holds the key in the
// fence.
func (st *store) put(key string, value []byte, opts driver.SetOptions, sequence uint64, tags []uint64) error {
	expires, err := expiry(st.clock.Now(), opts.TTL)
	switch size := overheadBytes + len(key) + headerBytes + tagBytes*len(tags) + len(value); {
	case err != nil:
	case len(key) > maxKeyBytes:
		err = driver.ErrInvalidKey
	case len(tags) > maxTags:
		err = driver.ErrTooManyTags
	case size > st.maxEntry:
		// bigcache would notice only after it had emptied the whole shard.
		err = driver.ErrValueTooLarge
	}
	if err != nil {
		return errors.Join(err, st.remove(key))
	}
	buffer := st.buffers.Get().(*[]byte)
	defer st.buffers.Put(buffer)
	*buffer = appendEntry((*buffer)[:0], value, expires, sequence, tags)
	if err := st.entries.Set(key, *buffer); err != nil {
		return errors.Join(fmt.Errorf("bigcache: %w", err), st.remove(key))
	}
	return nil
}

func (st *store) remove(key string) error {
	if err := st.entries.Delete(key); err == nil || errors.Is(err, bigcache.ErrEntryNotFound) {
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
