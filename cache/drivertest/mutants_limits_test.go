package drivertest_test

import (
	"context"

	"github.com/fxcache/fxcache/cache/driver"
)

var limitMutants = []mutant{
	broke("huge value refused too early", "Limits/HugeValue", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if len(value) > r.capacity {
				return driver.ErrValueTooLarge
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("huge value dropped silently", "Limits/HugeValue", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if len(value) > r.capacity {
				return r.Delete(ctx, key)
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("huge value is an unknown error", "Limits/HugeValue", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if err := r.Set(ctx, key, value, opts); err != nil {
				return errMutant
			}
			return nil
		}
	}),
	broke("huge fill refused too early", "Limits/HugeFill", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			if len(value) > r.capacity {
				return false, driver.ErrValueTooLarge
			}
			return r.Fill(ctx, lease, value, opts)
		}
	}),
	broke("huge value empties the rest", "Limits/RefusedValueEvictsNothing", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if len(value) > r.capacity {
				_ = r.Clear(ctx)
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("grows without bound", "Eviction/OldestGiveWay", func(_ *broken, r *reference) { r.capacity = 1 << 40 }),
	broke("full means closed", "Eviction/OldestGiveWay", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if r.used+len(value) > r.capacity {
				return nil
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("replaced values count", "Eviction/OverwritingOneKey", func(b *broken, r *reference) {
		written := 0
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if written += len(value); written > r.capacity {
				return nil
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
}
