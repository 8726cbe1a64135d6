package cache_test

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/cache/requestscope"
)

// If a refresh fails, at whichever step, its lease is free and its key is not refreshed for a
// second. Hits ask neither the storage for a lease nor the database.
func TestRefreshPausesAfterFailure(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fail     func(*drivertest.Recorder)
		load     func(context.Context) (int, error)
		released int
	}{
		"no lease": {func(r *drivertest.Recorder) { r.FailNext(drivertest.OpLease, 1, errOutage) }, value(2), 0},
		"no second look": {func(r *drivertest.Recorder) {
			r.Before(drivertest.OpLease, func(context.Context, string) {
				r.Before(drivertest.OpLease, nil)
				r.FailNext(drivertest.OpGet, 1, errOutage)
			})
		}, value(2), 1},
		"not stored": {func(r *drivertest.Recorder) { r.FailNext(drivertest.OpFill, 1, errOutage) }, value(2), 1},
		"Goexit":     {func(*drivertest.Recorder) {}, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{})
			c := newCache(t, service, "c", stale())
			mustGet(t, c, value(1), 1)
			pass(time.Minute)
			recorder.Reset()
			test.fail(recorder)
			mustGet(t, c, test.load, 1)
			synctest.Wait()
			if n := recorder.Count(drivertest.OpRelease); n != test.released {
				t.Errorf("%s: released %d times, want %d", name, n, test.released)
			}
			for range 9 {
				pass(100 * time.Millisecond)
				mustGet(t, c, unexpected[int](t), 1)
				synctest.Wait()
			}
			if n := recorder.Count(drivertest.OpLease); n != 1 {
				t.Errorf("%s: asked for the lease %d times within a second, want once", name, n)
			}
			pass(100 * time.Millisecond)
			mustGet(t, c, value(3), 1)
			synctest.Wait()
			mustGet(t, c, unexpected[int](t), 3)
		})
	}
}

// Without NegativeTTL, the storage is not even asked to store an ErrNotFound.
func TestNothingIsStoredWithoutNegativeTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		policy := stale()
		policy.Jitter = 0.5 // makes at least a millisecond of any TTL
		c := newCache(t, service, "c", policy)
		mustFindNothing(t, c, nothing)
		mustGet(t, c, value(1), 1)
		pass(time.Minute)
		mustGet(t, c, nothing, 1) // refreshes
		synctest.Wait()
		if n := recorder.Count(drivertest.OpFill); n != 1 {
			t.Errorf("%d fills, want that of the value", n)
		}
		if stats := service.Stats(); stats.Unfilled != 0 || stats.Refused != 0 || stats.Filled != 1 {
			t.Errorf("%+v", stats)
		}
	})
}

// If a refresh finds nothing and cannot store that, the last good value is still deleted.
func TestRefreshFindsNothingAndCannotStoreIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
		policy := stale()
		policy.NegativeTTL = time.Minute
		c := newCache(t, service, "c", policy)
		mustGet(t, c, value(1), 1)
		pass(time.Minute)
		recorder.FailNext(drivertest.OpFill, 1, errOutage)
		mustGet(t, c, nothing, 1)
		synctest.Wait()
		if _, found, err := strategy.Get(t.Context(), "app:c:k"); found || err != nil {
			t.Errorf("Get = %v, %v; want it deleted", found, err)
		}
	})
}

// A value that a refresh read before a revocation that is still pending is not stored, although the
// storage would take it. Other processes would serve it.
func TestPendingRevocationBesideRefresh(t *testing.T) {
	t.Parallel()
	for _, test := range revocations {
		synctest.Test(t, func(t *testing.T) {
			inner := newBigcache(t) // a strategy behind a fence would see the revocation
			service, recorder, _ := record(t, inner, cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute, StaleFor: time.Hour, Tags: []string{"t"}})
			raw := func() []byte {
				t.Helper()
				raw, found, err := inner.Get(t.Context(), "app:c:k")
				if !found || err != nil {
					t.Fatal(found, err)
				}
				return raw
			}
			mustGet(t, c, value(1), 1)
			pass(time.Minute)
			before := raw()
			read := make(chan struct{})
			mustGet(t, c, func(context.Context) (int, error) { <-read; return 2, nil }, 1)
			synctest.Wait()
			recorder.FailNext(test.operation, 1, errOutage)
			pending(t, test.revoke(t.Context(), service, c))
			close(read)
			synctest.Wait()
			if after := raw(); !slices.Equal(before, after) {
				t.Errorf("%s: the refresh stored % x", test.name, after)
			}
			if stats := service.Stats(); stats.Refused != 1 || stats.Filled != 1 {
				t.Errorf("%s: %+v", test.name, stats)
			}
			mustGet(t, c, value(3), 3)
		})
	}
}

// If a refresh returns a value although Stop has cancelled it, the value is stored, with a context
// that has not ended.
func TestRefreshEndsAfterStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := new(table)
		strategy, recorder := drivertest.Record(inner)
		service := newService(t, strategy, cache.Options{})
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		c := newCache(t, service, "c", stale())
		mustGet(t, c, value(1), 1)
		pass(time.Minute)
		before, _ := inner.row("app:c:k")
		recorder.Before(drivertest.OpSet, func(ctx context.Context, _ string) {
			if err := ctx.Err(); err != nil {
				t.Errorf("it is stored with a context that ended: %v", err)
			}
		})
		mustGet(t, c, func(ctx context.Context) (int, error) { <-ctx.Done(); return 2, nil }, 1)
		synctest.Wait()
		if err := service.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if after, _ := inner.row("app:c:k"); slices.Equal(before.value, after.value) {
			t.Error("it was not stored")
		}
	})
}

// A refresh that cannot start because the Service stops leaves nothing behind. After the next
// Start, the same key can be refreshed.
func TestRefreshBesideStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy, recorder := drivertest.Record(new(table))
		service := newService(t, strategy, cache.Options{MaxConcurrentLoads: 1})
		start := func() {
			t.Helper()
			if err := service.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		stop := func() {
			t.Helper()
			if err := service.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
		start()
		c := newCache(t, service, "c", stale())
		mustGet(t, c, value(1), 1)
		pass(time.Minute)
		recorder.Before(drivertest.OpGet, func(context.Context, string) { recorder.Before(drivertest.OpGet, nil); stop() })
		mustGet(t, c, unexpected[int](t), 1)
		start()
		mustGet(t, c, value(2), 1)
		synctest.Wait()
		mustGet(t, c, unexpected[int](t), 2)
		stop()
	})
}

// If an entry is damaged between the hit and the refresh, only the refresh ends.
func TestRefreshOfWhatIsDamagedByNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", stale())
		mustGet(t, c, value(1), 1)
		pass(time.Minute)
		whole, _, err := strategy.Get(t.Context(), "app:c:k")
		if err != nil {
			t.Fatal(err)
		}
		recorder.Before(drivertest.OpGet, func(context.Context, string) {
			// The second read is affected, not the hit.
			recorder.Before(drivertest.OpGet, func(ctx context.Context, key string) {
				recorder.Before(drivertest.OpGet, nil)
				if err := strategy.Set(ctx, key, whole[:5], cache.SetOptions{TTL: time.Hour}); err != nil {
					t.Error(err)
				}
			})
		})
		mustGet(t, c, unexpected[int](t), 1)
		synctest.Wait()
		mustGet(t, c, value(2), 2)
		if stats := service.Stats(); stats.Refreshes != 0 || stats.Corrupt != 1 {
			t.Errorf("%+v", stats)
		}
	})
}

// A refresh runs outside the scope of the request that started it, as every load does.
func TestRefreshOutsideRequestScope(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", stale())
		mustGet(t, c, value(1), 1)
		pass(time.Minute)
		ctx := requestscope.With(t.Context())
		if got, err := requestscope.Memo(ctx, "row", value(1)); got != 1 || err != nil {
			t.Fatal(got, err)
		}
		got, err := c.GetOrLoad(ctx, "k", func(ctx context.Context) (int, error) { return requestscope.Memo(ctx, "row", value(2)) })
		if got != 1 || err != nil {
			t.Errorf("GetOrLoad = %v, %v", got, err)
		}
		synctest.Wait()
		mustGet(t, c, unexpected[int](t), 2)
	})
}

// If a value must not be stored and the entry cannot be deleted either, the key does not stay
// leased.
func TestUnstoredValueGivesTheLeaseUp(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{TTLOf: func(int) time.Duration { return -1 }})
	recorder.FailNext(drivertest.OpDelete, 1, errOutage)
	if got, err := c.GetOrLoad(t.Context(), "k", value(1)); got != 1 || err != nil {
		t.Errorf("GetOrLoad = %v, %v", got, err)
	}
	if n := recorder.Count(drivertest.OpRelease); n != 1 {
		t.Errorf("released %d times, want once", n)
	}
}
