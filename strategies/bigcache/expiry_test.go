package bigcache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// bigcache returns an entry until it is overwritten, however old, and counts in seconds. Our own
// expiry is exact to the millisecond, and a part of a millisecond counts as a whole one.
func TestExpiryIsExact(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ ttl, last time.Duration }{
		{1, 0},
		{time.Millisecond, 0},
		{time.Millisecond + 1, time.Millisecond},
		{499 * time.Millisecond, 498 * time.Millisecond},
		{1500 * time.Millisecond, 1499 * time.Millisecond},
		{1500*time.Millisecond - 1, 1499 * time.Millisecond},
		{720 * time.Hour, 720*time.Hour - time.Millisecond},
	} {
		o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
		if err := o.Set(t.Context(), "key", []byte("v"), driver.SetOptions{TTL: test.ttl}); err != nil {
			t.Fatal(err)
		}
		o.hit("key", "v")
		o.clock.Advance(test.last)
		o.hit("key", "v")
		o.clock.Advance(time.Millisecond)
		o.miss("key")
		o.clock.Advance(1000 * time.Hour)
		o.miss("key")
	}
}

// A clock that is set back makes entries live longer by as much, one that is set forward ends them:
// nothing else follows from it.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	o.set("key", "v") // for an hour
	o.clock.Advance(-1000 * time.Hour)
	o.hit("key", "v")
	o.set("since", "w")
	o.clock.Advance(time.Hour - time.Millisecond)
	o.hit("since", "w")
	o.clock.Advance(time.Millisecond)
	o.miss("since")
	o.hit("key", "v")
	o.clock.Advance(1000 * time.Hour)
	o.miss("key")
	o.clock.Advance(-1000 * time.Hour) // before the epoch of neither, and of no tag
	o.set("key", "new", "tag")
	o.invalidate("tag")
	o.miss("key")
}

// bigcache ends entries by the system's clock when it makes room, once they are older than its
// LifeWindow: that must never be before their TTL. The clock of the bubble is bigcache's, too.
func TestLifeWindowIsNeverFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ttl = 720 * time.Hour
		strategy := fresh(bigcache.Options{MaxSize: 4 * driver.MiB, Shards: 1})(t).(*bigcache.Strategy)
		o := &opened{TB: t, Strategy: strategy}
		o.init(cache.Options{MaxTTL: ttl, Clock: driver.SystemClock{}})
		defer o.destroy()
		for _, key := range []string{"oldest", "old"} {
			if err := o.Set(t.Context(), key, []byte("v"), driver.SetOptions{TTL: ttl}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(ttl - time.Millisecond) // in the bubble: no time passes outside
		for range 3 {
			o.set("other", "w") // each may end the oldest entry of the shard
		}
		o.hit("oldest", "v")
		o.hit("old", "v")
		<-time.After(time.Millisecond)
		o.miss("oldest")
	})
}

// An expired entry that is still in bigcache gives way to a new one, and is not in the way of a
// lease.
func TestExpiredEntryIsReplaced(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	o.set("key", "old")
	o.clock.Advance(time.Hour)
	_, found, lease, err := o.GetOrLease(t.Context(), "key")
	if err != nil || found || lease == nil {
		t.Fatalf("GetOrLease of an expired entry: found %t, lease %t, error %v", found, lease != nil, err)
	}
	if !o.fill(lease, "new") {
		t.Error("Fill did not replace an expired entry")
	}
	o.hit("key", "new")
}
