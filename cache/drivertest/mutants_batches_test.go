package drivertest_test

import (
	"context"
	"slices"

	"github.com/fxcache/fxcache/cache/driver"
)

var batchMutants = []mutant{
	broke("one result too many", "Batches/NoKeys Batches/GetManyIsGet", func(b *broken, r *reference) {
		b.getMany = func(ctx context.Context, keys []string) []driver.Result {
			return append(r.GetMany(ctx, keys, nil), driver.Result{})
		}
	}),
	broke("one error too many", "Batches/NoKeys", func(b *broken, r *reference) {
		b.setMany = func(ctx context.Context, items []driver.Item) []error { return append(r.SetMany(ctx, items), nil) }
	}),
	broke("only the hits are answered", "Batches/GetManyIsGet Batches/Duplicates", func(b *broken, r *reference) {
		b.getMany = func(ctx context.Context, keys []string) []driver.Result {
			return slices.DeleteFunc(r.GetMany(ctx, keys, nil), func(result driver.Result) bool { return !result.Found })
		}
	}),
	broke("results in another order", "Batches/GetManyIsGet Batches/Duplicates Batches/ManyKeys", func(b *broken, r *reference) {
		b.getMany = func(ctx context.Context, keys []string) []driver.Result {
			results := r.GetMany(ctx, keys, nil)
			slices.Reverse(results)
			return results
		}
	}),
	broke("many are read whatever was invalidated", "Batches/GetManyIsGet Batches/ManyKeys", func(b *broken, r *reference) {
		b.getMany = func(_ context.Context, keys []string) []driver.Result {
			r.mu.Lock()
			defer r.mu.Unlock()
			results := make([]driver.Result, len(keys))
			for i, key := range keys {
				if e := r.entries[key]; e != nil && r.clock.Now().Before(e.expires) {
					results[i] = driver.Result{Value: slices.Clone(e.value), Found: true}
				}
			}
			return results
		}
	}),
	broke("duplicates share", "Batches/Duplicates", func(b *broken, r *reference) {
		b.getMany = func(ctx context.Context, keys []string) []driver.Result {
			results := r.GetMany(ctx, keys, nil)
			for i, key := range keys {
				results[i] = results[slices.Index(keys, key)]
			}
			return results
		}
	}),
	broke("many values are kept", "Batches/ValuesBelongToTheCaller", func(b *broken, r *reference) {
		b.setMany = func(ctx context.Context, items []driver.Item) []error {
			failures := r.SetMany(ctx, items)
			for i, item := range items {
				if failures[i] == nil {
					r.entries[item.Key].value = item.Value
				}
			}
			return failures
		}
	}),
	broke("many tags are kept", "Batches/ValuesBelongToTheCaller", func(b *broken, r *reference) {
		b.setMany = func(ctx context.Context, items []driver.Item) []error {
			failures := r.SetMany(ctx, items)
			for i, item := range items {
				if failures[i] == nil {
					r.entries[item.Key].tags = item.Options.Tags
				}
			}
			return failures
		}
	}),
	broke("many without tags", "Batches/SetManyIsSet Batches/ManyKeys", items(func(item *driver.Item, _ driver.Item) { item.Options.Tags = nil })),
	broke("many with the first TTL", "Batches/SetManyIsSet", items(func(item *driver.Item, first driver.Item) { item.Options.TTL = first.Options.TTL })),
	broke("many with the first tags", "Batches/SetManyIsSet", items(func(item *driver.Item, first driver.Item) { item.Options.Tags = first.Options.Tags })),
	broke("a refused item ends the list", "Batches/RefusedItems", func(b *broken, r *reference) {
		b.setMany = func(ctx context.Context, items []driver.Item) []error {
			failures := make([]error, len(items))
			for i, item := range items {
				if failures[i] = r.Set(ctx, item.Key, item.Value, item.Options); failures[i] != nil {
					break
				}
			}
			return failures
		}
	}),
	broke("a refused item keeps the old value", "Batches/RefusedItems", func(b *broken, r *reference) {
		b.setMany = func(ctx context.Context, items []driver.Item) []error {
			failures := make([]error, len(items))
			for i, item := range items {
				if item.Options.TTL <= 0 {
					failures[i] = driver.ErrInvalidTTL
				} else {
					failures[i] = r.Set(ctx, item.Key, item.Value, item.Options)
				}
			}
			return failures
		}
	}),
	broke("a huge item keeps the old value", "Batches/HugeItems", func(b *broken, r *reference) {
		b.setMany = func(ctx context.Context, items []driver.Item) []error {
			failures := make([]error, len(items))
			for i, item := range items {
				if len(item.Value) > r.capacity {
					failures[i] = driver.ErrValueTooLarge
				} else {
					failures[i] = r.Set(ctx, item.Key, item.Value, item.Options)
				}
			}
			return failures
		}
	}),
	broke("only a thousand keys", "Batches/ManyKeys", func(b *broken, r *reference) {
		b.getMany = func(ctx context.Context, keys []string) []driver.Result {
			results := r.GetMany(ctx, keys[:min(1000, len(keys))], nil)
			return append(results, make([]driver.Result, len(keys)-len(results))...)
		}
	}),
	broke("many leave leases", "Batches/SetManyEndsLeases", func(b *broken, r *reference) {
		b.setMany = func(_ context.Context, items []driver.Item) []error {
			r.mu.Lock()
			defer r.mu.Unlock()
			failures := make([]error, len(items))
			for i, item := range items {
				failures[i] = r.set(item.Key, item.Value, item.Options)
			}
			return failures
		}
	}),
	broke("an ended context is a miss", "Batches/EndedContext", func(b *broken, r *reference) {
		b.getMany = func(ctx context.Context, keys []string) []driver.Result {
			if ctx.Err() != nil {
				return make([]driver.Result, len(keys))
			}
			return r.GetMany(ctx, keys, nil)
		}
	}),
}

// items returns a mutation that changes each item of SetMany, given the first.
func items(change func(item *driver.Item, first driver.Item)) func(b *broken, r *reference) {
	return func(b *broken, r *reference) {
		b.setMany = func(ctx context.Context, items []driver.Item) []error {
			items = slices.Clone(items)
			for i := range items {
				change(&items[i], items[0])
			}
			return r.SetMany(ctx, items)
		}
	}
}
