package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A load that asks for its own keys is told so, and gets the others. Loads that wait for each other
// end after one lock_wait.
func TestLoadManyWithinLoads(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, _ bool) {
		c := newCache(t, start(t, strategy, cache.Options{}), "c", cache.Policy[int]{})
		inner := new(database)
		outer := &database{during: func(ctx context.Context, _ []string) error {
			if _, err := c.GetOrLoad(ctx, "bb", value(9)); !errors.Is(err, cache.ErrRecursiveLoad) {
				t.Errorf("GetOrLoad of a key that is being loaded: %v", err)
			}
			values, err := c.GetOrLoadMany(ctx, []string{"a", "ccc", "bb"}, inner.load)
			failedOnly(t, err, cache.ErrRecursiveLoad, "a", "bb")
			hasLengths(t, values, "ccc")
			return nil
		}}
		mustLoad(t, c, outer.load, "a", "bb")
		inner.loads(t, []string{"ccc"})

		// two whose loads want the other's key
		began := time.Now()
		crossing := func(own, others string) <-chan outcome[map[string]int] {
			d := new(database)
			d.during = func(ctx context.Context, _ []string) error {
				<-time.After(time.Millisecond) // both have begun
				_, err := c.GetOrLoadMany(ctx, []string{others}, new(database).load)
				return err
			}
			return async(func() (map[string]int, error) { return c.GetOrLoadMany(t.Context(), []string{own, own + "!"}, d.load) })
		}
		one, two := crossing("x", "y"), crossing("y", "x")
		for _, call := range []<-chan outcome[map[string]int]{one, two} {
			if got := <-call; got.err != nil {
				t.Error(got.err)
			}
		}
		if took := time.Since(began); took > 3*time.Second { // lock_wait is 2 s
			t.Errorf("they waited for each other for %v", took)
		}
	})
}

// Within a write of a key, and within a transaction, the load runs for its caller alone, and
// nothing is stored.
func TestLoadManyWithinWrites(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
		service := start(t, strategy, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		if err := c.Set(t.Context(), "bb", 99); err != nil {
			t.Fatal(err)
		}
		d := new(database)
		_, err := c.Update(t.Context(), "bb", func(ctx context.Context) (int, error) {
			values, err := c.GetOrLoadMany(ctx, []string{"a", "bb"}, d.load)
			hasLengths(t, values, "a", "bb")
			return 2, err
		})
		if err != nil {
			t.Fatal(err)
		}
		d.loads(t, []string{"bb"}, []string{"a"})
		if stores {
			filled := service.Stats().Filled
			values, err := c.GetOrLoadMany(cache.ReadThrough(t.Context()), []string{"a", "bb", "ccc"}, d.load)
			if err != nil {
				t.Error(err)
			}
			hasLengths(t, values, "a", "bb", "ccc")
			d.loads(t, []string{"a", "bb", "ccc"})
			if service.Stats().Filled != filled {
				t.Error("a load within a transaction was stored")
			}
		}
	})
}

// A key that the load leaves out is remembered if the policy says so, and is not asked for again.
func TestLoadManyNegativeTTL(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
		if !stores {
			t.Skip("it remembers nothing")
		}
		service := start(t, strategy, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{NegativeTTL: time.Minute})
		d := &database{absent: []string{"gone"}}
		mustLoad2 := func() {
			t.Helper()
			values, err := c.GetOrLoadMany(t.Context(), []string{"a", "gone"}, d.load)
			if err != nil {
				t.Error(err)
			}
			hasLengths(t, values, "a")
		}
		mustLoad2()
		d.loads(t, []string{"a", "gone"})
		mustLoad2()
		d.loads(t)
		if _, err := c.GetOrLoad(t.Context(), "gone", unexpected[int](t)); !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("GetOrLoad: %v", err)
		}
		if n := service.Stats().NegativeHits; n != 2 {
			t.Errorf("%d negative hits, want 2", n)
		}
	})
}

// Stale entries are served, and refreshed together by one load in the background. What is gone by
// then is deleted.
func TestLoadManyRefreshes(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
		if !stores {
			t.Skip("it serves nothing")
		}
		service := start(t, strategy, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute, StaleFor: time.Hour})
		d := new(database)
		mustLoad(t, c, d.load, "a", "bb", "gone")
		d.loads(t, []string{"a", "bb", "gone"})
		pass(2 * time.Minute)
		d.absent = []string{"gone"}
		mustLoad(t, c, d.load, "a", "bb", "gone", "fresh")
		synctest.Wait()
		d.mu.Lock()
		n := len(d.asked)
		d.asked = nil
		d.mu.Unlock()
		if n != 2 { // in either order
			t.Errorf("%d loads, want one for the new key and one for the stale ones", n)
		}
		if stats := service.Stats(); stats.Refreshes != 1 || stats.StaleHits != 3 {
			t.Errorf("%+v", stats)
		}
		values, err := c.GetMany(t.Context(), "a", "bb", "gone", "fresh")
		if err != nil {
			t.Error(err)
		}
		hasLengths(t, values, "a", "bb", "fresh")

		// A refresh that fails is not tried again at once.
		pass(2 * time.Minute)
		d.during = func(context.Context, []string) error { return errOutage }
		for range 3 {
			mustLoad(t, c, d.load, "a", "bb")
			synctest.Wait()
		}
		d.loads(t, []string{"a", "bb"})
		pass(2 * time.Second)
		d.during = nil
		mustLoad(t, c, d.load, "a", "bb")
		synctest.Wait()
		d.loads(t, []string{"a", "bb"})
	})
}

// Hits that are soon to end start one refresh too.
func TestLoadManyRefreshesEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, leasing{newBigcache(t)}, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute, EarlyRefresh: 1})
		d := &database{during: func(context.Context, []string) error { <-time.After(time.Second); return nil }}
		mustLoad(t, c, d.load, "a", "bb")
		pass(59*time.Second - time.Millisecond)
		for range 100 { // by chance
			mustLoad(t, c, d.load, "a", "bb")
		}
		pass(2 * time.Second)
		if n := service.Stats().Refreshes; n == 0 || n > 2 {
			t.Errorf("%d refreshes, want one or two", n)
		}
	})
}

// If the storage fails, the load runs once, its values are returned, and it takes one place of
// max_concurrent_loads.
func TestLoadManyFailsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, leasing{newBigcache(t)}, cache.Options{MaxConcurrentLoads: 1, BreakerFailures: 1000})
		c := newCache(t, service, "c", cache.Policy[int]{})
		recorder.FailNext(drivertest.OpGetMany, 2, errOutage)
		first, open := heldLoads()
		one := async(func() (map[string]int, error) {
			return c.GetOrLoadMany(t.Context(), []string{"a", "bb", "ccc"}, first.load)
		})
		synctest.Wait()
		second := new(database)
		two := async(func() (map[string]int, error) { return c.GetOrLoadMany(t.Context(), []string{"x", "yy"}, second.load) })
		synctest.Wait()
		first.loads(t, []string{"a", "bb", "ccc"})
		second.loads(t) // no place is free
		open()
		if got := <-one; got.err != nil {
			t.Error(got.err)
		} else {
			hasLengths(t, got.value, "a", "bb", "ccc")
		}
		if got := <-two; got.err != nil {
			t.Error(got.err)
		}
		second.loads(t, []string{"x", "yy"})
		stats := service.Stats()
		if stats.WaitedLoads != 1 || stats.Filled != 0 {
			t.Errorf("%+v", stats)
		}
		recorder.FailNext(drivertest.OpGetOrLeaseMany, 1, errOutage)
		mustLoad(t, c, second.load, "x", "yy")
		if stats := service.Stats(); stats.Filled != 0 || recorder.Count(drivertest.OpFillMany) != 0 {
			t.Errorf("without leases: %+v", stats)
		}
		recorder.FailNext(drivertest.OpFillMany, 1, errOutage)
		mustLoad(t, c, second.load, "x", "yy")
		if stats := service.Stats(); stats.Unfilled != 2 {
			t.Errorf("%+v", stats)
		}
		if recorder.Count(drivertest.OpReleaseMany) != 1 {
			t.Error("leases whose fills failed were not released")
		}
	})
}

// The keys whose leases another process has do not hold up the others: those are loaded and stored
// first. The caller then waits, with one look at all of them, and after lock_wait loads them alone.
func TestLoadManyWaitsForOthersLeases(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
		if !stores {
			t.Skip("it has no leases")
		}
		service, _, recorded := record(t, strategy, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		leaser := cacheLeaser(service, recorded)
		held := map[string]*driver.Lease{}
		for _, key := range []string{"bb", "ccc"} {
			lease, err := leaser.Lease(t.Context(), "app:c:"+key)
			if err != nil || lease == nil {
				t.Skip("its leases are the Service's own")
			}
			held[key] = lease
		}
		d := new(database)
		one := async(func() (map[string]int, error) {
			return c.GetOrLoadMany(t.Context(), []string{"bb", "a", "ccc"}, d.load)
		})
		pass(time.Millisecond)
		d.loads(t, []string{"a"})
		if _, found, _ := c.Get(t.Context(), "a"); !found {
			t.Error("what the caller led is not stored while it waits")
		}
		if err := leaser.Release(t.Context(), held["bb"]); err != nil {
			t.Fatal(err)
		}
		pass(100 * time.Millisecond)
		d.loads(t, []string{"bb"})
		if got := <-one; got.err != nil {
			t.Error(got.err)
		} else {
			hasLengths(t, got.value, "a", "bb", "ccc")
		}
		d.loads(t, []string{"ccc"})
		if _, found, _ := c.Get(t.Context(), "ccc"); found {
			t.Error("what was loaded after lock_wait is stored, though another process holds the lease")
		}
		if n := service.Stats().LeaseTimeouts; n != 1 {
			t.Errorf("%d lease timeouts, want 1", n)
		}
	})
}

// cacheLeaser returns the leases that the Service asks for.
func cacheLeaser(_ *cache.Service, strategy driver.Strategy) driver.Leaser {
	if leaser := driver.FeaturesOf(strategy).Leaser; leaser != nil {
		return leaser
	}
	return noLeases{}
}

type noLeases struct{ driver.Leaser }

func (noLeases) Lease(context.Context, string) (*driver.Lease, error) { return nil, nil }

// Two processes whose batches overlap in different orders do not wait for each other.
func TestLoadManyInTwoProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := leasing{newBigcache(t)}
		one := newCache(t, start(t, storage, cache.Options{}), "c", cache.Policy[int]{})
		two := newCache(t, peer(t, storage, cache.Options{}), "c", cache.Policy[int]{})
		slow := &database{during: func(context.Context, []string) error { <-time.After(10 * time.Millisecond); return nil }}
		began := time.Now()
		keys, reversed := numbered(50), numbered(50)
		for i, j := 0, len(reversed)-1; i < j; i, j = i+1, j-1 {
			reversed[i], reversed[j] = reversed[j], reversed[i]
		}
		first := async(func() (map[string]int, error) { return one.GetOrLoadMany(t.Context(), keys[:30], slow.load) })
		second := async(func() (map[string]int, error) { return two.GetOrLoadMany(t.Context(), reversed[:30], slow.load) })
		for _, call := range []<-chan outcome[map[string]int]{first, second} {
			if got := <-call; got.err != nil || len(got.value) != 30 {
				t.Errorf("%d values, %v", len(got.value), got.err)
			}
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("they waited for %v", took)
		}
		if n := len(slow.asked); n != 2 {
			t.Errorf("%d loads, want one of each process", n)
		}
	})
}

// The leases of a slow load are extended, all of them. Its values' TTL counts from its start.
func TestSlowLoadManyIsStored(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
		if !stores {
			t.Skip("it stores nothing")
		}
		service := start(t, strategy, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: 3 * time.Minute})
		d := &database{during: func(context.Context, []string) error { <-time.After(2 * time.Minute); return nil }}
		mustLoad(t, c, d.load, "a", "bb") // the term is 30 s
		if n := service.Stats().Filled; n != 2 {
			t.Errorf("%d values were stored, want 2", n)
		}
		if _, keeps := strategy.(*table); keeps {
			return // whatever the TTL
		}
		pass(61 * time.Second)
		if values, _ := c.GetMany(t.Context(), "a", "bb"); len(values) != 0 {
			t.Errorf("%v is there 3 minutes after the start of its load", values)
		}
	})
}

// What is revoked while it is loaded is not stored, and not handed to a caller that comes after
// that. The other keys of the load are stored.
func TestLoadManyRacesWithRevocation(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
		if !stores {
			t.Skip("it stores nothing")
		}
		service := start(t, strategy, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{TagsOf: func(v int) []string {
			if v == 3 {
				return []string{"learned"}
			}
			return nil
		}})
		d, open := heldLoads()
		one := async(func() (map[string]int, error) {
			return c.GetOrLoadMany(t.Context(), []string{"a", "bb", "ccc"}, d.load)
		})
		synctest.Wait()
		if err := errors.Join(c.Delete(t.Context(), "bb"), service.InvalidateTags(t.Context(), "learned")); err != nil {
			t.Fatal(err)
		}
		newer := func(_ context.Context, missing []string) (map[string]int, error) {
			values := map[string]int{}
			for _, key := range missing {
				values[key] = 100
			}
			return values, nil
		}
		two := async(func() (map[string]int, error) { return c.GetOrLoadMany(t.Context(), []string{"bb", "ccc"}, newer) })
		synctest.Wait()
		open()
		if got := <-one; got.err != nil {
			t.Error(got.err)
		} else {
			hasLengths(t, got.value, "a", "bb", "ccc")
		}
		if got := <-two; got.err != nil || got.value["bb"] != 100 || got.value["ccc"] != 100 {
			t.Errorf("a caller that came after the revocation: %+v", got)
		}
		values, err := c.GetMany(t.Context(), "a", "bb", "ccc")
		if err != nil || values["a"] != 1 || values["bb"] != 100 || values["ccc"] != 100 {
			t.Errorf("stored: %v, %v", values, err)
		}
	})
}

// A revocation that fails while a batch is loaded is pending: the storage knows nothing of it, and
// would take the values. Nobody who comes after it gets them.
func TestLoadManyAndAPendingRevocation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, leasing{newBigcache(t)}, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		d, open := heldLoads()
		one := async(func() (map[string]int, error) { return c.GetOrLoadMany(t.Context(), []string{"a", "bb"}, d.load) })
		synctest.Wait()
		recorder.FailNext(drivertest.OpDelete, 1, errOutage)
		if err := c.Delete(t.Context(), "bb"); !errors.Is(err, errOutage) {
			t.Fatal(err)
		}
		open()
		if got := <-one; got.err != nil {
			t.Error(got.err)
		}
		if stats := service.Stats(); stats.Filled != 0 || stats.Refused != 2 {
			t.Errorf("%+v", stats)
		}
		pass(time.Second)
		began := time.Now()
		mustLoad(t, c, new(database).load, "a", "bb")
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v: the leases were not given up", took)
		}
	})
}
