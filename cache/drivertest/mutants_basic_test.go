package drivertest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

var errMutant = errors.New("mutant")

var basicMutants = []mutant{
	broke("miss is an error", "Basics/MissingKey Vendure/GetMissing", func(b *broken, r *reference) {
		b.get = func(key string) ([]byte, bool, error) {
			value, found, _ := r.Get(anyContext, key)
			if !found {
				return nil, false, errMutant
			}
			return value, true, nil
		}
	}),
	broke("miss is an empty hit", "Basics/MissingKey Vendure/GetMissing", func(b *broken, r *reference) {
		b.get = func(key string) ([]byte, bool, error) {
			value, _, err := r.Get(anyContext, key)
			return value, true, err
		}
	}),
	broke("read once", "Basics/SetThenGet", func(b *broken, r *reference) {
		b.get = func(key string) ([]byte, bool, error) {
			defer func() { _ = r.Delete(anyContext, key) }()
			return r.Get(anyContext, key)
		}
	}),
	broke("empty value is a miss", "Basics/EmptyValueIsAHit", func(b *broken, r *reference) {
		b.get = func(key string) ([]byte, bool, error) {
			value, _, err := r.Get(anyContext, key)
			return value, len(value) > 0, err
		}
	}),
	broke("value ends at NUL", "Basics/BinaryValues", values(func(value []byte) []byte {
		value, _, _ = bytes.Cut(value, []byte{0})
		return value
	})),
	broke("value is trimmed", "Basics/BinaryValues", values(bytes.TrimSpace)),
	broke("16-bit length", "Basics/ValuesOfManySizes", values(func(value []byte) []byte {
		return value[:len(value)&0xffff]
	})),
	broke("value in quotes", "Vendure/SetString Vendure/SetObject Vendure/SetArray Vendure/SetArrayOfObjects", values(func(value []byte) []byte {
		return []byte(`"` + string(value) + `"`)
	})),
	broke("first value wins", "Basics/Overwrite", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if _, found, _ := r.Get(ctx, key); found {
				return nil
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("delete does nothing", "Basics/Delete Vendure/Delete", func(b *broken, _ *reference) {
		b.delete = func(context.Context, []string) error { return nil }
	}),
	broke("delete of a missing key fails", "Basics/DeleteOfNothing", func(b *broken, r *reference) {
		b.delete = func(ctx context.Context, keys []string) error {
			for _, key := range keys {
				if _, found, _ := r.Get(ctx, key); !found {
					return errMutant
				}
			}
			return r.Delete(ctx, keys...)
		}
	}),
	broke("delete of nothing deletes all", "Basics/DeleteOfNothing", func(b *broken, r *reference) {
		b.delete = func(ctx context.Context, keys []string) error {
			if len(keys) == 0 {
				return r.Clear(ctx)
			}
			return r.Delete(ctx, keys...)
		}
	}),
	broke("delete stops at a missing key", "Basics/DeleteSeveral", func(b *broken, r *reference) {
		b.delete = func(ctx context.Context, keys []string) error {
			for _, key := range keys {
				if _, found, _ := r.Get(ctx, key); !found {
					return nil
				}
				_ = r.Delete(ctx, key)
			}
			return nil
		}
	}),
	broke("clear forgets untagged entries", "Basics/Clear", func(b *broken, r *reference) {
		b.clear = func() error {
			for _, e := range r.order {
				_ = r.InvalidateTags(anyContext, e.tags...)
			}
			return nil
		}
	}),

	broke("keys in lower case", "Names/KeysKeepApart", keys(strings.ToLower)),
	broke("keys trimmed", "Names/KeysKeepApart", keys(strings.TrimSpace)),
	broke("keys end at NUL", "Names/KeysKeepApart", keys(func(key string) string {
		key, _, _ = strings.Cut(key, "\x00")
		return key
	})),
	broke("keys cut at 1024 bytes", "Names/KeysKeepApart", keys(func(key string) string { return key[:min(len(key), 1024)] })),
	broke("keys valid as UTF-8", "Names/KeysKeepApart", keys(func(key string) string { return strings.ToValidUTF8(key, "\x01") })),
	broke("tags in lower case", "Names/TagsKeepApart", tagNames(strings.ToLower)),
	broke("tags without hash tag", "Names/TagsKeepApart", tagNames(func(tag string) string { return strings.Trim(tag, "{}") })),
	broke("delete also drops the tag of that name", "Names/KeysAndTagsKeepApart", func(b *broken, r *reference) {
		b.delete = func(ctx context.Context, keys []string) error {
			return errors.Join(r.Delete(ctx, keys...), r.InvalidateTags(ctx, keys...))
		}
	}),
	broke("tag hidden behind the key of that name", "Names/AKeyTaggedByItsOwnName", func(b *broken, r *reference) {
		b.invalidate = func(ctx context.Context, tags []string) error {
			return r.InvalidateTags(ctx, slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return r.entries[tag] != nil })...)
		}
	}),
	broke("tags joined by commas", "Names/JoinedTags", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			opts.Tags = append(strings.Split(strings.Join(opts.Tags, ","), ","), opts.Tags...)
			for i, tag := range opts.Tags { // the namespace is not in every part
				prefix, _, _ := strings.Cut(opts.Tags[0], ":")
				opts.Tags[i] = prefix + ":" + strings.TrimPrefix(tag, prefix+":")
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("long keys silently dropped", "Names/LongestKeyWithManyTags", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if len(key) > 1024 { // forgets that the limit does not include the namespace
				return nil
			}
			return r.Set(ctx, key, value, opts)
		}
	}),

	broke("set keeps the value", "Isolation/ValueAfterSet", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			err := r.Set(ctx, key, value, opts)
			r.entries[key].value = value
			return err
		}
	}),
	broke("get hands out its own", "Isolation/ValueFromGet Isolation/ReadersDoNotShare", func(b *broken, r *reference) {
		b.get = func(key string) ([]byte, bool, error) {
			_, found, err := r.Get(anyContext, key)
			if !found {
				return nil, false, err
			}
			return r.entries[key].value, true, nil
		}
	}),
	broke("set writes in place", "Isolation/ValueOutlivesOverwrite", func(b *broken, r *reference) {
		arena := make(map[string][]byte)
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			arena[key] = append(arena[key][:0], value...)
			return r.Set(ctx, key, value, opts)
		}
		b.get = func(key string) ([]byte, bool, error) {
			_, found, err := r.Get(anyContext, key)
			return arena[key], found, err
		}
	}),
	broke("set keeps the tags", "Isolation/TagsAfterSet", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			err := r.Set(ctx, key, value, opts)
			r.entries[key].tags = opts.Tags
			return err
		}
	}),
	broke("fill keeps the value", "Isolation/Fill", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			stored, err := r.Fill(ctx, lease, value, opts)
			r.entries[lease.Key].value = value
			return stored, err
		}
	}),

	{
		name: "leases undeclared", kills: "Capabilities/LeaserAsDeclared",
		new:     func() driver.Strategy { return newReference() },
		options: []drivertest.Option{drivertest.NoLeases()},
	},
	{
		name: "no leases undeclared", kills: "Capabilities/LeaserAsDeclared",
		new: func() driver.Strategy { return new(Minimal) },
	},
}

// values returns a mutation that changes the stored values.
func values(change func(value []byte) []byte) func(b *broken, r *reference) {
	return func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			return r.Set(ctx, key, change(value), opts)
		}
	}
}

// keys returns a mutation that takes some keys for the same.
func keys(change func(key string) string) func(b *broken, r *reference) {
	return func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			return r.Set(ctx, change(key), value, opts)
		}
		b.get = func(key string) ([]byte, bool, error) { return r.Get(anyContext, change(key)) }
	}
}

// tagNames returns a mutation that takes some tags for the same.
func tagNames(change func(tag string) string) func(b *broken, r *reference) {
	all := func(tags []string) []string {
		changed := slices.Clone(tags)
		for i, tag := range tags {
			namespace, name, _ := strings.Cut(tag, ":")
			changed[i] = namespace + ":" + change(name)
		}
		return changed
	}
	return func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			opts.Tags = all(opts.Tags)
			return r.Set(ctx, key, value, opts)
		}
		b.invalidate = func(ctx context.Context, tags []string) error { return r.InvalidateTags(ctx, all(tags)...) }
	}
}
