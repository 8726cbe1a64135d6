package cache_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache/refreshing"
)

// Refresh returns a value that was read after the call. All that wait share that load and its
// failure. Get still has the last good value, and tries again after the back-off.
func TestRefreshIsForced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		r := newRefreshing(t, s.load, refreshing.Options{TTL: time.Hour})
		get := async(func() (int, error) { return r.Get(t.Context()) })
		s.wantCalls(t, 1)
		var refreshes []<-chan outcome[int]
		for range 100 {
			refreshes = append(refreshes, async(func() (int, error) { return r.Refresh(t.Context()) }))
		}
		s.wantCalls(t, 1) // never two at a time
		s.result <- outcome[int]{1, nil}
		if got := <-get; got.value != 1 || got.err != nil {
			t.Fatalf("Get: %+v", got)
		}
		s.wantCalls(t, 2)
		want(t, 1)(r.Get(t.Context()))
		s.result <- outcome[int]{2, nil}
		for _, refresh := range refreshes {
			if got := <-refresh; got.value != 2 || got.err != nil {
				t.Fatalf("Refresh: %+v", got)
			}
		}
		want(t, 2)(r.Get(t.Context()))

		refresh := async(func() (int, error) { return r.Refresh(t.Context()) })
		s.wantCalls(t, 3)
		s.result <- outcome[int]{0, errOutage}
		wantError[int](t, errOutage)(receive(refresh))
		want(t, 2)(r.Get(t.Context()))
		s.wantCalls(t, 3)
		// Refresh does not wait for the end of the back-off.
		refresh = async(func() (int, error) { return r.Refresh(t.Context()) })
		s.wantCalls(t, 4)
		s.result <- outcome[int]{0, errOutage}
		wantError[int](t, errOutage)(receive(refresh))
		elapse(200 * time.Millisecond)
		get = async(func() (int, error) { return r.Get(t.Context()) })
		s.wantCalls(t, 5) // although the hour is not over
		s.result <- outcome[int]{3, nil}
		want(t, 3)(receive(get))
	})
}

// A Refresh that waits for its turn may leave. Then there is no second load.
func TestRefreshLeavesTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		r := newRefreshing(t, s.load, refreshing.Options{})
		get := async(func() (int, error) { return r.Get(t.Context()) })
		s.wantCalls(t, 1)
		ctx, leave := context.WithCancel(t.Context())
		refresh := async(func() (int, error) { return r.Refresh(ctx) })
		synctest.Wait()
		leave()
		wantError[int](t, context.Canceled)(receive(refresh))
		s.result <- outcome[int]{1, nil}
		want(t, 1)(receive(get))
		s.wantCalls(t, 1)
	})
}

func receive[T any](call <-chan outcome[T]) (T, error) {
	got := <-call
	return got.value, got.err
}

// A load that began before Invalidate serves nobody, even if it ignores its context. The next load
// waits for its end, and also serves the callers that waited for the first.
func TestInvalidateDropsRunningLoads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		results := make(chan int)
		var loads atomic.Int32
		r := newRefreshing(t, func(context.Context) (int, error) { loads.Add(1); return <-results, nil }, refreshing.Options{TTL: time.Hour})
		early := async(func() (int, error) { return r.Get(t.Context()) })
		synctest.Wait()
		r.Invalidate()
		late := async(func() (int, error) { return r.Get(t.Context()) })
		synctest.Wait()
		if n := loads.Load(); n != 1 {
			t.Fatalf("%d loads at a time", n)
		}
		results <- 1 // from before Invalidate
		synctest.Wait()
		results <- 2
		want(t, 2)(receive(early))
		want(t, 2)(receive(late))
		want(t, 2)(r.Get(t.Context()))
		if n := loads.Load(); n != 2 {
			t.Errorf("%d loads, want 2", n)
		}
		want(t, 4)(refreshing.Derive(t.Context(), r, "k", double))
		r.Invalidate()
		next := async(func() (int, error) { return refreshing.Derive(t.Context(), r, "k", double) })
		results <- 3
		want(t, 6)(receive(next))
	})
}

func double(_ context.Context, v int) (int, error) { return 2 * v, nil }

// Invalidate cancels the running load, drops the last good value and ends the back-off.
func TestInvalidateStartsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		r := newRefreshing(t, s.load, refreshing.Options{})
		call := async(func() (int, error) { return r.Get(t.Context()) })
		s.wantCalls(t, 1)
		r.Invalidate()
		if err := <-s.ends; !errors.Is(err, context.Canceled) {
			t.Fatalf("the load ended with %v", err)
		}
		s.wantCalls(t, 2)
		s.result <- outcome[int]{1, nil}
		want(t, 1)(receive(call))
		elapse(time.Second)
		call = async(func() (int, error) { return r.Get(t.Context()) })
		s.wantCalls(t, 3)
		s.result <- outcome[int]{0, errOutage}
		want(t, 1)(receive(call))
		r.Invalidate()
		call = async(func() (int, error) { return r.Get(t.Context()) })
		s.wantCalls(t, 4)
		s.result <- outcome[int]{0, errOutage}
		wantError[int](t, errOutage)(receive(call))
	})
}

// Under random concurrent use, a call never returns a value that was read before an Invalidate, a
// Refresh or a derivation that it came after. Two loads never run at the same time.
func TestRefreshingRaces(t *testing.T) {
	t.Parallel()
	var source, floor atomic.Int64 // floor: what every later call must see
	var atOnce atomic.Int32
	r := newRefreshing(t, func(context.Context) (int64, error) {
		if atOnce.Add(1) != 1 {
			t.Error("two loads at once")
		}
		defer atOnce.Add(-1)
		v := source.Load()
		runtime.Gosched()
		if rand.IntN(8) == 0 {
			return 0, errOutage
		}
		return v, nil
	}, refreshing.Options{TTL: time.Millisecond, Backoff: time.Millisecond, MaxBackoff: time.Millisecond})
	raise := func(v int64) {
		for old := floor.Load(); old < v; old = floor.Load() {
			floor.CompareAndSwap(old, v)
		}
	}
	var served atomic.Int64
	check := func(least int64, v int64, err error) {
		if err == nil && v < least {
			t.Errorf("got %d, want at least %d", v, least)
		}
		if err == nil {
			served.Add(1)
		}
	}
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 2000 {
				ctx, leave := context.WithCancel(context.Background())
				if rand.IntN(4) == 0 {
					go leave()
				}
				least := floor.Load()
				switch rand.IntN(16) {
				case 0:
					v := source.Add(1)
					r.Invalidate()
					raise(v)
				case 1:
					least = source.Add(1)
					v, err := r.Refresh(ctx)
					check(least, v, err)
				case 2, 3, 4:
					v, err := refreshing.Derive(ctx, r, "k", func(_ context.Context, v int64) (int64, error) { return v, nil })
					check(least, v, err)
				default:
					v, err := r.Get(ctx)
					check(least, v, err)
				}
				leave()
			}
		})
	}
	workers.Wait()
	if served.Load() < 8000 {
		t.Errorf("%d of some 15,000 calls got a value", served.Load())
	}
}

// elapse lets d pass on the clock of the test's bubble.
func elapse(d time.Duration) { <-time.After(d) }
