package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/cachetest"
	"github.com/fxcache/fxcache/strategies/noop"
)

// lock_wait: while somebody else holds the lease, GetOrLoad waits for the value, not longer than
// lock_wait, and then loads without storing.
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
				held := newCache(t, service, "c", cache.Policy[int]{}) // another single-flight, the same entries
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
				if test.after == 0 && recorder.Count(cachetest.OpFill) != 0 {
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

// A lease that the Service knows nothing of, as another node would hold it.
func TestLeaseHeldElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, _, strategy := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		leaser := strategy.(cache.Leaser)
		lease, err := leaser.Lease(t.Context(), "app:c:k", nil)
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

// All who wait for somebody else's value are served by the one look that finds it.
func TestWaitersForALeaseShareTheLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		leaser := strategy.(cache.Leaser)
		lease, err := leaser.Lease(t.Context(), "app:c:k", nil)
		if lease == nil || err != nil {
			t.Fatal(lease, err)
		}
		var calls []<-chan outcome[int]
		for range 5 {
			calls = append(calls, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", unexpected[int](t)) }))
			synctest.Wait()
		}
		if ok, err := leaser.Fill(t.Context(), lease, sealedOne(t), cache.SetOptions{TTL: time.Hour}); !ok || err != nil {
			t.Fatal(ok, err)
		}
		recorder.Reset()
		for _, call := range calls {
			if got := <-call; got.value != 1 || got.err != nil {
				t.Errorf("got %+v", got)
			}
		}
		if n := recorder.Count(cachetest.OpGetOrLease); n != 1 {
			t.Errorf("%d looks at the storage, want 1", n)
		}
	})
}

// sealedOne is what a Service stores for a 1.
func sealedOne(t *testing.T) []byte {
	t.Helper()
	strategy := new(table)
	mustSet(t, start(t, strategy, cache.Options{}), "k", 1, cache.SetOptions{})
	row, _ := strategy.row("app:k")
	return row.value
}

// A load that nobody waits for any more is cancelled. Where it comes to an end all the same, its
// value is stored for the next caller.
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

// Everything in a flight that waits for somebody else's lease still honours the callers' contexts.
func TestCancelledWhileWaitingForALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, _, strategy := record(t, newBigcache(t), cache.Options{LockWait: time.Hour})
		c := newCache(t, service, "c", cache.Policy[int]{})
		if lease, err := strategy.(cache.Leaser).Lease(t.Context(), "app:c:k", nil); lease == nil || err != nil {
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

// Fail open: a strategy that fails or hangs costs at most its deadline, the loader runs once for all
// who wait, its value is returned and not stored.
func TestFailOpen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		disturb func(*cachetest.Recorder)
		cost    time.Duration
	}{
		{"reads fail", func(r *cachetest.Recorder) { r.FailNext(cachetest.OpGet, 10, errOutage) }, 0},
		{"reads hang", func(r *cachetest.Recorder) { r.Block(cachetest.OpGet) }, 50 * time.Millisecond},
		{"leases fail", func(r *cachetest.Recorder) { r.FailNext(cachetest.OpGetOrLease, 10, errOutage) }, 0},
		{"leases hang", func(r *cachetest.Recorder) { r.Block(cachetest.OpGetOrLease) }, 50 * time.Millisecond},
		{"reads panic", func(r *cachetest.Recorder) {
			r.Before(cachetest.OpGet, func(context.Context, string) { panic("driver bug") })
		}, 0},
		{"leases panic", func(r *cachetest.Recorder) {
			r.Before(cachetest.OpGetOrLease, func(context.Context, string) { panic("driver bug") })
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := new(logBook)
				service, recorder, _ := record(t, newBigcache(t), cache.Options{Logger: log.logger()})
				c := newCache(t, service, "c", cache.Policy[int]{})
				test.disturb(recorder)
				began := time.Now()
				var loads atomic.Int32
				load := func(context.Context) (int, error) { return int(loads.Add(1)), nil }
				var calls []<-chan outcome[int]
				for range 10 {
					calls = append(calls, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) }))
				}
				for _, call := range calls {
					if got := <-call; got.value == 0 || got.err != nil {
						t.Errorf("got %+v", got)
					}
				}
				if d := time.Since(began); d != test.cost {
					t.Errorf("it cost %v, want %v", d, test.cost)
				}
				// Who comes after an unprotected load began cannot be given its value.
				if n := loads.Load(); n > 10 || recorder.Count(cachetest.OpFill)+recorder.Count(cachetest.OpSet) != 0 {
					t.Errorf("%d loads", n)
				}
				if n := log.count("reads fail"); n != 1 {
					t.Errorf("%d warnings, want 1", n)
				}
			})
		})
	}
}

// Fail open, single-flight: while a load without a lease is held, those who wait share one more.
func TestFailOpenIsSingleFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		recorder.FailNext(cachetest.OpGet, 1000, errOutage)
		release := make(chan struct{})
		var loads atomic.Int32
		load := func(context.Context) (int, error) {
			loads.Add(1)
			<-release
			return 1, nil
		}
		var calls []<-chan outcome[int]
		for range 100 {
			calls = append(calls, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) }))
		}
		synctest.Wait()
		close(release)
		for _, call := range calls {
			if got := <-call; got.value != 1 || got.err != nil {
				t.Fatalf("got %+v", got)
			}
		}
		if n := loads.Load(); n > 2 {
			t.Errorf("%d loads for 100 callers", n)
		}
	})
}

// Fail open, at once: a stale or damaged entry whose lease cannot be had because the strategy fails
// is not a lease that somebody else holds.
func TestFailOpenForStaleEntryDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{Fresh: func(v int) bool { return v > 1 }})
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		recorder.FailNext(cachetest.OpLease, 1000, errOutage)
		began := time.Now()
		got, err := c.GetOrLoad(t.Context(), "k", value(2))
		if got != 2 || err != nil || time.Since(began) != 0 {
			t.Errorf("%v, %v after %v; want 2 at once", got, err, time.Since(began))
		}
		if n := service.Stats().LeaseTimeouts; n != 0 {
			t.Errorf("%d lease timeouts: nobody held the lease", n)
		}
	})
}

// A Fill that fails costs nobody the value, and does not keep the key leased: the next caller must
// not wait for a lease that nobody uses.
func TestFillFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		disturb func(*cachetest.Recorder)
	}{
		{"error", func(r *cachetest.Recorder) { r.FailNext(cachetest.OpFill, 1, errOutage) }},
		{"no answer", func(r *cachetest.Recorder) { r.DelayNext(cachetest.OpFill, 1, time.Hour) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				service, recorder, _ := record(t, newBigcache(t), cache.Options{})
				c := newCache(t, service, "c", cache.Policy[int]{})
				test.disturb(recorder)
				if got, err := c.GetOrLoad(t.Context(), "k", value(1)); got != 1 || err != nil {
					t.Errorf("GetOrLoad = %v, %v", got, err)
				}
				if n := service.Stats().Unfilled; n != 1 {
					t.Errorf("Unfilled = %d", n)
				}
				began := time.Now()
				got, err := c.GetOrLoad(t.Context(), "k", value(2))
				if got != 2 || err != nil || time.Since(began) != 0 {
					t.Errorf("the next call: %v, %v after %v; want 2 at once", got, err, time.Since(began))
				}
				if got, found, err := c.Get(t.Context(), "k"); got != 2 || !found || err != nil {
					t.Errorf("the next call stored nothing: %v, %v, %v", got, found, err)
				}
			})
		})
	}
}

// A value that cannot be stored is returned all the same, and does not keep the key leased, also
// when the deletion that goes with it fails.
func TestUnstorableValue(t *testing.T) {
	t.Parallel()
	for _, deletions := range []int{0, 1} {
		for name, policy := range map[string]cache.Policy[string]{
			"too large":     {},
			"bad tag":       {TagsOf: func(string) []string { return []string{""} }},
			"TTLOf forbids": {TTLOf: func(string) time.Duration { return -1 }},
			"TagsOf panics": {TagsOf: func(string) []string { panic("bug") }},
		} {
			synctest.Test(t, func(t *testing.T) {
				service, recorder, _ := record(t, newBigcache(t), cache.Options{MaxValueBytes: 16})
				c := newCache(t, service, "c", policy)
				recorder.FailNext(cachetest.OpDelete, deletions, errOutage)
				const large = "this is longer than max_value_bytes"
				for range 3 {
					began := time.Now()
					got, err := c.GetOrLoad(t.Context(), "k", value(large))
					if got != large || err != nil || time.Since(began) != 0 {
						t.Errorf("%s: %q, %v after %v", name, got, err, time.Since(began))
					}
				}
				if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
					t.Errorf("%s: %v, %v", name, found, err)
				}
			})
		}
	}
}

// Stop cancels running loads; their waiters get an error; Stop keeps to its own context even when a
// loader does not.
func TestStopWhileLoading(t *testing.T) {
	t.Parallel()
	for _, stubborn := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			service := newService(t, newBigcache(t), cache.Options{})
			if err := service.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			c := newCache(t, service, "c", cache.Policy[int]{})
			release := make(chan struct{})
			load := func(ctx context.Context) (int, error) {
				<-ctx.Done()
				if stubborn {
					<-release
				}
				return 0, ctx.Err()
			}
			first := async(func() (int, error) { return c.GetOrLoad(context.WithoutCancel(t.Context()), "k", load) })
			synctest.Wait()
			late := async(func() (int, error) { return c.GetOrLoad(context.WithoutCancel(t.Context()), "k", load) })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			err := service.Stop(ctx)
			if stubborn != errors.Is(err, context.DeadlineExceeded) || stubborn != (time.Since(began) == time.Second) {
				t.Errorf("Stop: %v after %v", err, time.Since(began))
			}
			close(release)
			if got := <-first; got.err == nil {
				t.Errorf("got %+v", got)
			}
			if got := <-late; !errors.Is(got.err, cache.ErrClosed) {
				t.Errorf("got %+v, want ErrClosed", got)
			}
			if _, err := c.GetOrLoad(t.Context(), "k", value(1)); !errors.Is(err, cache.ErrClosed) {
				t.Errorf("after Stop: %v", err)
			}
		})
	}
}

// After a Stop that gave up on a loader, the Service starts again, and the old load disturbs no one.
func TestStartAgainBesideAStuckLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := newService(t, newBigcache(t), cache.Options{})
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		c := newCache(t, service, "c", cache.Policy[int]{})
		release := make(chan struct{})
		old := async(func() (int, error) {
			return c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { <-release; return 1, nil })
		})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := service.Stop(ctx); err == nil {
			t.Error("Stop did not report the stuck loader")
		}
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		fresh := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", value(2)) })
		synctest.Wait()
		select {
		case got := <-fresh:
			if got.value != 2 || got.err != nil {
				t.Errorf("got %+v", got)
			}
		default:
			t.Error("a caller after Start waits for a load that Stop cancelled")
		}
		close(release)
		<-old
		if got, found, err := c.Get(t.Context(), "k"); found && got != 2 || err != nil {
			t.Errorf("Get = %v, %v, %v", got, found, err)
		}
		if err := service.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A load that Stop gave up on ends while the next run of the Service is already loading: the two runs
// share no accounting that could mistake one for the other (a reused sync.WaitGroup panics).
func TestStartAgainWhileAnOldLoadEnds(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 1500 {
		service := newService(t, noop.Strategy{}, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		entered, release := make(chan struct{}), make(chan struct{})
		old := async(func() (int, error) {
			return c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) {
				close(entered)
				<-release
				return 1, nil
			})
		})
		<-entered
		if err := service.Stop(gone); err == nil {
			t.Fatal("Stop did not report the stuck loader")
		}
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		var callers sync.WaitGroup
		for caller := range 4 {
			callers.Go(func() {
				for n := range 20 {
					if got, err := c.GetOrLoad(t.Context(), fmt.Sprint(caller, n), value(n)); got != n || err != nil {
						t.Errorf("GetOrLoad = %v, %v", got, err)
					}
				}
			})
		}
		close(release)
		<-old
		callers.Wait()
		if err := service.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
