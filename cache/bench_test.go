package cache_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

func benchmarked(b *testing.B, policy cache.Policy[product]) (*cache.Service, *cache.Cache[product]) {
	b.Helper()
	service := start(b, newBigcache(b), cache.Options{})
	c := newCache(b, service, "products", policy)
	for i := range 1000 {
		if err := c.Set(b.Context(), strconv.Itoa(i), product{i, "chair", 9900}); err != nil {
			b.Fatal(err)
		}
	}
	return service, c
}

var benchmarkKeys = func() (keys [1000]string) {
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	return keys
}()

func BenchmarkCacheGet(b *testing.B) {
	_, c := benchmarked(b, cache.Policy[product]{})
	ctx := b.Context()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, found, err := c.Get(ctx, benchmarkKeys[i%1000]); !found || err != nil {
			b.Fatal(found, err)
		}
	}
}

func BenchmarkCacheGetParallel(b *testing.B) {
	_, c := benchmarked(b, cache.Policy[product]{})
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, found, err := c.Get(ctx, benchmarkKeys[i%1000]); !found || err != nil {
				b.Error(found, err)
				return
			}
		}
	})
}

func BenchmarkCacheGetOrLoad(b *testing.B) {
	_, c := benchmarked(b, cache.Policy[product]{})
	ctx := b.Context()
	load := func(context.Context) (product, error) { panic("a miss") }
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.GetOrLoad(ctx, benchmarkKeys[i%1000], load); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCacheGetOrLoadMiss(b *testing.B) {
	_, c := benchmarked(b, cache.Policy[product]{Tags: []string{"all"}})
	ctx := b.Context()
	load := func(context.Context) (product, error) { return product{}, nil }
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.GetOrLoad(ctx, strconv.Itoa(1000+i), load); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkServiceSet(b *testing.B) {
	service, _ := benchmarked(b, cache.Policy[product]{})
	ctx := b.Context()
	opts := cache.SetOptions{TTL: time.Hour, Tags: []string{"all", "chairs"}}
	value := product{1, "chair", 9900}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := service.Set(ctx, benchmarkKeys[i%1000], value, opts); err != nil {
			b.Fatal(err)
		}
	}
}

// The cost of an invalidation must not depend on how many entries carry the tag.
func BenchmarkInvalidateTags(b *testing.B) {
	for _, entries := range []int{10, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			strategy, err := bigcache.New(bigcache.Options{MaxSize: 512 * driver.MiB})
			if err != nil {
				b.Fatal(err)
			}
			service := start(b, strategy, cache.Options{})
			ctx := b.Context()
			for i := range entries {
				if err := service.Set(ctx, strconv.Itoa(i), 1, cache.SetOptions{Tags: []string{"all"}}); err != nil {
					b.Fatal(err)
				}
			}
			if found, err := service.Get(ctx, "0", new(int)); !found || err != nil {
				b.Fatal("the entries do not fit: ", found, err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := service.InvalidateTags(ctx, "all"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
