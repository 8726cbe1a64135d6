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

// While somebody else holds the lease, GetOrLoad waits for the value for up to lock_wait. Then it
// loads without storing.
func TestLockWait(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		after   time.Duration // when the holder fills; 0: never
		want    int
		loads   uint64
		timeout uint64
	}{
		{"filled in time", 700 * time.Millisecond, 1, 0, 0},
		{"never filled", 0, 2, 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				service, recorder, _ := record(t, newBigcache(t), cache.Options{LockWait: 3 * time.Second})
				c := newCache(t, service, "c", cache.Policy[int]{})
				ctx := t.Context()
				// another single-flight, the same entries
				held := newCache(t, service, "c", cache.Policy[int]{})
				release := make(chan struct{})
				holder := async(func() (int, error) {
					return held.GetOrLoad(ctx, "k", func(context.Context) (int, error) {
						if test.after == 0 {
							<-release
						} else {
							<-time.After(test.after)
						}
						return 1, nil
					})
				})
				synctest.Wait()
				recorder.Reset()
				began := time.Now()
				got, err := c.GetOrLoad(ctx, "k", value(2))
				if got != test.want || err != nil {
					t.Errorf("GetOrLoad = %v, %v", got, err)
				}
				waited := time.Since(began)
				if test.after != 0 && (waited < test.after || waited > test.after+60*time.Millisecond) {
					t.Errorf("waited %v for a value that was there after %v", waited, test.after)
				}
				if test.after == 0 && waited != 3*time.Second {
					t.Errorf("waited %v, want lock_wait", waited)
				}
				if test.after == 0 && recorder.Count(drivertest.OpFill) != 0 {
					t.Error("it stored without a lease")
				}
				close(release)
				if got := <-holder; got.value != 1 || got.err != nil {
					t.Errorf("the holder got %+v", got)
				}
				if stats := service.Stats(); stats.Loads != test.loads+1 || stats.LeaseTimeouts != test.timeout {
					t.Errorf("%+v", stats)
				}
			})
		})
	}
}

// The Service does not know of this lease, as if another node held it.
func TestLeaseHeldElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, _, strategy := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		leaser := driver.FeaturesOf(strategy).Leaser
		lease, err := leaser.Lease(t.Context(), "app:c:k")
		if lease == nil || err != nil {
			t.Fatal(lease, err)
		}
		call := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", value(2)) })
		<-time.After(time.Second)
		if err := leaser.Release(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		if got := <-call; got.value != 2 || got.err != nil {
			t.Errorf("got %+v", got)
		}
		if _, found, err := c.Get(t.Context(), "k"); !found || err != nil {
			t.Errorf("it waited for a lease, and did not use it: %v, %v", found, err)
		}
	})
}

// All callers that wait for somebody else's value are served by the one read that finds it.
func TestWaitersForALeaseShareTheLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		leaser := driver.FeaturesOf(strategy).Leaser
		lease, err := leaser.Lease(t.Context(), "app:c:k")
		if lease == nil || err != nil {
			t.Fatal(lease, err)
		}
		var calls []<-chan outcome[int]
		for range 5 {
			calls = append(calls, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", unexpected[int](t)) }))
			synctest.Wait()
		}
		if ok, err := leaser.Fill(t.Context(), lease, encodedOne(t), cache.SetOptions{TTL: time.Hour}); !ok || err != nil {
			t.Fatal(ok, err)
		}
		recorder.Reset()
		for _, call := range calls {
			if got := <-call; got.value != 1 || got.err != nil {
				t.Errorf("got %+v", got)
			}
		}
		if n := recorder.Count(drivertest.OpGetOrLease); n != 1 {
			t.Errorf("%d looks at the storage, want 1", n)
		}
	})
}

// encodedOne returns the entry that a Service stores for a 1.
func encodedOne(t *testing.T) []byte {
	t.Helper()
	strategy := new(table)
	mustSet(t, start(t, strategy, cache.Options{}), "k", 1, cache.SetOptions{})
	row, _ := strategy.row("app::k")
	return row.value
}

// A load that nobody waits for any more is cancelled. If it succeeds all the same, its value is
// stored for the next caller.
func TestAbandonedLoadIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.GetOrLoad(ctx, "k", func(ctx context.Context) (int, error) { <-ctx.Done(); return 1, nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("GetOrLoad = %v", err)
		}
		synctest.Wait()
		if got, found, err := c.Get(t.Context(), "k"); got != 1 || !found || err != nil {
			t.Errorf("Get = %v, %v, %v", got, found, err)
		}
	})
}

// Callers' contexts still count while a flight waits for somebody else's lease.
func TestCancelledWhileWaitingForALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, _, strategy := record(t, newBigcache(t), cache.Options{LockWait: time.Hour})
		c := newCache(t, service, "c", cache.Policy[int]{})
		if lease, err := driver.FeaturesOf(strategy).Leaser.Lease(t.Context(), "app:c:k"); lease == nil || err != nil {
			t.Fatal(lease, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err := c.GetOrLoad(ctx, "k", unexpected[int](t))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
