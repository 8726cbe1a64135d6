package cachetest

import (
	"context"
	"slices"
	"time"

	"github.com/fxcache/fxcache/cache"
)

var (
	_ cache.Initializer   = (*recorded)(nil)
	_ cache.Destroyer     = (*recorded)(nil)
	_ cache.Clearer       = (*recorded)(nil)
	_ cache.Unwrapper     = (*recorded)(nil)
	_ cache.Leaser        = (*recordedLeaser)(nil)
	_ cache.LeaseLimiter  = (*recordedLeaser)(nil)
	_ cache.LeaseExtender = (*recordedLeaser)(nil)
	_ cache.Batcher       = recordedBatcher{}
)

// recorded is the strategy that Record puts around one without leases.
type recorded struct {
	recorder *Recorder
	inner    cache.Strategy
}

func (s *recorded) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	err = s.recorder.do(ctx, Operation{Name: OpGet, Keys: []string{key}}, func() (err error) {
		value, found, err = s.inner.Get(ctx, key)
		return err
	})
	return value, found, err
}

func (s *recorded) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	return s.recorder.do(ctx, Operation{Name: OpSet, Keys: []string{key}, Tags: opts.Tags, TTL: opts.TTL}, func() error {
		return s.inner.Set(ctx, key, value, opts)
	})
}

func (s *recorded) Delete(ctx context.Context, keys ...string) error {
	return s.recorder.do(ctx, Operation{Name: OpDelete, Keys: keys}, func() error {
		return s.inner.Delete(ctx, keys...)
	})
}

func (s *recorded) InvalidateTags(ctx context.Context, tags ...string) error {
	return s.recorder.do(ctx, Operation{Name: OpInvalidate, Tags: tags}, func() error {
		return s.inner.InvalidateTags(ctx, tags...)
	})
}

// Clear implements cache.Clearer.
func (s *recorded) Clear(ctx context.Context) error {
	return s.recorder.do(ctx, Operation{Name: OpClear}, func() error {
		if c, ok := s.inner.(cache.Clearer); ok {
			return c.Clear(ctx)
		}
		return cache.ErrUnsupported
	})
}

// Init implements cache.Initializer.
func (s *recorded) Init(ctx context.Context, in cache.Injector) error {
	if i, ok := s.inner.(cache.Initializer); ok {
		return i.Init(ctx, in)
	}
	return nil
}

// Destroy implements cache.Destroyer.
func (s *recorded) Destroy(ctx context.Context) error {
	if d, ok := s.inner.(cache.Destroyer); ok {
		return d.Destroy(ctx)
	}
	return nil
}

// Unwrap implements cache.Unwrapper.
func (s *recorded) Unwrap() cache.Strategy { return s.inner }

// recordedLeaser is the strategy that Record puts around one with leases.
type recordedLeaser struct {
	*recorded
	leaser cache.Leaser
}

// LeaseTTL is that of the strategy, or what is assumed where it has none.
func (s *recordedLeaser) LeaseTTL() time.Duration {
	if limiter, ok := s.leaser.(cache.LeaseLimiter); ok {
		return limiter.LeaseTTL()
	}
	return time.Minute
}

// LeaseTerm is that of the strategy, or 0 where it is no cache.LeaseExtender.
func (s *recordedLeaser) LeaseTerm() time.Duration {
	if extender, ok := s.leaser.(cache.LeaseExtender); ok {
		return extender.LeaseTerm()
	}
	return 0
}

// Extend implements cache.LeaseExtender.
func (s *recordedLeaser) Extend(ctx context.Context, lease *cache.Lease) (held bool, err error) {
	err = s.recorder.do(ctx, Operation{Name: OpExtend, Keys: keysOf(lease)}, func() (err error) {
		extender, ok := s.leaser.(cache.LeaseExtender)
		if !ok {
			return cache.ErrUnsupported
		}
		held, err = extender.Extend(ctx, lease)
		return err
	})
	return held, err
}

func (s *recordedLeaser) GetOrLease(ctx context.Context, key string, tags []string) (value []byte, found bool, lease *cache.Lease, err error) {
	err = s.recorder.do(ctx, Operation{Name: OpGetOrLease, Keys: []string{key}, Tags: tags}, func() (err error) {
		value, found, lease, err = s.leaser.GetOrLease(ctx, key, tags)
		return err
	})
	return value, found, lease, err
}

func (s *recordedLeaser) Lease(ctx context.Context, key string, tags []string) (lease *cache.Lease, err error) {
	err = s.recorder.do(ctx, Operation{Name: OpLease, Keys: []string{key}, Tags: tags}, func() (err error) {
		lease, err = s.leaser.Lease(ctx, key, tags)
		return err
	})
	return lease, err
}

func (s *recordedLeaser) Fill(ctx context.Context, lease *cache.Lease, value []byte, opts cache.SetOptions) (stored bool, err error) {
	operation := Operation{Name: OpFill, Keys: keysOf(lease), Tags: opts.Tags, TTL: opts.TTL}
	err = s.recorder.do(ctx, operation, func() (err error) {
		stored, err = s.leaser.Fill(ctx, lease, value, opts)
		return err
	})
	return stored, err
}

func (s *recordedLeaser) Release(ctx context.Context, lease *cache.Lease) error {
	return s.recorder.do(ctx, Operation{Name: OpRelease, Keys: keysOf(lease)}, func() error {
		return s.leaser.Release(ctx, lease)
	})
}

// recordedBatcher is what Record adds for a strategy that takes many keys at once. A planned failure fails
// each of them.
type recordedBatcher struct {
	recorder *Recorder
	batcher  cache.Batcher
}

func (s recordedBatcher) GetMany(ctx context.Context, keys, tags []string) (results []cache.Result) {
	err := s.recorder.do(ctx, Operation{Name: OpGetMany, Keys: keys, Tags: tags}, func() error {
		results = s.batcher.GetMany(ctx, keys, tags)
		return nil
	})
	if err != nil {
		results = slices.Repeat([]cache.Result{{Err: err}}, len(keys))
	}
	return results
}

func (s recordedBatcher) SetMany(ctx context.Context, items []cache.Item) (failures []error) {
	keys := make([]string, len(items))
	for i, item := range items {
		keys[i] = item.Key
	}
	err := s.recorder.do(ctx, Operation{Name: OpSetMany, Keys: keys}, func() error {
		failures = s.batcher.SetMany(ctx, items)
		return nil
	})
	if err != nil {
		failures = slices.Repeat([]error{err}, len(items))
	}
	return failures
}

func keysOf(lease *cache.Lease) []string {
	if lease == nil {
		return nil
	}
	return []string{lease.Key}
}
