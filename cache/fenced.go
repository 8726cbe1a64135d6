package cache

import (
	"context"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/fence"
)

// The limits of the fence that Service puts around a strategy without leases.
const (
	fencedMaxTags   = 1 << 16
	fencedMaxLeases = 1 << 16
	fencedLeaseTTL  = 30 * time.Second
)

// fenced adds leases to a Strategy that has none. They hold within this process only: a fenced
// strategy does not see what another process does to the same storage.
type fenced struct {
	driver.Strategy
	features driver.Features // of the Strategy
	fence    *fence.Fence
	// fills is held for reading while a Fill writes. InvalidateTags locks it once, after it has
	// closed the fence. So a Fill that the fence let through before is stored before the strategy
	// invalidates.
	fills sync.RWMutex
}

var (
	_ driver.Leaser        = (*fenced)(nil)
	_ driver.LeaseLimiter  = (*fenced)(nil)
	_ driver.LeaseExtender = (*fenced)(nil)
)

func newFenced(strategy driver.Strategy, features driver.Features, clock driver.Clock) *fenced {
	return &fenced{Strategy: strategy, features: features, fence: fence.New(fence.Options{
		MaxTags: fencedMaxTags, MaxLeases: fencedMaxLeases, LeaseTTL: fencedLeaseTTL, MaxLeaseTTL: driver.MaxLeaseTTL, Now: clock.Now,
	})}
}

// Features implements driver.Featured.
func (f *fenced) Features() driver.Features {
	features := f.features
	features.Leaser, features.LeaseLimiter, features.LeaseExtender = f, f, f
	features.Notifier = nil // the Strategy grants no leases that it could notify about
	if features.Clearer != nil {
		features.Clearer = f
	}
	if features.Batcher != nil {
		features.Batcher = fencedBatcher{features.Batcher, f}
	}
	return features
}

// fencedBatcher reads many entries at once. It writes entries one after the other, so that the
// fence sees each key.
type fencedBatcher struct {
	driver.Batcher
	fenced *fenced
}

func (b fencedBatcher) SetMany(ctx context.Context, items []driver.Item) []error {
	errs := make([]error, len(items))
	for i, item := range items {
		errs[i] = b.fenced.Set(ctx, item.Key, item.Value, item.Options)
	}
	return errs
}

func (f *fenced) Set(ctx context.Context, key string, value []byte, opts SetOptions) error {
	return f.fence.Update(f.fence.Hash(key), func() error { return f.Strategy.Set(ctx, key, value, opts) })
}

func (f *fenced) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		// This waits for a running fill of the same key, and revokes the lease of any other one.
		_ = f.fence.Update(f.fence.Hash(key), func() error { return nil })
	}
	return f.Strategy.Delete(ctx, keys...)
}

func (f *fenced) InvalidateTags(ctx context.Context, tags ...string) error {
	f.fence.InvalidateTags(tags...)
	f.fills.Lock()
	f.fills.Unlock() //nolint:staticcheck // an empty critical section: it waits for running fills
	return f.Strategy.InvalidateTags(ctx, tags...)
}

// Clear implements driver.Clearer. Features offers it only if the Strategy can be cleared.
func (f *fenced) Clear(ctx context.Context) error {
	f.fence.Clear()
	f.fills.Lock()
	f.fills.Unlock() //nolint:staticcheck // as in InvalidateTags
	return f.features.Clearer.Clear(ctx)
}

// LeaseTTL implements driver.LeaseLimiter.
func (f *fenced) LeaseTTL() time.Duration { return driver.MaxLeaseTTL }

// LeaseTerm implements driver.LeaseExtender.
func (f *fenced) LeaseTerm() time.Duration { return fencedLeaseTTL }

// Extend implements driver.LeaseExtender.
func (f *fenced) Extend(_ context.Context, lease *driver.Lease) (bool, error) {
	return lease != nil && f.fence.Extend(f.fence.Hash(lease.Key), lease.Sequence), nil
}

func (f *fenced) GetOrLease(ctx context.Context, key string) (value []byte, found bool, lease *driver.Lease, err error) {
	// The lease comes before the read. So what is read is at least as new as the lease.
	held, _ := f.Lease(ctx, key) // the error is always nil
	defer func() {
		if lease == nil { // the read found an entry, failed, or panicked
			_ = f.Release(ctx, held)
		}
	}()
	if value, found, err = f.Get(ctx, key); found || err != nil {
		return value, found, nil, err
	}
	return nil, false, held, nil
}

func (f *fenced) Lease(_ context.Context, key string) (*driver.Lease, error) {
	sequence, granted := f.fence.Lease(f.fence.Hash(key))
	if !granted {
		return nil, nil
	}
	return &driver.Lease{Key: key, Sequence: sequence}, nil
}

func (f *fenced) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts SetOptions) (bool, error) {
	if lease == nil {
		return false, nil
	}
	tags := make([]uint64, len(opts.Tags))
	for i, tag := range opts.Tags {
		tags[i] = f.fence.Hash(tag)
	}
	f.fills.RLock()
	defer f.fills.RUnlock()
	return f.fence.Fill(f.fence.Hash(lease.Key), lease.Sequence, tags, func() error {
		return f.Strategy.Set(ctx, lease.Key, value, opts)
	})
}

func (f *fenced) Release(_ context.Context, lease *driver.Lease) error {
	if lease != nil {
		f.fence.Release(f.fence.Hash(lease.Key), lease.Sequence)
	}
	return nil
}
