package drivertest_test

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

var tagMutants = []mutant{
	broke("invalidation does nothing", everyVendureTag+" Tags/OneTag Tags/HundredKeys Tags/FiveThousandKeys Tags/SetAfterInvalidation Names/LongestKeyWithManyTags",
		func(b *broken, _ *reference) {
			b.invalidate = func(context.Context, []string) error { return nil }
		}),
	broke("invalidation hides everything", "Tags/OneTag Tags/HundredKeys Vendure/InvalidateBySingleTag", func(b *broken, r *reference) {
		b.invalidate = func(ctx context.Context, _ []string) error { return r.Clear(ctx) }
	}),
	broke("only the first tag of the list", "Tags/SeveralTags Vendure/InvalidateManyKeysBySeveralTags", func(b *broken, r *reference) {
		b.invalidate = func(ctx context.Context, tags []string) error {
			return r.InvalidateTags(ctx, tags[:min(1, len(tags))]...)
		}
	}),
	broke("an unknown tag ends the list", "Tags/SeveralTags", func(b *broken, r *reference) {
		b.invalidate = func(ctx context.Context, tags []string) error {
			for _, tag := range tags {
				known := slices.ContainsFunc(r.order, func(e *entry) bool { return slices.Contains(e.tags, tag) })
				if !known {
					return errMutant
				}
			}
			return r.InvalidateTags(ctx, tags...)
		}
	}),
	broke("only the first tag of the entry", "Tags/AnyTagOfAnEntry", tagsOf(func(_, tags []string) []string { return tags[:min(1, len(tags))] })),
	broke("only 32 tags of the entry", "Limits/ManyTags", tagsOf(func(_, tags []string) []string { return tags[:min(32, len(tags))] })),
	broke("batches of 1000", "Tags/FiveThousandKeys", func(b *broken, r *reference) {
		b.invalidate = func(_ context.Context, tags []string) error {
			batch := 1000
			for _, e := range r.order {
				if batch > 0 && slices.ContainsFunc(e.tags, func(tag string) bool { return slices.Contains(tags, tag) }) {
					delete(r.entries, e.key)
					batch--
				}
			}
			return nil
		}
	}),
	broke("set adds tags", "Tags/ResetReplacesTags Tags/ResetWithoutTags", tagsOf(func(before, now []string) []string { return slices.Concat(before, now) })),
	broke("set without tags keeps them", "Tags/ResetWithoutTags", tagsOf(func(before, now []string) []string {
		if len(now) == 0 {
			return before
		}
		return now
	})),
	broke("set keeps the first tags", "Tags/ResetReplacesTags Tags/ResetAddsTags", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if before := r.entries[key]; before != nil {
				opts.Tags = before.tags
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("no tag means every tag", "Tags/NothingToInvalidate", func(b *broken, r *reference) {
		b.invalidate = func(ctx context.Context, tags []string) error {
			if len(tags) == 0 {
				return r.Clear(ctx)
			}
			return r.InvalidateTags(ctx, tags...)
		}
	}),
	broke("duplicates are an error", "Tags/Duplicates", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if len(slices.Compact(slices.Sorted(slices.Values(opts.Tags)))) < len(opts.Tags) {
				return errMutant
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("invalidated for ever", "Tags/SetAfterInvalidation", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			err := r.Set(ctx, key, value, opts)
			if e := r.entries[key]; e != nil {
				e.sequence = 0
			}
			return err
		}
	}),
	broke("delete leaves the key with its tag", "Tags/SetAfterDelete Tags/ResetReplacesTags", func(b *broken, r *reference) {
		index := make(map[string][]string)
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			for _, tag := range opts.Tags {
				index[tag] = append(index[tag], key)
			}
			return r.Set(ctx, key, value, opts)
		}
		b.invalidate = func(ctx context.Context, tags []string) error {
			for _, tag := range tags {
				_ = r.Delete(ctx, index[tag]...)
			}
			return nil
		}
	}),
	broke("set revives the tag", "Tags/InvalidatedForGood", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			for _, tag := range opts.Tags {
				delete(r.tags, tag)
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("tag lives as long as its last entry", "Tags/ExpiryDoesNotRevive", func(b *broken, r *reference) {
		lives := make(map[string]time.Time)
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			for _, tag := range opts.Tags {
				lives[tag] = r.clock.Now().Add(opts.TTL)
			}
			return r.Set(ctx, key, value, opts)
		}
		b.get = func(key string) ([]byte, bool, error) {
			maps.DeleteFunc(r.tags, func(tag string, _ uint64) bool { return r.clock.Now().After(lives[tag]) })
			return r.Get(anyContext, key)
		}
	}),
	broke("tags forgotten", "Tags/ManyInvalidatedTags Leases/FillAfterManyInvalidations", forgetTags(maxTags)),
	broke("few tags remembered", "Eviction/EvictedStaysInvalid", forgetTags(100)),
}

// tagsOf returns a mutation that changes the tags of an entry. It is given the tags of the replaced
// entry.
func tagsOf(change func(before, now []string) []string) func(b *broken, r *reference) {
	return func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			var before []string
			if e := r.entries[key]; e != nil {
				before = e.tags
			}
			opts.Tags = change(before, opts.Tags)
			return r.Set(ctx, key, value, opts)
		}
	}
}

// forgetTags returns a mutation that forgets invalidated tags, but does not raise the floor.
func forgetTags(limit int) func(b *broken, r *reference) {
	return func(b *broken, r *reference) {
		b.invalidate = func(ctx context.Context, tags []string) error {
			floor := r.tagsFloor
			if len(r.tags) > limit {
				clear(r.tags)
			}
			err := r.InvalidateTags(ctx, tags...)
			r.tagsFloor = floor
			return err
		}
	}
}
