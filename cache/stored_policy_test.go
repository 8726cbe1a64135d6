package cache_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// An entry without a stamp has no known expiry or load time, so it is not refreshed early.
func TestNoEarlyRefreshWithoutStamp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := newBigcache(t)
		service := start(t, storage, cache.Options{})
		plain := newCache(t, service, "c", cache.Policy[int]{TTL: time.Hour})
		if _, err := plain.GetOrLoad(t.Context(), "k", slowly(1)); err != nil {
			t.Fatal(err)
		}
		other := peer(t, storage, cache.Options{})
		c := newCache(t, other, "c", cache.Policy[int]{TTL: time.Hour, EarlyRefresh: 100})
		mustGet(t, c, unexpected[int](t), 1)
		synctest.Wait()
		if n := other.Stats().Refreshes; n != 0 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// Entries of SetMany are not refreshed early either.
func TestNoEarlyRefreshAfterSetMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{TTL: time.Hour, EarlyRefresh: 100})
		c.SetRandom(func() float64 { return math.Nextafter(1, 0) })
		if err := c.SetMany(t.Context(), map[string]int{"k": 1}); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour - time.Millisecond)
		mustGet(t, c, unexpected[int](t), 1)
		synctest.Wait()
	})
}

// The entry that a refresh stores has the time of that load, so the next refresh is early, too.
func TestEarlyRefreshAfterEarlyRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Hour, EarlyRefresh: 1})
		c.SetRandom(func() float64 { return 1 - math.Exp(-2) })
		if _, err := c.GetOrLoad(t.Context(), "k", slowly(1)); err != nil {
			t.Fatal(err)
		}
		for v := range 3 { // each time 19 s before the end, and the load takes 10 s
			pass(time.Hour - 19*time.Second)
			mustGet(t, c, slowly(v+2), v+1)
			pass(10 * time.Second)
		}
		if n := service.Stats().Refreshes; n != 3 {
			t.Errorf("%d refreshes, want 3", n)
		}
	})
}

// patient is a strategy whose leases never expire.
type patient struct{ *batching }

func (s patient) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts cache.SetOptions) (bool, error) {
	return true, errors.Join(s.Release(ctx, lease), s.Set(ctx, lease.Key, value, opts))
}

// A load that took longer than a stamp can hold counts as the longest one, 2^32 µs.
func TestEarlyRefreshOfTheSlowest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const most = 1<<32 - 1
		service := start(t, patient{&batching{Leaser: newBigcache(t)}}, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: 24 * time.Hour, EarlyRefresh: 1})
		c.SetRandom(func() float64 { return 1 - math.Exp(-1) })
		began := time.Now() // the TTL counts from here
		if _, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) {
			<-time.After((most + 2) * time.Microsecond)
			return 1, nil
		}); err != nil {
			t.Fatal(err)
		}
		pass(24*time.Hour - most*time.Microsecond - time.Second - time.Since(began))
		mustGet(t, c, unexpected[int](t), 1)
		synctest.Wait()
		pass(2 * time.Second)
		mustGet(t, c, value(2), 1)
		synctest.Wait()
		mustGet(t, c, value(2), 2)
	})
}

// The TTL ends exactly at its last millisecond. A TTL with a part of a millisecond is rounded up.
func TestStampEndsExactly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute, StaleFor: time.Hour})
		odd := newCache(t, service, "odd", cache.Policy[int]{TTL: 1500 * time.Microsecond, StaleFor: time.Hour})
		found := func(c *cache.Cache[int], want bool) {
			t.Helper()
			if _, found, err := c.Get(t.Context(), "k"); found != want || err != nil {
				t.Errorf("Get = %v, %v, want %v", found, err, want)
			}
		}
		if err := errors.Join(c.Set(t.Context(), "k", 1), odd.Set(t.Context(), "k", 1)); err != nil {
			t.Fatal(err)
		}
		pass(time.Millisecond)
		found(odd, true)
		pass(time.Millisecond)
		found(odd, false)
		pass(time.Minute - 3*time.Millisecond)
		found(c, true)
		pass(time.Millisecond)
		found(c, false)
	})
}

// An ErrNotFound is stored for at most max_ttl, with jitter.
func TestNegativeTTLIsBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ negative, want time.Duration }{
		{time.Minute, 45 * time.Second}, {48 * time.Hour, 18 * time.Hour},
	} {
		strategy, clock := new(table), drivertest.NewClock(time.Now()) // it stands still: the TTL counts from the start of the load
		c := newCache(t, start(t, strategy, cache.Options{MaxTTL: 24 * time.Hour, Clock: clock}), "c", cache.Policy[int]{NegativeTTL: test.negative, Jitter: 0.5})
		c.SetRandom(func() float64 { return 0.5 })
		mustFindNothing(t, c, nothing)
		if row, found := strategy.row("app:c:k"); !found || row.ttl != test.want {
			t.Errorf("NegativeTTL %v: %v, %v, want %v", test.negative, row.ttl, found, test.want)
		}
	}
}

// A negative hit counts as one read. A cache without NegativeTTL counts a miss instead.
func TestNegativeHitsAreCounted(t *testing.T) {
	t.Parallel()
	service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
	forgetful := remembered()
	forgetful.NegativeTTL = 0
	other := peer(t, strategy, cache.Options{})
	c, plain := newCache(t, service, "c", remembered()), newCache(t, other, "c", forgetful)
	mustFindNothing(t, c, nothing)
	recorder.Reset()
	if _, err := c.GetOrLoad(t.Context(), "k", unexpected[int](t)); !errors.Is(err, cache.ErrNotFound) {
		t.Error(err)
	}
	if all := recorder.Operations(); len(all) != 1 || all[0].Name != drivertest.OpGet {
		t.Errorf("%+v, want one Get", all)
	}
	before := other.Stats()
	if _, found, err := plain.Get(t.Context(), "k"); found || err != nil {
		t.Error(found, err)
	}
	if after := other.Stats(); after.Misses != before.Misses+1 || after.Foreign != 0 || after.NegativeHits != before.NegativeHits {
		t.Errorf("%+v after %+v", after, before)
	}
}

// A remembered ErrNotFound does not count as damaged in a cache of pointers to a type that decodes
// itself. The type is not asked.
func TestNegativeEntryOfSelfEncodingType(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", cache.Policy[*panics]{NegativeTTL: time.Minute})
	none := func(context.Context) (*panics, error) { return nil, cache.ErrNotFound }
	for _, load := range []func(context.Context) (*panics, error){none, unexpected[*panics](t)} {
		if got, err := c.GetOrLoad(t.Context(), "k", load); got != nil || !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("GetOrLoad = %v, %v", got, err)
		}
	}
	if n := service.Stats().Corrupt; n != 0 {
		t.Errorf("%d entries were thought corrupt", n)
	}
}

// Others may serve a revoked entry for as long as any entry of the policy can live.
func TestPendingBoundOfPolicy(t *testing.T) {
	t.Parallel()
	const limit = 24 * time.Hour
	for _, test := range []struct {
		policy cache.Policy[int]
		want   time.Duration
	}{
		{cache.Policy[int]{TTL: time.Minute, NegativeTTL: time.Hour}, time.Hour},
		{cache.Policy[int]{TTL: time.Minute, NegativeTTL: 2 * limit}, limit},
		{cache.Policy[int]{TTL: 2 * limit, StaleFor: math.MaxInt64}, limit},
	} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{MaxTTL: limit})
			c := newCache(t, service, "c", test.policy)
			recorder.FailNext(drivertest.OpDelete, 1, errOutage)
			if p := pendingError(t, c.Delete(t.Context(), "k")); !p.Until.Equal(time.Now().Add(test.want + leaseTTL)) {
				t.Errorf("%+v: for %v, want %v and a lease's life", test.policy, time.Until(p.Until), test.want)
			}
		})
	}
}
