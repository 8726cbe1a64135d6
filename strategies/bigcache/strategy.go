// Package bigcache is the embedded strategy, and the default. Entries live in this process, in
// github.com/allegro/bigcache/v3, where the garbage collector does not scan them. This package adds
// what bigcache lacks: tags, leases, a TTL for each entry that is exact to the millisecond, and
// invalidation that no concurrent write can undo.
package bigcache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// Name selects this strategy in the configuration.
const Name = "bigcache"

// Strategy is a driver.Strategy that stores entries in this process. It is empty after Init,
// forgets everything at Destroy, and starts no goroutine. Create it with New. It is safe for
// concurrent use.
type Strategy struct {
	options Options
	store   atomic.Pointer[store] // nil before Init and after Destroy
}

var (
	_ driver.Leaser        = (*Strategy)(nil)
	_ driver.LeaseLimiter  = (*Strategy)(nil)
	_ driver.LeaseExtender = (*Strategy)(nil)
	_ driver.Clearer       = (*Strategy)(nil)
	_ driver.Local         = (*Strategy)(nil)
	_ driver.Located       = (*Strategy)(nil)
	_ driver.Initializer   = (*Strategy)(nil)
	_ driver.Destroyer     = (*Strategy)(nil)
	_ driver.Limiter       = (*Strategy)(nil)
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
			return nil, err // not a nil *Strategy, which would be a driver.Strategy that is not nil
		}
		return strategy, nil
	}}
}

// New returns the strategy, not yet initialised. An unusable option is a driver.OptionError.
func New(options Options) (*Strategy, error) {
	options = options.WithDefaults()
	if err := options.Validate(); err != nil {
		return nil, err
	}
	return &Strategy{options: options}, nil
}

// Local implements driver.Local: nothing here ever waits.
func (*Strategy) Local() {}

// Location implements driver.Located.
func (s *Strategy) Location() string { return "in this process, " + s.options.MaxSize.String() }

// Destroy forgets everything.
func (s *Strategy) Destroy(context.Context) error {
	if old := s.store.Swap(nil); old != nil {
		return old.entries.Close() // only once: a second Close panics
	}
	return nil
}

// initialised returns the store, or driver.ErrClosed if there is none.
func (s *Strategy) initialised() (*store, error) {
	if st := s.store.Load(); st != nil {
		return st, nil
	}
	return nil, driver.ErrClosed
}

// Get implements driver.Strategy.
func (s *Strategy) Get(ctx context.Context, key string) ([]byte, bool, error) {
	st, err := s.initialised()
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
	st, err := s.initialised()
	if err != nil {
		return err
	}
	defer st.settle(key, value)
	sequence := st.fence.Sequence() // now: an invalidation that comes while Set waits must win
	return st.fence.Update(st.fence.Hash(key), func() error {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, st.remove(key))
		}
		return st.put(key, value, opts, sequence, st.hashes(opts.Tags))
	})
}

// Delete implements driver.Strategy. It takes effect even if ctx has ended.
func (s *Strategy) Delete(_ context.Context, keys ...string) error {
	st, err := s.initialised()
	if err != nil {
		return err
	}
	for _, key := range keys {
		err = errors.Join(err, st.fence.Update(st.fence.Hash(key), func() error { return st.remove(key) }))
	}
	return err
}

// InvalidateTags implements driver.Strategy. It costs O(tags), and takes effect even if ctx has
// ended.
func (s *Strategy) InvalidateTags(_ context.Context, tags ...string) error {
	st, err := s.initialised()
	if err != nil {
		return err
	}
	st.fence.InvalidateTags(tags...)
	return nil
}

// Clear implements driver.Clearer in O(1). New entries reuse the memory.
func (s *Strategy) Clear(context.Context) error {
	st, err := s.initialised()
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
	st, err := s.initialised()
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

// Fill implements driver.Leaser. The entry carries the sequence of the lease. If one of its tags is
// being invalidated at the same time, the entry is therefore older than the invalidation.
func (s *Strategy) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
	st, err := s.initialised()
	if err != nil {
		return false, err
	}
	if lease == nil || lease.State != st {
		return false, nil // an earlier Init or another strategy has granted it
	}
	defer st.settle(lease.Key, value)
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

// CheckLimits implements driver.Limiter. The store was divided for the limits of Init, and must
// hold the largest entry of other ones too.
func (s *Strategy) CheckLimits(limits driver.Limits) error {
	st, err := s.initialised()
	if err != nil {
		return err
	}
	if st.holds(limits) {
		return nil
	}
	return &driver.OptionError{Name: "max_value_bytes", Reason: fmt.Sprintf(
		"cannot be raised to %v, with keys of max_key_bytes (%v) and max_tags (%d), while the application runs: the storage of %v was divided for less; "+
			"restart the application", limits.MaxValueBytes, limits.MaxKeyBytes, limits.MaxTags, s.options.MaxSize)}
}

// SetLimits implements driver.Limiter. Every entry is measured when it is stored.
func (*Strategy) SetLimits(driver.Limits) {}
