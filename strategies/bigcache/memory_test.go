package bigcache_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// The tests of this file measure the heap, and so are not parallel: the others wait until they end.

// heap is what is in use after everything that can go is gone: two rounds, because a sync.Pool
// keeps what it holds for one.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// fixed is what a strategy needs beside its entries: bookkeeping of tags and leases, shards.
const fixed = int64(2 * driver.MiB)

// overfill stores n different keys.
func overfill(o *opened, n, size int) {
	o.Helper()
	value := strings.Repeat("v", size)
	for i := range n {
		o.set(fmt.Sprintf("app:session:%016x", i), value, "app:user", "app:all")
	}
}

// max_size is for the entries and their index, whatever their size: ten times as much is written.
// Sizes are those of an entry as bigcache keeps it.
func TestMaxSizeIsHonoured(t *testing.T) { //nolint:paralleltest // measures the heap
	const maxSize = 8 * driver.MiB
	factor := 10
	if raceEnabled {
		factor = 3
	}
	const overhead = 19 + 2*8 + 18 + 2 + 28 // our header, two tags, bigcache's header and length, the key
	for _, test := range []struct {
		name  string
		size  int // of an entry
		limit float64
	}{
		{"session", 400, 1.0},
		{"small", 120, 1.0},
		{"tiny", overhead + 1, 1.25}, // the index outweighs the quarter that is set aside for it
	} {
		t.Run(test.name, func(t *testing.T) { //nolint:paralleltest // measures the heap
			before := heap()
			o := start(t, bigcache.Options{MaxSize: maxSize}, cache.Options{})
			overfill(o, factor*int(maxSize)/test.size, test.size-overhead)
			grown := heap() - before
			share := float64(grown) / float64(maxSize)
			t.Logf("%d B entries, %d × overfill of %v: heap grew by %.1f MiB = %.2f × max_size", test.size, factor, maxSize, float64(grown)/float64(driver.MiB), share)
			if float64(grown) > test.limit*float64(maxSize)+float64(fixed) {
				t.Errorf("the heap grew to %.2f × max_size, want at most %.2f", share, test.limit)
			}
			if share < 0.5 {
				t.Errorf("the heap grew to %.2f × max_size only: less is stored than was asked for", share)
			}
			runtime.KeepAlive(o)
		})
	}
}

// bigcache keeps, for each shard, a buffer as large as the largest entry that it ever saw, and our
// pool one per processor. The former stay: half a shard each, so
// 3/8 of max_size at worst, where shards are as small as plan allows.
func TestLargeValuesLeaveNothingBehind(t *testing.T) { //nolint:paralleltest // measures the heap
	const maxSize = 16 * driver.MiB
	before := heap()
	o := start(t, bigcache.Options{MaxSize: maxSize}, cache.Options{})
	overfill(o, 50, int(driver.MiB))
	large := heap() - before
	overfill(o, 2*int(maxSize)/400, 300)
	grown := heap() - before
	t.Logf("after 50 values of 1 MiB %.1f MiB, then after small ones %.1f MiB = %.2f × max_size",
		float64(large)/float64(driver.MiB), float64(grown)/float64(driver.MiB), float64(grown)/float64(maxSize))
	if limit := int64(maxSize)*5/4 + fixed; large > limit || grown > limit {
		t.Errorf("the heap grew by %d and %d bytes, want at most %d", large, grown, limit)
	}
	runtime.KeepAlive(o)
}

// bigcache's own default allocates for 600,000 entries at once. Ours grows with use.
func TestInitIsSmall(t *testing.T) { //nolint:paralleltest // measures the heap
	for _, size := range []driver.Size{2 * driver.MiB, 64 * driver.MiB, driver.GiB, 64 * driver.GiB} {
		before := heap()
		o := start(t, bigcache.Options{MaxSize: size}, cache.Options{MaxValueBytes: 64 * driver.KiB})
		grown := heap() - before
		t.Logf("max_size %v: %d KiB after Init", size, grown>>10)
		if limit := int64(8 * driver.MiB); grown > limit {
			t.Errorf("Init with a max_size of %v takes %d bytes, want at most %d", size, grown, limit)
		}
		runtime.KeepAlive(o)
	}
}

// Every tag that was ever invalidated may be another one, such as that of a user who logged out.
func TestInvalidatedTagsAreBounded(t *testing.T) { //nolint:paralleltest // measures the heap
	tags, batch := 5_000_000, 1000
	if raceEnabled {
		tags /= 10
	}
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	o.set("early", "v", "tag 0-0")
	o.set("other", "v", "never invalidated")
	before := heap()
	names := make([]string, batch)
	for i := range tags / batch {
		for j := range names {
			names[j] = fmt.Sprintf("tag %d-%d", i, j)
		}
		o.invalidate(names...)
	}
	grown := heap() - before
	t.Logf("%d invalidated tags: heap grew by %.1f MiB, %d B for each of the 65536 remembered", tags, float64(grown)/float64(driver.MiB), grown>>16)
	if limit := int64(100 << 16); grown > limit {
		t.Errorf("the heap grew by %d bytes, want at most the 100 for each remembered tag that max_invalidated_tags promises", grown)
	}
	o.miss("early")
	o.miss("other") // it may have had one of the forgotten tags
	runtime.KeepAlive(o)
}

// A loader that dies never gives its lease back.
func TestLeasesAreBounded(t *testing.T) { //nolint:paralleltest // measures the heap
	leases := 1_000_000
	if raceEnabled {
		leases /= 10
	}
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	before := heap()
	var first []*driver.Lease
	for i := range leases {
		lease := o.lease(fmt.Sprint("key", i))
		if i < 200_000 && i%100 == 0 {
			first = append(first, lease)
		}
	}
	grown := heap() - before
	t.Logf("%d leases out: heap grew by %.1f MiB", leases, float64(grown)/float64(driver.MiB))
	if limit := int64(8 * driver.MiB); grown > limit {
		t.Errorf("the heap grew by %d bytes, want at most %d", grown, limit)
	}
	refused := 0
	for _, lease := range first {
		if o.fill(lease, "v") {
			continue
		}
		refused++
		o.miss(lease.Key)
	}
	if refused == 0 {
		t.Error("no lease was revoked: the test shows nothing")
	}
	// After their time, all of them make room.
	o.clock.Advance(time.Hour)
	if !o.fill(o.lease("key0"), "v") {
		t.Error("no lease could be had")
	}
	runtime.KeepAlive(o)
}
