package cache_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A strategy that fails or hangs costs at most its deadline. The loader runs once for all who wait.
// Its value is returned and not stored.
func TestFailOpen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		disturb func(*drivertest.Recorder)
		cost    time.Duration
	}{
		{"reads fail", func(r *drivertest.Recorder) { r.FailNext(drivertest.OpGet, 10, errOutage) }, 0},
		{"reads hang", func(r *drivertest.Recorder) { r.Block(drivertest.OpGet) }, 50 * time.Millisecond},
		{"leases fail", func(r *drivertest.Recorder) { r.FailNext(drivertest.OpGetOrLease, 10, errOutage) }, 0},
		{"leases hang", func(r *drivertest.Recorder) { r.Block(drivertest.OpGetOrLease) }, 50 * time.Millisecond},
		{"reads panic", func(r *drivertest.Recorder) {
			r.Before(drivertest.OpGet, func(context.Context, string) { panic("driver bug") })
		}, 0},
		{"leases panic", func(r *drivertest.Recorder) {
			r.Before(drivertest.OpGetOrLease, func(context.Context, string) { panic("driver bug") })
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := new(logBook)
				service, recorder, _ := record(t, newBigcache(t), cache.Options{Logger: log.logger(), Timeout: 50 * time.Millisecond})
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
				// A caller that comes after a load without a lease has begun cannot be given its
				// value.
				if n := loads.Load(); n > 10 || recorder.Count(drivertest.OpFill)+recorder.Count(drivertest.OpSet) != 0 {
					t.Errorf("%d loads", n)
				}
				if n := log.count("reads fail"); n != 1 {
					t.Errorf("%d warnings, want 1", n)
				}
			})
		})
	}
}

// While a load without a lease is held, the callers that wait share one more load.
func TestFailOpenIsSingleFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		recorder.FailNext(drivertest.OpGet, 1000, errOutage)
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

// If the lease on a stale or damaged entry fails because the strategy fails, the caller loads at
// once. It does not wait as if somebody else held the lease.
func TestFailOpenForStaleEntryDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{Fresh: func(v int) bool { return v > 1 }})
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		recorder.FailNext(drivertest.OpLease, 1000, errOutage)
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

// If a Fill fails, callers still get the value, and the key does not stay leased. Otherwise the
// next caller would wait for a lease that nobody uses.
func TestFillFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		disturb func(*drivertest.Recorder)
	}{
		{"error", func(r *drivertest.Recorder) { r.FailNext(drivertest.OpFill, 1, errOutage) }},
		{"no answer", func(r *drivertest.Recorder) { r.DelayNext(drivertest.OpFill, 1, time.Hour) }},
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

// A value that cannot be stored is still returned. The key does not stay leased, even if the
// deletion that goes with it fails.
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
				recorder.FailNext(drivertest.OpDelete, deletions, errOutage)
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
