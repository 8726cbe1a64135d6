// Package bigcache is the embedded strategy, and the default: entries live in this process, in
// github.com/allegro/bigcache/v3, off the garbage collector's books. It adds what bigcache lacks: a
// TTL for each entry, exact to the millisecond, tags, leases, and invalidation that nothing can race.
package bigcache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/allegro/bigcache/v3"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/fence"
)

// Name selects this strategy in the configuration.
const Name = "bigcache"

// maxLeases bounds the leases that are out: one is held for as long as a loader runs.
const maxLeases = 1 << 16

// Strategy is an in-process CacheStrategy of the seed. It is empty after Init, forgets everything at
// Destroy, and starts no goroutine. Create it with New; it is safe for concurrent use.
type Strategy struct {
	options Options
	store   atomic.Pointer[store] // nil before Init and after Destroy
}

// store is what one Init opened.
type store struct {
	entries  *bigcache.BigCache
	fence    *fence.Fence
	clock    driver.Clock
	maxEntry int // bytes, header and key included
	buffers  sync.Pool
}

var (
	_ driver.Leaser        = (*Strategy)(nil)
	_ driver.LeaseLimiter  = (*Strategy)(nil)
	_ driver.LeaseExtender = (*Strategy)(nil)
	_ driver.Clearer       = (*Strategy)(nil)
	_ driver.Local         = (*Strategy)(nil)
	_ driver.Initializer   = (*Strategy)(nil)
	_ driver.Destroyer     = (*Strategy)(nil)
)

// Factory makes the strategy from its section of the configuration.
func Factory() driver.Factory {
	return driver.Factory{Name: Name, New: func(cfg driver.Decoder) (driver.Strategy, error) {
		options := Options{}.WithDefaults()
		if err := cfg.Decode(&options); err != nil {
			return nil, err
		}
		strategy, err := New(options)
		if err != nil {
			return nil, err // and not a nil *Strategy, which is a Strategy that is not nil
		}
		return strategy, nil
	}}
}

// New returns the strategy, not yet initialised. Unusable options are cache.OptionErrors.
func New(options Options) (*Strategy, error) {
	options = options.WithDefaults()
	if err := options.Validate(); err != nil {
		return nil, err
	}
	return &Strategy{options: options}, nil
}

// Local implements driver.Local: nothing here ever waits.
func (*Strategy) Local() {}

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
		// bigcache has seconds, and ends entries by the system's clock and not by ours: it must
		// never be the first to do so. CleanWindow 0 starts no goroutine; expired entries are
		// overwritten when their space is needed.
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

// Destroy forgets everything.
func (s *Strategy) Destroy(context.Context) error {
	if old := s.store.Swap(nil); old != nil {
		return old.entries.Close() // once: a second Close panics
	}
	return nil
}

// open returns the store.
func (s *Strategy) open() (*store, error) {
	if st := s.store.Load(); st != nil {
		return st, nil
	}
	return nil, driver.ErrClosed
}

// Get implements driver.Strategy.
func (s *Strategy) Get(ctx context.Context, key string) ([]byte, bool, error) {
	st, err := s.open()
	if err != nil {
		return nil, false, err
	}
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	return st.get(key)
}

// Set implements driver.Strategy.
func (s *Strategy) Set(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
	st, err := s.open()
	if err != nil {
		return err
	}
	sequence := st.fence.Sequence() // now: an invalidation that comes while Set waits shall win
	return st.fence.Update(st.fence.Hash(key), func() error {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, st.remove(key))
		}
		return st.put(key, value, opts, sequence, st.hashes(opts.Tags))
	})
}

// Delete implements driver.Strategy. It is applied even when ctx has ended.
func (s *Strategy) Delete(_ context.Context, keys ...string) error {
	st, err := s.open()
	if err != nil {
		return err
	}
	for _, key := range keys {
		err = errors.Join(err, st.fence.Update(st.fence.Hash(key), func() error { return st.remove(key) }))
	}
	return err
}

// InvalidateTags implements driver.Strategy, at a cost of O(tags). It is applied even when ctx has
// ended.
func (s *Strategy) InvalidateTags(_ context.Context, tags ...string) error {
	st, err := s.open()
	if err != nil {
		return err
	}
	st.fence.InvalidateTags(tags...)
	return nil
}

// Clear implements driver.Clearer in O(1); the memory is reused as new entries come.
func (s *Strategy) Clear(context.Context) error {
	st, err := s.open()
	if err != nil {
		return err
	}
	st.fence.Clear()
	return nil
}

// LeaseTTL implements driver.LeaseLimiter.
func (s *Strategy) LeaseTTL() time.Duration { return max(s.options.LeaseTTL, driver.MaxLeaseTTL) }

// LeaseTerm implements driver.LeaseExtender.
func (s *Strategy) LeaseTerm() time.Duration { return s.options.LeaseTTL }

// Extend implements driver.LeaseExtender.
func (s *Strategy) Extend(_ context.Context, lease *driver.Lease) (bool, error) {
	st := s.store.Load()
	return st != nil && lease != nil && lease.State == st && st.fence.Extend(st.fence.Hash(lease.Key), lease.Sequence), nil
}

// GetOrLease implements driver.Leaser.
func (s *Strategy) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	value, found, err := s.Get(ctx, key)
	if found || err != nil {
		return value, found, nil, err
	}
	lease, err := s.Lease(ctx, key)
	return nil, false, lease, err
}

// Lease implements driver.Leaser.
func (s *Strategy) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	st, err := s.open()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sequence, granted := st.fence.Lease(st.fence.Hash(key))
	if !granted {
		return nil, nil
	}
	return &driver.Lease{Key: key, Sequence: sequence, State: st}, nil
}

// Fill implements driver.Leaser. The entry carries the sequence of the lease: should a tag be
// invalidated just now, the entry is older than that.
func (s *Strategy) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
	st, err := s.open()
	if err != nil {
		return false, err
	}
	if lease == nil || lease.State != st {
		return false, nil // of an earlier Init
	}
	hash, tags := st.fence.Hash(lease.Key), st.hashes(opts.Tags)
	return st.fence.Fill(hash, lease.Sequence, tags, func() error {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, st.remove(lease.Key))
		}
		return st.put(lease.Key, value, opts, lease.Sequence, tags)
	})
}

// Release implements driver.Leaser.
func (s *Strategy) Release(_ context.Context, lease *driver.Lease) error {
	if st := s.store.Load(); st != nil && lease != nil && lease.State == st {
		st.fence.Release(st.fence.Hash(lease.Key), lease.Sequence)
	}
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
		var few [8]uint64 // on the stack: this is the hot path once anything was invalidated
		if !st.fence.Good(e.sequence(), e.appendTags(few[:0])...) {
			return nil, false, nil
		}
	}
	return e.value(), true, nil
}

// put stores an entry. When it cannot, nothing stays under key. Callers hold the key in the fence.
func (st *store) put(key string, value []byte, opts driver.SetOptions, sequence uint64, tags []uint64) error {
	expires, err := expiry(st.clock.Now(), opts.TTL)
	switch size := overheadBytes + len(key) + headerBytes + tagBytes*len(tags) + len(value); {
	case err != nil:
	case len(key) > maxKeyBytes:
		err = driver.ErrInvalidKey
	case len(tags) > maxTags:
		err = driver.ErrTooManyTags
	case size > st.maxEntry:
		// bigcache would empty the whole shard before it noticed.
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
	// bigcache reports other errors for entries that are gone already, such as an empty queue.
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
