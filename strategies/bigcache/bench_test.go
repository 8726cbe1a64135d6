package bigcache_test

import (
	"fmt"
	"testing"
	"time"

	raw "github.com/allegro/bigcache/v3"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

const benchEntries = 100_000

func benchKeys() []string {
	keys := make([]string, benchEntries)
	for i := range keys {
		keys[i] = fmt.Sprintf("app:session:%020d", i) // as long as a Service's key of a session
	}
	return keys
}

// sessionValue is as large as a session with two permissions.
var sessionValue = make([]byte, 371)

// startBench initialises the strategy with the system's clock, as in production.
func startBench(b *testing.B, size driver.Size) *opened {
	b.Helper()
	o := &opened{TB: b, Strategy: fresh(bigcache.Options{MaxSize: size})(b).(*bigcache.Strategy)}
	if err := o.Init(b.Context(), drivertest.NewInjector(b, cache.Options{})); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(o.destroy)
	return o
}

// BenchmarkGet compares a hit with the same bytes under the same key in bigcache itself: what is
// above it is the price of expiry, tags and invalidation. "invalidated" is after some tag, not the
// entry's own, was invalidated, so that tags have to be looked up.
func BenchmarkGet(b *testing.B) {
	keys := benchKeys()
	plain := startBench(b, 256*driver.MiB)
	looked := startBench(b, 256*driver.MiB)
	bare, err := raw.New(b.Context(), raw.Config{Shards: 64, LifeWindow: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	for _, key := range keys {
		plain.set(key, string(sessionValue), "app:user:42", "app:all")
		looked.set(key, string(sessionValue), "app:user:42", "app:all")
		if err := bare.Set(key, sessionValue); err != nil {
			b.Fatal(err)
		}
	}
	looked.invalidate("app:other")
	ctx := b.Context()
	for _, variant := range []struct {
		name string
		get  func(key string) error
	}{
		{"raw", func(key string) error { _, err := bare.Get(key); return err }},
		{"untouched", func(key string) error { _, _, err := plain.Get(ctx, key); return err }},
		{"invalidated", func(key string) error { _, _, err := looked.Get(ctx, key); return err }},
	} {
		b.Run(variant.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := variant.get(keys[i*7919%benchEntries]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(variant.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if err := variant.get(keys[i*7919%benchEntries]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	keys, ctx := benchKeys(), b.Context()
	o := startBench(b, 256*driver.MiB)
	bare, err := raw.New(ctx, raw.Config{Shards: 64, LifeWindow: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	opts := driver.SetOptions{TTL: time.Hour, Tags: []string{"app:user:42", "app:all"}}
	for _, variant := range []struct {
		name  string
		write func(key string) error
	}{
		{"Set/raw", func(key string) error { return bare.Set(key, sessionValue) }},
		{"Set", func(key string) error { return o.Set(ctx, key, sessionValue, opts) }},
		{"LeaseAndFill", func(key string) error {
			lease, err := o.Lease(ctx, key)
			if err != nil {
				return err
			}
			_, err = o.Fill(ctx, lease, sessionValue, opts)
			return err
		}},
		{"Delete", func(key string) error { return o.Delete(ctx, key) }},
	} {
		b.Run(variant.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := variant.write(keys[i*7919%benchEntries]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSetInFullCache writes entries for which there is no room. In "alive", most of what they
// push out is alive, and stays away. In "overwritten", little is, and gets its second chance.
func BenchmarkSetInFullCache(b *testing.B) {
	keys, ctx := benchKeys(), b.Context()
	opts := driver.SetOptions{TTL: time.Hour, Tags: []string{"app:user:42", "app:all"}}
	for name, used := range map[string]int{"alive": len(keys), "overwritten": 4000} {
		b.Run(name, func(b *testing.B) {
			o := startBench(b, 8*driver.MiB)
			for i := range 2 * len(keys) {
				o.set(keys[i%used], string(sessionValue), opts.Tags...)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := o.Set(ctx, keys[i*7919%used], sessionValue, opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInvalidate shows that revocation costs the same however many entries are concerned.
func BenchmarkInvalidate(b *testing.B) {
	for _, entries := range []int{10, 1_000_000} {
		o := startBench(b, 512*driver.MiB)
		for i := range entries {
			o.set(fmt.Sprint("key", i), "v", "tag")
		}
		b.Run(fmt.Sprintf("InvalidateTags/entries=%d", entries), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o.invalidate("tag")
			}
		})
		b.Run(fmt.Sprintf("Clear/entries=%d", entries), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := o.Clear(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
		o.destroy()
	}
}
