package cache

import (
	"context"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/fence"
)

// The limits of the fence that Service puts around a strategy without leases.
const (
	fencedMaxTags   = 1 << 16
	fencedMaxLeases = 1 << 16
	fencedLeaseTTL  = 30 * time.Second
	fencedLocks     = 256
)

// fenced adds leases to a Strategy that has none. They hold within this process only: a fenced
// strategy does not see what another process does to the same storage.
type fenced struct {
	driver.Strategy
	features driver.Features // of the Strategy
	fence    *fence.Fence
	// locks are held while the fence is asked about a key, and while a Set or Fill of it writes.
	// They are channels and not mutexes, because waiting for them must end with a context.
	locks [fencedLocks]chan struct{}
}

var (
	_ driver.Leaser        = (*fenced)(nil)
	_ driver.LeaseLimiter  = (*fenced)(nil)
	_ driver.LeaseExtender = (*fenced)(nil)
)

func newFenced(strategy driver.Strategy, features driver.Features, clock driver.Clock) *fenced {
	f := &fenced{Strategy: strategy, features: features, fence: fence.New(fence.Options{
		MaxTags: fencedMaxTags, MaxLeases: fencedMaxLeases, LeaseTTL: fencedLeaseTTL, MaxLeaseTTL: driver.MaxLeaseTTL, Now: clock.Now,
	})}
	for i := range f.locks {
		f.locks[i] = make(chan struct{}, 1)
	}
	return f
}

// lock waits until no write of a key is under way, and keeps others away until unlock.
func (f *fenced) lock(ctx context.Context, key string) (hash uint64, unlock func(), err error) {
	hash = f.fence.Hash(key)
	l := f.locks[hash%fencedLocks]
	unlock, err = take(ctx, l)
	return hash, unlock, err
}

func take(ctx context.Context, lock chan struct{}) (unlock func(), err error) {
	select {
	case lock <- struct{}{}:
	default:
		select {
		case lock <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return func() { <-lock }, nil
}

// settle waits for the writes that are under way. InvalidateTags and Clear do that after they have
// closed the fence: a Fill that it let through before is stored before the strategy invalidates.
func (f *fenced) settle(ctx context.Context) error {
	for _, l := range f.locks {
		unlock, err := take(ctx, l)
		if err != nil {
			return err
		}
		unlock()
	}
	return nil
}

// Features implements driver.Featured.
func (f *fenced) Features() driver.Features {
	features := f.features
	features.Leaser, features.LeaseLimiter, features.LeaseExtender = f, f, f
	features.BatchLeaser = nil // the leases are the fence's, and cost no round trip
	features.Notifier = nil    // the Strategy grants no leases that it could notify about
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
	hash, unlock, err := f.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	return f.fence.Update(hash, func() error { return f.Strategy.Set(ctx, key, value, opts) })
}

func (f *fenced) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		// This waits for a running fill of the same key, and revokes the lease of any other one.
		hash, unlock, err := f.lock(ctx, key)
		if err != nil {
			return err
		}
		_ = f.fence.Update(hash, func() error { return nil })
		unlock()
	}
	return f.Strategy.Delete(ctx, keys...)
}

func (f *fenced) InvalidateTags(ctx context.Context, tags ...string) error {
	f.fence.InvalidateTags(tags...)
	if err := f.settle(ctx); err != nil {
		return err
	}
	return f.Strategy.InvalidateTags(ctx, tags...)
}

// Clear implements driver.Clearer. Features offers it only if the Strategy can be cleared.
func (f *fenced) Clear(ctx context.Context) error {
	f.fence.Clear()
	if err := f.settle(ctx); err != nil {
		return err
	}
	return f.features.Clearer.Clear(ctx)
}

// LeaseTTL implements driver.LeaseLimiter.
func (f *fenced) LeaseTTL() time.Duration { return driver.MaxLeaseTTL }

// LeaseTerm implements driver.LeaseExtender.
func (f *fenced) LeaseTerm() time.Duration { return fencedLeaseTTL }

// Extend implements driver.LeaseExtender.
func (f *fenced) Extend(ctx context.Context, lease *driver.Lease) (bool, error) {
	if lease == nil {
		return false, nil
	}
	hash, unlock, err := f.lock(ctx, lease.Key)
	if err != nil {
		return false, err
	}
	defer unlock()
	return f.fence.Extend(hash, lease.Sequence), nil
}

func (f *fenced) GetOrLease(ctx context.Context, key string) (value []byte, found bool, lease *driver.Lease, err error) {
	// The lease comes before the read. So what is read is at least as new as the lease.
	held, err := f.Lease(ctx, key)
	if err != nil {
		return nil, false, nil, err
	}
	defer func() {
		if lease == nil { // the read found an entry, failed, or panicked
			_ = f.Release(context.WithoutCancel(ctx), held)
		}
	}()
	if value, found, err = f.Get(ctx, key); found || err != nil {
		return value, found, nil, err
	}
	return nil, false, held, nil
}

func (f *fenced) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	hash, unlock, err := f.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	sequence, granted := f.fence.Lease(hash)
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
	hash, unlock, err := f.lock(ctx, lease.Key)
	if err != nil {
		return false, err
	}
	defer unlock()
	return f.fence.Fill(hash, lease.Sequence, tags, func() error {
		return f.Strategy.Set(ctx, lease.Key, value, opts)
	})
}

func (f *fenced) Release(ctx context.Context, lease *driver.Lease) error {
	if lease == nil {
		return nil
	}
	hash, unlock, err := f.lock(ctx, lease.Key)
	if err != nil {
		return err
	}
	defer unlock()
	f.fence.Release(hash, lease.Sequence)
	return nil
}
