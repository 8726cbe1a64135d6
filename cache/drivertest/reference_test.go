package drivertest_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

var (
	_ driver.Leaser        = (*reference)(nil)
	_ driver.BatchLeaser   = (*reference)(nil)
	_ driver.LeaseLimiter  = (*reference)(nil)
	_ driver.LeaseExtender = (*reference)(nil)
	_ driver.Initializer   = (*reference)(nil)
	_ driver.Destroyer     = (*reference)(nil)
	_ driver.Clearer       = (*reference)(nil)
	_ driver.Batcher       = (*reference)(nil)
)

// reference is a strategy that is correct because it is simple: one map, one mutex, and a sequence
// number for every event. The mutants break it one rule at a time.
type reference struct {
	capacity int // in bytes of values
	leaseTTL time.Duration

	mu      sync.Mutex
	clock   driver.Clock
	entries map[string]*entry
	order   []*entry // oldest first; includes replaced entries
	used    int
	leases  map[string]*driver.Lease
	granted map[*driver.Lease]time.Time
	// of the last event; stays after Destroy, so that old leases stay old
	sequence  uint64
	tags      map[string]uint64 // of the last invalidation
	tagsFloor uint64            // the latest invalidation of all forgotten tags
}

type entry struct {
	key      string
	value    []byte
	tags     []string
	expires  time.Time
	sequence uint64
}

// maxTags limits how many invalidated tags are remembered.
const maxTags = 10_000

func newReference() *reference {
	r := &reference{capacity: int(driver.MiB), leaseTTL: time.Minute, clock: driver.SystemClock{}}
	r.empty()
	return r
}

func (r *reference) Init(_ context.Context, in driver.Injector) error {
	clock, err := driver.Resolve[driver.Clock](in)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = clock
	r.empty()
	return nil
}

func (r *reference) Destroy(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.empty()
	return nil
}

func (r *reference) Clear(ctx context.Context) error { return r.Destroy(ctx) }

func (r *reference) empty() {
	r.sequence++
	r.tagsFloor = r.sequence
	r.order, r.used = nil, 0
	r.granted = map[*driver.Lease]time.Time{}
	r.entries, r.leases, r.tags = map[string]*entry{}, map[string]*driver.Lease{}, map[string]uint64{}
}

func (r *reference) Get(_ context.Context, key string) ([]byte, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.get(key)
}

func (r *reference) get(key string) ([]byte, bool, error) {
	e := r.entries[key]
	if e == nil || !r.clock.Now().Before(e.expires) || r.invalidated(e.tags, e.sequence) {
		return nil, false, nil
	}
	return slices.Clone(e.value), true, nil
}

// invalidated reports whether one of tags was invalidated after sequence.
func (r *reference) invalidated(tags []string, sequence uint64) bool {
	if len(tags) > 0 && r.tagsFloor > sequence {
		return true
	}
	return slices.ContainsFunc(tags, func(tag string) bool { return r.tags[tag] > sequence })
}

func (r *reference) Set(_ context.Context, key string, value []byte, opts driver.SetOptions) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.leases, key)
	return r.set(key, value, opts)
}

func (r *reference) set(key string, value []byte, opts driver.SetOptions) error {
	r.remove(key)
	if opts.TTL <= 0 {
		return driver.ErrInvalidTTL
	}
	if len(value) > r.capacity {
		return driver.ErrValueTooLarge
	}
	for r.used+len(value) > r.capacity {
		oldest := r.order[0]
		r.order = r.order[1:]
		if r.entries[oldest.key] == oldest {
			r.remove(oldest.key)
		}
	}
	e := &entry{
		key: key, value: slices.Clone(value), tags: slices.Clone(opts.Tags),
		expires: r.clock.Now().Add(max(opts.TTL, time.Millisecond)), sequence: r.sequence,
	}
	r.entries[key] = e
	r.order = append(r.order, e)
	r.used += len(value)
	return nil
}

func (r *reference) GetMany(ctx context.Context, keys, _ []string) []driver.Result {
	results := make([]driver.Result, len(keys))
	for i, key := range keys {
		results[i].Value, results[i].Found, results[i].Err = r.Get(ctx, key)
	}
	return results
}

func (r *reference) SetMany(ctx context.Context, items []driver.Item) []error {
	failures := make([]error, len(items))
	for i, item := range items {
		failures[i] = r.Set(ctx, item.Key, item.Value, item.Options)
	}
	return failures
}

func (r *reference) remove(key string) {
	if e := r.entries[key]; e != nil {
		r.used -= len(e.value)
		delete(r.entries, key)
	}
}

func (r *reference) Delete(_ context.Context, keys ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		r.remove(key)
		delete(r.leases, key)
	}
	return nil
}

func (r *reference) InvalidateTags(_ context.Context, tags ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sequence++
	if len(r.tags)+len(tags) > maxTags {
		clear(r.tags)
		r.tagsFloor = r.sequence
	}
	for _, tag := range tags {
		r.tags[tag] = r.sequence
	}
	return nil
}

func (r *reference) GetOrLease(_ context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if value, found, err := r.get(key); found || err != nil {
		return value, found, nil, err
	}
	return nil, false, r.lease(key), nil
}

func (r *reference) Lease(_ context.Context, key string) (*driver.Lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lease(key), nil
}

func (r *reference) lease(key string) *driver.Lease {
	if held := r.leases[key]; held != nil && r.alive(held) {
		return nil
	}
	lease := &driver.Lease{Key: key, Sequence: r.sequence, State: r.clock.Now().Add(r.leaseTTL)}
	r.leases[key] = lease
	r.granted[lease] = r.clock.Now()
	return lease
}

func (r *reference) LeaseTTL() time.Duration  { return 5 * r.leaseTTL }
func (r *reference) LeaseTerm() time.Duration { return r.leaseTTL }

func (r *reference) Extend(_ context.Context, lease *driver.Lease) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if lease == nil || r.leases[lease.Key] != lease || !r.alive(lease) {
		return false, nil
	}
	expires := r.clock.Now().Add(r.leaseTTL)
	if expires.After(r.granted[lease].Add(r.LeaseTTL())) {
		return false, nil
	}
	lease.State = expires
	return true, nil
}

func (r *reference) alive(lease *driver.Lease) bool {
	return r.clock.Now().Before(lease.State.(time.Time))
}

func (r *reference) Fill(_ context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leases[lease.Key] != lease {
		return false, nil
	}
	delete(r.leases, lease.Key)
	if !r.alive(lease) || r.invalidated(opts.Tags, lease.Sequence) {
		return false, nil
	}
	err := r.set(lease.Key, value, opts)
	return err == nil, err
}

func (r *reference) Release(_ context.Context, lease *driver.Lease) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if lease != nil && r.leases[lease.Key] == lease {
		delete(r.leases, lease.Key)
	}
	return nil
}
