package cache_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// chill makes a cache expect that the next batch is not there.
func chill(t testing.TB, c *cache.Cache[int]) {
	t.Helper()
	for i := range 2 {
		mustLoad(t, c, new(database).load, fmt.Sprint("cold", i), fmt.Sprint("cold as well", i))
	}
}

// After two batches that were not there, the next one is read and leased in one operation, until
// one is there.
func TestColdBatches(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, leasing{newBigcache(t)}, cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{})
	read, lease, fill := drivertest.OpGetMany, drivertest.OpGetOrLeaseMany, drivertest.OpFillMany
	batch := func(first int) []string { return numbered(first + 10)[first:] }
	for i, step := range []struct {
		keys []string
		want []string
	}{
		{batch(0), []string{read, lease, fill}},
		{batch(10), []string{read, lease, fill}},
		{batch(20), []string{lease, fill}},
		{batch(25), []string{lease, fill}}, // half of it is there
		{batch(40), []string{read, lease, fill}},
		{batch(40), []string{read}},
		{batch(50), []string{read, lease, fill}},
		{batch(60), []string{read, lease, fill}},
		{batch(60), []string{lease}},
		{batch(60), []string{read}},
	} {
		recorder.Reset()
		before := service.Stats()
		mustLoad(t, c, new(database).load, step.keys...)
		var names []string
		for _, o := range recorder.Operations() {
			names = append(names, o.Name)
		}
		if !slices.Equal(names, step.want) {
			t.Errorf("batch %d: operations %q, want %q", i, names, step.want)
		}
		after := service.Stats()
		if hits, misses := after.Hits-before.Hits, after.Misses-before.Misses; hits+misses != 10 || misses != after.Filled-before.Filled {
			t.Errorf("batch %d: %d hits and %d misses", i, hits, misses)
		}
	}
}

// What is there after all is treated as by a read: it is counted, refreshed, or deleted.
func TestColdBatchFinds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy := leasing{newBigcache(t)}
		service := start(t, strategy, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute, StaleFor: time.Hour, NegativeTTL: time.Hour})
		mustLoad(t, c, new(database).load, "stale")
		absent := &database{absent: []string{"gone", "none"}}
		if values, err := c.GetOrLoadMany(t.Context(), []string{"gone", "none"}, absent.load); len(values) != 0 || err != nil {
			t.Fatal(values, err)
		}
		pass(2 * time.Minute)
		mustLoad(t, c, new(database).load, "good")
		if err := strategy.Set(t.Context(), "app:c:damaged", []byte{6, 0}, cache.SetOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		chill(t, c)
		before, d := service.Stats(), new(database)
		values, err := c.GetOrLoadMany(t.Context(), []string{"stale", "good", "gone", "damaged", "missing"}, d.load)
		if err != nil {
			t.Error(err)
		}
		hasLengths(t, values, "stale", "good", "damaged", "missing")
		synctest.Wait()
		s := service.Stats()
		if s.Hits-before.Hits != 2 || s.StaleHits-before.StaleHits != 1 || s.NegativeHits-before.NegativeHits != 1 ||
			s.Corrupt-before.Corrupt != 1 || s.Misses-before.Misses != 2 || s.Refreshes-before.Refreshes != 1 {
			t.Errorf("%+v after %+v", s, before)
		}
		d.mu.Lock()
		slices.SortFunc(d.asked, func(a, b []string) int { return len(a) - len(b) })
		d.mu.Unlock()
		d.loads(t, []string{"stale"}, []string{"damaged", "missing"})
	})
}

// A batch that was not read waits for nobody's load: what it wants may be stored.
func TestColdBatchBesideALoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, leasing{newBigcache(t)}, cache.Options{}), "c", cache.Policy[int]{})
		chill(t, c)
		slow, open := heldLoads()
		loading := async(func() (map[string]int, error) { return c.GetOrLoadMany(t.Context(), []string{"a", "bb"}, slow.load) })
		synctest.Wait()
		if err := c.Set(t.Context(), "a", 1); err != nil {
			t.Fatal(err)
		}
		d := new(database)
		other := async(func() (map[string]int, error) { return c.GetOrLoadMany(t.Context(), []string{"a", "ccc"}, d.load) })
		synctest.Wait()
		select {
		case got := <-other:
			if got.err != nil {
				t.Error(got.err)
			}
			hasLengths(t, got.value, "a", "ccc")
			d.loads(t, []string{"ccc"})
		default:
			t.Error("it waits for a load of what is stored")
		}
		open()
		<-loading
	})
}

// If the storage fails, a batch that was not read is loaded, and the failures are counted.
func TestColdBatchFailsOpen(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, leasing{newBigcache(t)}, cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{})
	chill(t, c)
	recorder.FailNext(drivertest.OpGetOrLeaseMany, 1, errOutage)
	before, d := service.Stats(), new(database)
	mustLoad(t, c, d.load, "a", "bb")
	d.loads(t, []string{"a", "bb"})
	if s := service.Stats(); s.Errors-before.Errors != 2 || s.Filled != before.Filled {
		t.Errorf("%+v after %+v", s, before)
	}
}
