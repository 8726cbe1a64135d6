package cache_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A caller that saw the old entry, and gets the lease only after somebody else's refresh, does not
// load again.
func TestRefreshOfWhatIsFreshByNow(t *testing.T) {
	t.Parallel()
	for _, deleted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{})
			c, slow := newCache(t, service, "c", stale()), newCache(t, service, "c", stale())
			mustGet(t, c, value(1), 1)
			pass(2 * time.Minute)
			unblock := recorder.Block(drivertest.OpLease)
			mustGet(t, slow, unexpected[int](t), 1)
			synctest.Wait()
			// The refresh that is held goes on when the other one has ended.
			if deleted {
				if err := c.Delete(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
			} else if err := c.Set(t.Context(), "k", 2); err != nil {
				t.Fatal(err)
			}
			unblock()
			synctest.Wait()
			if n := service.Stats().Refreshes; n != 0 {
				t.Errorf("%d refreshes", n)
			}
			if n := recorder.Count(drivertest.OpRelease); n != 1 {
				t.Errorf("the lease was released %d times, want once", n)
			}
		})
	}
}

// In one process, one refresh at a time asks for the lease. If another process has it, there is a
// pause before the next try.
func TestRefreshDoesNotCrowdTheStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", stale())
		mustGet(t, c, value(1), 1)
		pass(2 * time.Minute)
		if lease, err := driver.FeaturesOf(strategy).Leaser.Lease(t.Context(), "app:c:k"); lease == nil || err != nil {
			t.Fatal(lease, err)
		}
		recorder.Reset()
		for range 10 { // one second
			for range 100 {
				mustGet(t, c, unexpected[int](t), 1)
				synctest.Wait()
			}
			pass(100 * time.Millisecond)
		}
		if n := recorder.Count(drivertest.OpLease); n != 10 {
			t.Errorf("asked %d times in a second, want 10", n)
		}
	})
}

// If a loader panics or ends its goroutine, it has failed, and the lease is free again.
func TestRefreshBreaks(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(){"panic": func() { panic("bug") }, "Goexit": runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{MaxConcurrentLoads: 1})
			c := newCache(t, service, "c", stale())
			mustGet(t, c, value(1), 1)
			pass(time.Minute)
			mustGet(t, c, func(context.Context) (int, error) { end(); return 0, nil }, 1)
			synctest.Wait()
			if n := recorder.Count(drivertest.OpRelease); n != 1 {
				t.Errorf("%s: the lease was released %d times", name, n)
			}
			pass(time.Second)
			mustGet(t, c, value(2), 1)
			synctest.Wait()
			mustGet(t, c, unexpected[int](t), 2)
			if stats := service.Stats(); stats.LoadErrors != 1 || stats.Refreshes != 2 {
				t.Errorf("%s: %+v", name, stats)
			}
		})
	}
}

// ErrNotFound is an answer and not a failure: the last good value is deleted.
func TestRefreshFindsNothing(t *testing.T) {
	t.Parallel()
	for _, negative := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			service := start(t, newBigcache(t), cache.Options{})
			policy := stale()
			policy.NegativeTTL = negative
			c := newCache(t, service, "c", policy)
			mustGet(t, c, value(1), 1)
			pass(time.Minute)
			gone := func(context.Context) (int, error) { return 0, cache.ErrNotFound }
			mustGet(t, c, gone, 1)
			synctest.Wait()
			if _, err := c.GetOrLoad(t.Context(), "k", gone); !errors.Is(err, cache.ErrNotFound) {
				t.Errorf("GetOrLoad = %v", err)
			}
			want := uint64(3)
			if negative > 0 {
				want = 2
			}
			if n := service.Stats().Loads; n != want {
				t.Errorf("NegativeTTL %v: %d loads, want %d", negative, n, want)
			}
		})
	}
}

// Stop cancels a refresh. If the refresh does not end, Stop waits until its own context ends.
func TestStopEndsRefresh(t *testing.T) {
	t.Parallel()
	for _, listens := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			log := new(logBook)
			service := newService(t, newBigcache(t), cache.Options{Logger: log.logger()})
			if err := service.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			c := newCache(t, service, "c", stale())
			mustGet(t, c, value(1), 1)
			pass(time.Minute)
			request, leave := context.WithCancel(t.Context())
			release := make(chan struct{})
			var ended error
			if _, err := c.GetOrLoad(request, "k", func(ctx context.Context) (int, error) {
				<-ctx.Done()
				ended = ctx.Err()
				if !listens {
					<-release
				}
				return 0, ctx.Err()
			}); err != nil {
				t.Error(err)
			}
			leave()
			synctest.Wait()
			if ended != nil {
				t.Error("the refresh ended with the request")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			err := service.Stop(ctx)
			if took := time.Since(began); listens && (err != nil || took != 0) || !listens && (err == nil || took != time.Second) {
				t.Errorf("Stop: %v after %v", err, took)
			}
			synctest.Wait()
			if !errors.Is(ended, context.Canceled) {
				t.Errorf("the refresh ended with %v", ended)
			}
			if log.count("a refresh failed") != 0 {
				t.Errorf("logged:\n%s", log)
			}
			close(release)
			synctest.Wait()
		})
	}
}

// A refresh is cancelled when its value could not be stored any more.
func TestRefreshPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", stale())
		mustGet(t, c, value(1), 1)
		pass(time.Minute)
		began, took := time.Now(), make(chan time.Duration, 1)
		mustGet(t, c, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			took <- time.Since(began)
			return 0, ctx.Err()
		}, 1)
		if d := <-took; d != driver.MaxLeaseTTL {
			t.Errorf("ended after %v", d)
		}
		synctest.Wait()
	})
}

// At most max_concurrent_loads refreshes run. Further callers are still served.
func TestRefreshesAreCapped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, newBigcache(t), cache.Options{MaxConcurrentLoads: 2})
		c := newCache(t, service, "c", stale())
		keys := []string{"a", "b", "c", "d", "e"}
		for _, key := range keys {
			if err := c.Set(t.Context(), key, 1); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		release := make(chan struct{})
		all := func(want uint64) {
			t.Helper()
			for _, key := range keys {
				if got, err := c.GetOrLoad(t.Context(), key, func(context.Context) (int, error) { <-release; return 2, nil }); got == 0 || err != nil {
					t.Errorf("GetOrLoad = %v, %v", got, err)
				}
			}
			synctest.Wait()
			if n := service.Stats().Refreshes; n != want {
				t.Errorf("%d refreshes, want %d", n, want)
			}
		}
		all(2)
		all(2)
		close(release)
		synctest.Wait()
		all(4)
		all(5)
	})
}
