package drivertest_test

import (
	"context"
	"math"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

const everyVendureTag = "Vendure/InvalidateBySingleTag Vendure/InvalidateManyKeysBySeveralTags Vendure/InvalidateLargeNumberOfKeys"

var ttlMutants = []mutant{
	broke("never expires", "TTL/OneMillisecond TTL/Hour TTL/Month TTL/Century TTL/MaxTTL Vendure/TTL", ttl(func(time.Duration) time.Duration {
		return math.MaxInt64
	})),
	broke("one unit late", "TTL/OneMillisecond TTL/SubSecond", ttl(func(d time.Duration) time.Duration { return d + time.Millisecond })),
	broke("one unit early", "TTL/SubSecond", ttl(func(d time.Duration) time.Duration { return d - time.Millisecond })),
	broke("truncated to milliseconds", "TTL/BelowAMillisecond", ttl(func(d time.Duration) time.Duration { return d.Truncate(time.Millisecond) })),
	broke("rounded to seconds", "TTL/SubSecond TTL/SecondsAndMilliseconds", ttl(func(d time.Duration) time.Duration { return d.Round(time.Second) })),
	broke("life window", "TTL/Hour", ttl(func(d time.Duration) time.Duration { return min(d, 10*time.Minute) })),
	broke("32-bit milliseconds", "TTL/Month TTL/MaxTTL", ttl(func(d time.Duration) time.Duration {
		return min(d, math.MaxInt32*time.Millisecond)
	})),
	broke("32-bit seconds", "TTL/Century", ttl(func(d time.Duration) time.Duration {
		return min(d, math.MaxInt32*time.Second)
	})),
	broke("overflows nanoseconds", "TTL/LongestDuration", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if r.clock.Now().UnixNano()+int64(opts.TTL) < 0 {
				return nil
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("set keeps the later expiry", "TTL/ResetShortens", keepExpiry(func(before, now time.Time) bool { return before.After(now) })),
	broke("set keeps the old expiry", "TTL/ResetShortens TTL/ResetProlongs", keepExpiry(func(_, _ time.Time) bool { return true })),
	broke("one expiry for all", "TTL/EntriesExpireSeparately", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			err := r.Set(ctx, key, value, opts)
			for _, e := range r.entries {
				e.expires = r.entries[key].expires
			}
			return err
		}
	}),
	broke("sliding expiry", "TTL/ReadingDoesNotProlong", func(b *broken, r *reference) {
		b.get = func(key string) ([]byte, bool, error) {
			value, found, err := r.Get(anyContext, key)
			if found {
				r.entries[key].expires = r.clock.Now().Add(time.Minute)
			}
			return value, found, err
		}
	}),
	broke("bad TTL is fine", "TTL/InvalidTTL Vendure/NegativeTTL", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if opts.TTL <= 0 {
				return r.Delete(ctx, key)
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("bad TTL is an unknown error", "TTL/InvalidTTL Vendure/NegativeTTL", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if err := r.Set(ctx, key, value, opts); err != nil {
				return errMutant
			}
			return nil
		}
	}),
	broke("bad TTL is refused too early", "TTL/InvalidTTL", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if opts.TTL <= 0 {
				return driver.ErrInvalidTTL
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("zero TTL is for ever", "TTL/InvalidTTL", ttl(func(d time.Duration) time.Duration {
		if d == 0 {
			return time.Hour
		}
		return d
	})),
	onWallClock(broke("late on the wall clock", "TTL/SubSecond", ttl(func(d time.Duration) time.Duration { return d + 100*time.Millisecond }))),
	onWallClock(broke("early on the wall clock", "TTL/SubSecond", ttl(func(d time.Duration) time.Duration { return d - 100*time.Millisecond }))),
}

// onWallClock checks the mutant's TTLs in real time.
func onWallClock(m mutant) mutant {
	m.options = append(m.options, drivertest.WallClock(), drivertest.Patience(5*time.Second))
	return m
}

// ttl returns a mutation that stores another TTL.
func ttl(change func(d time.Duration) time.Duration) func(b *broken, r *reference) {
	return func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			expires := r.clock.Now().Add(change(opts.TTL))
			err := r.Set(ctx, key, value, opts)
			if opts.TTL <= 0 && change(opts.TTL) > 0 {
				opts.TTL = change(opts.TTL)
				return r.Set(ctx, key, value, opts)
			}
			if e := r.entries[key]; e != nil {
				e.expires = expires
			}
			return err
		}
	}
}

// keepExpiry returns a mutation that keeps the expiry of the replaced entry.
func keepExpiry(keep func(before, now time.Time) bool) func(b *broken, r *reference) {
	return func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			before := r.entries[key]
			err := r.Set(ctx, key, value, opts)
			if after := r.entries[key]; before != nil && after != nil && keep(before.expires, after.expires) {
				after.expires = before.expires
			}
			return err
		}
	}
}
