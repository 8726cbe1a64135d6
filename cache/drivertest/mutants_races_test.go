package drivertest_test

import (
	"context"
	"hash/maphash"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"github.com/fxcache/fxcache/cache/driver"
)

var raceMutants = []mutant{
	broke("invalidation in two steps", "Races/SetAgainstInvalidate", func(b *broken, r *reference) {
		// This is SMEMBERS, and then DEL of the members and the set. A key that is added in between
		// is lost for later invalidations.
		var mu sync.Mutex
		members := make(map[string][]string)
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			mu.Lock()
			defer mu.Unlock()
			for _, tag := range opts.Tags {
				members[tag] = append(members[tag], key)
			}
			return r.Set(ctx, key, value, driver.SetOptions{TTL: opts.TTL})
		}
		b.invalidate = func(ctx context.Context, tags []string) error {
			mu.Lock()
			var doomed []string
			for _, tag := range tags {
				doomed = append(doomed, members[tag]...)
			}
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			defer mu.Unlock()
			for _, tag := range tags {
				delete(members, tag)
			}
			return r.Delete(ctx, doomed...)
		}
	}),
	broke("set in the background", "Races/SetAgainstDelete", func(b *broken, r *reference) {
		b.set = func(_ context.Context, key string, value []byte, opts driver.SetOptions) error {
			value = slices.Clone(value)
			go func() { _ = r.Set(anyContext, key, value, opts) }()
			return nil
		}
	}),
	broke("invalidation in the background", "Races/InvalidateThenSet", func(b *broken, r *reference) {
		b.invalidate = func(_ context.Context, tags []string) error {
			go func() { _ = r.InvalidateTags(anyContext, tags...) }()
			return nil
		}
	}),
	broke("fill in two steps", "LeaseRaces/FillAgainstInvalidate LeaseRaces/FillAgainstInvalidateLearned", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			r.mu.Lock()
			refused := r.leases[lease.Key] != lease || r.invalidated(opts.Tags, lease.Sequence)
			r.mu.Unlock()
			if refused {
				return r.Fill(ctx, lease, value, opts)
			}
			runtime.Gosched()
			_ = r.Release(ctx, lease)
			return true, r.Set(ctx, lease.Key, value, opts)
		}
	}),
	broke("fill checks, then stores", "LeaseRaces/FillAgainstDelete LeaseRaces/FillAgainstClear LeaseRaces/FillAgainstSet", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			r.mu.Lock()
			held := r.leases[lease.Key] == lease
			r.mu.Unlock()
			if !held {
				return false, nil
			}
			runtime.Gosched()
			return true, r.Set(ctx, lease.Key, value, opts)
		}
	}),
	broke("value written in halves", "Concurrency/SameKey", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			_ = r.Set(ctx, key, value[:len(value)/2], opts)
			runtime.Gosched()
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("colliding keys", "Concurrency/DifferentKeys", func(b *broken, r *reference) {
		seed := maphash.MakeSeed()
		slot := func(key string) string { return strconv.FormatUint(maphash.String(seed, key)%16, 10) }
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			return r.Set(ctx, slot(key), value, opts)
		}
		b.get = func(key string) ([]byte, bool, error) { return r.Get(anyContext, slot(key)) }
	}),
	broke("fill under the last leased key", "Concurrency/EverythingAtOnce", func(b *broken, r *reference) {
		var mu sync.Mutex
		last := ""
		b.getOrLease = func(key string) ([]byte, bool, *driver.Lease, error) {
			mu.Lock()
			last = key
			mu.Unlock()
			return r.GetOrLease(anyContext, key)
		}
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			runtime.Gosched()
			mu.Lock()
			defer mu.Unlock()
			_ = r.Release(ctx, lease)
			return true, r.Set(ctx, last, value, opts)
		}
	}),
}
