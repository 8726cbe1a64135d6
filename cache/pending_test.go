package cache_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// leaseTTL is the LeaseTTL of the strategies in these tests. For that long, a loader with a lease
// from before a revocation may store its value.
const leaseTTL = driver.MaxLeaseTTL

// revocations are the ways to revoke entry "k" of cache "c", which has the tag "t".
var revocations = []struct {
	name, operation string
	bound           time.Duration
	revoke          func(context.Context, *cache.Service, *cache.Cache[int]) error
}{
	{"Service.InvalidateTags", drivertest.OpInvalidate, 720 * time.Hour, func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error {
		return s.InvalidateTags(ctx, "t")
	}},
	{"Service.Clear", drivertest.OpClear, 720 * time.Hour, func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error { return s.Clear(ctx) }},
	{"Cache.Delete", drivertest.OpDelete, time.Minute, func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Delete(ctx, "k") }},
	{"Cache.InvalidateTags", drivertest.OpInvalidate, 720 * time.Hour, func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
		return c.InvalidateTags(ctx, "t")
	}},
}

// If the storage does not take a revocation, the caller is told so, and nothing is served until the
// revocation is applied.
func TestPendingRevocation(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		for _, test := range revocations {
			t.Run(kind.name+" "+test.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					inner := kind.make(t)
					service, recorder, _ := record(t, inner, cache.Options{})
					c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute, Tags: []string{"t"}})
					ctx := t.Context()
					if err := c.Set(ctx, "k", 1); err != nil {
						t.Fatal(err)
					}
					recorder.FailNext(test.operation, 4, errOutage)
					err := test.revoke(ctx, service, c)
					p := pendingError(t, err)
					if !errors.Is(err, errOutage) || !p.Until.Equal(time.Now().Add(test.bound+leaseTTL)) {
						t.Errorf("%v, until %v; want the cause, and until %v", err, p.Until, time.Now().Add(test.bound+leaseTTL))
					}
					wantPending(t, service, 1)
					if found, err := service.Get(ctx, "of no cache", new(int)); found || !errors.Is(err, cache.ErrRevocationPending) || !errors.Is(err, cache.ErrUnavailable) {
						t.Errorf("Service.Get = %v, %v", found, err)
					}
					if _, found, err := c.Get(ctx, "k"); found || !errors.Is(err, cache.ErrRevocationPending) {
						t.Errorf("Cache.Get = %v, %v", found, err)
					}
					if _, found, err := inner.Get(ctx, "app:c:k"); !found || err != nil {
						t.Fatalf("the entry is gone (%v), and the test proves nothing", err)
					}
					if recorder.Count(drivertest.OpGet)+recorder.Count(drivertest.OpGetOrLease) != 0 {
						t.Errorf("the strategy was read: %v", names(recorder))
					}
					recorder.Reset()
					// The fourth failure, and then the first success.
					if v, err := c.GetOrLoad(ctx, "k", value(2)); v != 2 || err != nil {
						t.Errorf("GetOrLoad = %v, %v", v, err)
					}
					if v, err := c.GetOrLoad(ctx, "k", value(3)); v != 3 && v != 2 || err != nil {
						t.Errorf("GetOrLoad = %v, %v", v, err)
					}
					order := names(recorder)
					if want := []string{test.operation + "!", test.operation}; len(order) < 3 || !slices.Equal(order[:2], want) {
						t.Errorf("%v, want %v first", order, want)
					}
					wantPending(t, service, 0)
					if stats := service.Stats(); stats.DeleteErrors != 1 {
						t.Errorf("%+v", stats)
					}
				})
			})
		}
	}
}

// If the TTL depends on the value, only max_ttl is known.
func TestPendingBoundOfComputedTTL(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]cache.Policy[int]{
		"TTLOf": {TTL: time.Minute, TTLOf: func(int) time.Duration { return time.Hour }}, "no TTL": {}, "beyond": {TTL: 9 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{MaxTTL: 5 * time.Hour})
			c := newCache(t, service, "c", policy)
			recorder.FailNext(drivertest.OpDelete, 1, errOutage)
			if p := pendingError(t, c.Delete(t.Context(), "k")); !p.Until.Equal(time.Now().Add(5*time.Hour + leaseTTL)) {
				t.Errorf("%s: until %v", name, p.Until)
			}
		})
	}
}

// Pending revocations are applied without any reader, at most 500 ms after the storage is back.
// Until then, only one try is made at a time, however many are pending.
func TestPendingIsRetried(t *testing.T) {
	t.Parallel()
	outages := []time.Duration{0, 30 * time.Millisecond, 10 * time.Second}
	for i := range 40 { // the pauses are random
		outages = append(outages, 3*time.Second+time.Duration(i)*17*time.Millisecond)
	}
	for _, outage := range outages {
		synctest.Test(t, func(t *testing.T) {
			strategy := newFragile(t)
			service, recorder, _ := record(t, strategy, cache.Options{})
			strategy.revocations.Store(true)
			var calls sync.WaitGroup
			for i := range 100 {
				calls.Go(func() { pending(t, service.Delete(t.Context(), strconv.Itoa(i))) })
			}
			calls.Wait()
			wantPending(t, service, 100)
			recorder.Reset()
			<-time.After(outage)
			if n, most := recorder.Count(drivertest.OpDelete), 6+int(outage/(250*time.Millisecond)); n > most {
				t.Errorf("%d tries in %v, want no more than %d", n, outage, most)
			}
			strategy.revocations.Store(false)
			<-time.After(500 * time.Millisecond)
			synctest.Wait()
			wantPending(t, service, 0)
			recorder.Reset()
			<-time.After(time.Hour)
			if n := len(recorder.Operations()); n != 0 {
				t.Errorf("%d operations after everything was applied", n)
			}
		})
	}
}

// The same revocation again is pending only once, so it does not cause an overflow.
func TestPendingCoalesces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy := newFragile(t)
		service, recorder, _ := record(t, strategy, cache.Options{MaxPendingRevocations: 1})
		strategy.revocations.Store(true)
		for range 1000 {
			pending(t, service.Delete(t.Context(), "k", "k"))
		}
		wantPending(t, service, 1)
		strategy.revocations.Store(false)
		mustMiss(t, service, "k")
		wantPending(t, service, 0)
		if n := recorder.Count(drivertest.OpClear); n != 0 {
			t.Errorf("%d clears for one key", n)
		}
	})
}

// Beyond the limit, a single Clear replaces all pending revocations.
func TestPendingOverflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy := newFragile(t)
		service, recorder, _ := record(t, strategy, cache.Options{MaxPendingRevocations: 10, MaxTTL: time.Hour})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute})
		mustSet(t, service, "bystander", 1, cache.SetOptions{})
		strategy.revocations.Store(true)
		overflown := 0
		for i := range 50 {
			p := pendingError(t, c.Delete(t.Context(), strconv.Itoa(i)))
			if !p.Until.Equal(time.Now().Add(time.Minute + leaseTTL)) {
				overflown++
				if !p.Until.Equal(time.Now().Add(time.Hour + leaseTTL)) {
					t.Errorf("until %v; a Clear concerns entries with max_ttl", p.Until)
				}
			}
			if n := service.Stats().PendingRevocations; n == 0 || n > 10 {
				t.Errorf("%d are pending after %d", n, i+1)
			}
		}
		if overflown == 0 {
			t.Error("it never overflowed")
		}
		strategy.revocations.Store(false)
		mustMiss(t, service, "bystander")
		wantPending(t, service, 0)
		if n := recorder.Count(drivertest.OpClear); n == 0 {
			t.Error("Clear was not called")
		}
	})
}

// If the strategy cannot clear, no hits are served after an overflow until max_ttl has passed.
// Later revocations are still applied.
func TestOverflowWithoutClear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := new(table)
		service, recorder, _ := record(t, unclearable{inner}, cache.Options{MaxPendingRevocations: 2, MaxTTL: time.Hour})
		mustSet(t, service, "other", 1, cache.SetOptions{})
		mustSet(t, service, "late", 1, cache.SetOptions{})
		recorder.FailNext(drivertest.OpDelete, 2, errOutage)
		pending(t, service.Delete(t.Context(), "a", "b", "c"))
		wantPending(t, service, 1)
		pending(t, service.Delete(t.Context(), "late"))
		<-time.After(time.Second)
		wantPending(t, service, 1)
		if _, found := inner.row("app::late"); found {
			t.Error("a revocation that came after the overflow is not applied")
		}
		if found, err := service.Get(t.Context(), "other", new(int)); found || !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("Get = %v, %v", found, err)
		}
		<-time.After(time.Hour + leaseTTL - time.Second)
		if found, err := service.Get(t.Context(), "other", new(int)); !found || err != nil {
			t.Errorf("after max_ttl: %v, %v", found, err)
		}
		wantPending(t, service, 0)
	})
}

// A later Delete of the same key settles a pending one.
func TestPendingIsSettledByTheNextCall(t *testing.T) {
	t.Parallel()
	for _, test := range revocations {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{Tags: []string{"t"}})
			recorder.FailNext(test.operation, 1, errOutage)
			pending(t, test.revoke(t.Context(), service, c))
			if err := test.revoke(t.Context(), service, c); err != nil {
				t.Errorf("%s again: %v", test.name, err)
			}
			wantPending(t, service, 0)
			if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
				t.Errorf("Get = %v, %v; want a miss", found, err)
			}
			if n := recorder.Count(test.operation); n != 2 {
				t.Errorf("%s: %d calls of the strategy", test.name, n)
			}
		})
	}
}

// If a key is revoked again while its pending revocation is being applied, it stays pending, even
// if the earlier call is the last to fail.
func TestPendingAgainMeanwhile(t *testing.T) {
	t.Parallel()
	for _, straggler := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{Timeout: time.Hour})
			ctx := t.Context()
			recorder.FailNext(drivertest.OpDelete, 1, errOutage)
			pending(t, service.Delete(ctx, "k"))

			hold := func(failing bool) (entered, release chan struct{}) {
				entered, release = make(chan struct{}), make(chan struct{})
				var once atomic.Bool
				if failing {
					recorder.FailNext(drivertest.OpDelete, 1, errOutage)
				}
				recorder.Before(drivertest.OpDelete, func(context.Context, string) {
					if once.CompareAndSwap(false, true) {
						close(entered)
						<-release
					}
				})
				return entered, release
			}
			var slow <-chan outcome[any]
			var letSlow chan struct{}
			if straggler {
				entered, release := hold(true)
				slow, letSlow = async(func() (any, error) { return nil, service.Delete(ctx, "k") }), release
				<-entered
			}
			entered, release := hold(false)
			read := async(func() (bool, error) { return service.Get(ctx, "k", new(int)) })
			<-entered
			recorder.FailNext(drivertest.OpDelete, 1, errOutage)
			pending(t, service.Delete(ctx, "k"))
			if straggler {
				close(letSlow)
				pending(t, (<-slow).err)
			}
			close(release)
			if got := <-read; got.value || !errors.Is(got.err, cache.ErrRevocationPending) {
				t.Errorf("straggler %v: Get = %v, %v", straggler, got.value, got.err)
			}
			wantPending(t, service, 1)
			mustMiss(t, service, "k")
			wantPending(t, service, 0)
		})
	}
}
