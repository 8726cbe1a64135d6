package bigcache_test

import (
	"fmt"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// With room for next to no invalidated tags, nearly every one is forgotten. That may cost hits, and
// never brings anything back: neither an entry, nor a fill of a lease.
func TestForgottenTags(t *testing.T) {
	t.Parallel()
	for _, room := range []int{1, 16, 100} {
		o := start(t, bigcache.Options{MaxSize: 8 * driver.MiB, MaxInvalidatedTags: room}, cache.Options{})
		const entries = 300
		for i := range entries {
			o.set(fmt.Sprint("key", i), "v", fmt.Sprint("tag", i), "other")
		}
		o.set("untagged", "u")
		lease := o.lease("loading")
		for i := range entries {
			o.invalidate(fmt.Sprint("tag", i))
			for j := 0; j <= i; j += 1 + i/50 {
				o.miss(fmt.Sprint("key", j))
			}
		}
		for i := range 5000 {
			o.invalidate(fmt.Sprint("noise", i))
		}
		for i := range entries {
			o.miss(fmt.Sprint("key", i))
		}
		if o.fill(lease, "stale", "tag0") {
			t.Error("a fill was stored under a tag that was invalidated since the lease, and forgotten")
		}
		o.miss("loading")
		o.hit("untagged", "u") // tags are nothing to it
		o.set("fresh", "f", "tag0")
		o.hit("fresh", "f")
		if !o.fill(o.lease("loading"), "new", "tag0") {
			t.Error("a fill under a new lease was refused")
		}
		o.hit("loading", "new")
	}
}

// A tag that is invalidated all the time does not push the others out.
func TestBusyTagForgetsNoOther(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB, MaxInvalidatedTags: 1024}, cache.Options{})
	o.set("key", "v", "tag")
	for range 100_000 {
		o.invalidate("busy")
	}
	o.hit("key", "v")
}

// Clear hides what is there, tagged or not, and nothing that comes later; the room is used again.
func TestClear(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 2 * driver.MiB, Shards: 1}, cache.Options{MaxValueBytes: driver.KiB})
	lease := o.lease("loading")
	for round := range 5 {
		value := fmt.Sprint("v", round)
		for i := range 100 {
			o.set(fmt.Sprint("key", i), value, fmt.Sprint("tag", i%3))
		}
		o.set("untagged", value)
		if err := o.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			o.miss(fmt.Sprint("key", i))
		}
		o.miss("untagged")
	}
	if o.fill(lease, "stale") {
		t.Error("a lease from before Clear could store")
	}
	o.set("key0", "new", "tag")
	o.hit("key0", "new")
}

// A key and a tag of the same name have nothing to do with each other.
func TestKeyAndTagOfOneName(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	o.set("name", "v")
	o.set("other", "w", "name")
	o.invalidate("name")
	o.hit("name", "v")
	o.miss("other")
	if err := o.Delete(t.Context(), "name"); err != nil {
		t.Fatal(err)
	}
	o.set("other", "w", "name")
	o.hit("other", "w")
}
