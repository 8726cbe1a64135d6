package tiered

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/redis"
)

// still is a redis.Tracker whose feed is always fresh and says nothing. Each read finds an entry.
type still struct{ ttl time.Duration }

func (still) Feed(string) (redis.FeedID, bool) { return 1, true }
func (still) TagsOf(tags ...string) []string   { return tags }
func (still) Stats() redis.TrackerStats        { return redis.TrackerStats{} }
func (still) Close(context.Context) error      { return nil }
func (s still) Get(context.Context, string, []string) (redis.Tracked, error) {
	return redis.Tracked{Value: []byte("v"), Found: true, TTL: s.ttl, Tags: []string{"shop:t"}, Feed: 1}, nil
}

// fixture returns copies with a clock of the test.
func fixture(t *testing.T, ttl time.Duration) (*copies, *drivertest.Clock) {
	t.Helper()
	store, err := bigcache.New(bigcache.Options{MaxSize: 4 * driver.MiB})
	if err != nil {
		t.Fatal(err)
	}
	clock := drivertest.NewClock(time.Now())
	c, err := newCopies(t.Context(), store, ttl, drivertest.NewInjector(t, cache.Options{Namespace: "shop", Clock: clock, Logger: slog.New(slog.DiscardHandler)}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Destroy(context.Background()) })
	return c, clock
}

// copied reads an entry, and reports whether there is a copy of it then.
func copied(t *testing.T, c *copies, options driver.CopyOptions) bool {
	t.Helper()
	lease := c.lease(t.Context(), "shop:k", options)
	if lease == nil {
		t.Fatal("no lease")
	}
	if r := c.read(t.Context(), lease, nil, options); r.Err != nil || !r.Found {
		t.Fatalf("read = %+v", r)
	}
	_, found := c.get("shop:k")
	return found
}

// A copy lives for the shortest of l1_ttl, what is left of its entry, and what the operator says
// for its cache. What serves it does not prolong its life.
func TestCopyTTL(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, test := range []struct{ ttl, entry, cache, want time.Duration }{
		{5 * s, 10 * s, 0, 5 * s}, {5 * s, 2 * s, 0, 2 * s}, {5 * s, 10 * s, 3 * s, 3 * s}, {5 * s, 2 * s, 3 * s, 2 * s}, {5 * s, 10 * s, 7 * s, 5 * s},
	} {
		c, clock := fixture(t, test.ttl)
		c.tracker = still{test.entry}
		if !copied(t, c, driver.CopyOptions{TTL: test.cache}) {
			t.Fatalf("%+v: no copy", test)
		}
		for range 4 {
			clock.Advance(test.want/4 - time.Millisecond)
			if _, found := c.get("shop:k"); !found {
				t.Errorf("%+v: the copy has ended early", test)
			}
		}
		clock.Advance(5 * time.Millisecond)
		if _, found := c.get("shop:k"); found {
			t.Errorf("%+v: the copy is served for too long", test)
		}
	}
	c, _ := fixture(t, s)
	c.tracker = still{0}
	if copied(t, c, driver.CopyOptions{}) {
		t.Error("there is a copy of an entry that has nothing left")
	}
}

// A write or revocation of this node drops its copies before Redis is asked and after it has
// answered: a report on the feed may come later than the answer, and a read may come in between.
func TestOwnRevocations(t *testing.T) {
	t.Parallel()
	for name, revoke := range map[string]func(s *Strategy, c *copies, meanwhile func()){
		"keys": func(s *Strategy, _ *copies, meanwhile func()) { s.around([]string{"shop:k"}, meanwhile) },
		"tags": func(s *Strategy, _ *copies, meanwhile func()) { s.aroundTags([]string{"shop:t"}, meanwhile) },
		"all":  func(s *Strategy, _ *copies, meanwhile func()) { s.aroundAll(meanwhile) },
	} {
		c, _ := fixture(t, time.Hour)
		c.tracker = still{time.Hour}
		s := &Strategy{}
		s.copies.Store(c)
		if !copied(t, c, driver.CopyOptions{}) {
			t.Fatalf("%s: no copy", name)
		}
		revoke(s, c, func() {
			if _, found := c.get("shop:k"); found {
				t.Errorf("%s: a copy is served while Redis is asked", name)
			}
			copied(t, c, driver.CopyOptions{}) // somebody reads the old entry meanwhile
		})
		if _, found := c.get("shop:k"); found {
			t.Errorf("%s: a copy is served after Redis has answered", name)
		}
	}
}
