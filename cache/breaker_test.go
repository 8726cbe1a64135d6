package cache_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// trip opens the breaker of a Service with BreakerFailures 3: three reads fail over ten timeouts.
func trip(t *testing.T, service *cache.Service, recorder *drivertest.Recorder) {
	t.Helper()
	recorder.FailNext(drivertest.OpGet, 3, errOutage)
	for i := range 3 {
		if i > 0 {
			<-time.After(5 * service.Options().Timeout)
		}
		if _, err := service.Get(t.Context(), "k", new(int)); !errors.Is(err, errOutage) {
			t.Fatalf("Get = %v", err)
		}
	}
	recorder.Reset()
}

// short reports whether a read is answered by the breaker instead of the strategy.
func short(t *testing.T, service *cache.Service) bool {
	t.Helper()
	before := service.Stats().ShortCircuited
	_, err := service.Get(t.Context(), "k", new(int))
	open := service.Stats().ShortCircuited > before
	if open && !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("the breaker is open: %v, want ErrUnavailable", err)
	}
	return open
}

// While the breaker is open, reads, leases and fills do not reach the strategy, and revocations do.
func TestBreakerOpens(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, kind.make(t), cache.Options{BreakerFailures: 3, BreakerPause: time.Minute})
			c := newCache(t, service, "c", cache.Policy[int]{Tags: []string{"t"}})
			ctx := t.Context()
			recorder.FailNext(drivertest.OpGet, 2, errOutage)
			for range 2 {
				_, _ = service.Get(ctx, "k", new(int))
			}
			if short(t, service) { // a success between failures
				t.Fatal("open after two failures")
			}
			trip(t, service, recorder)
			for i := range 3 {
				if v, err := c.GetOrLoad(ctx, "k", value(i)); v != i || err != nil {
					t.Errorf("GetOrLoad = %v, %v", v, err)
				}
			}
			if !short(t, service) {
				t.Error("not open after three failures")
			}
			if v, err := c.Update(ctx, "k", value(9)); v != 9 || err != nil {
				t.Errorf("Update = %v, %v", v, err)
			}
			if err := errors.Join(service.Delete(ctx, "k"), service.InvalidateTags(ctx, "t"), service.Clear(ctx)); err != nil {
				t.Errorf("revocations: %v", err)
			}
			got := names(recorder)
			if want := []string{"delete", "delete", "invalidate", "clear"}; len(got) != 4 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] {
				t.Errorf("%s: the strategy saw %v, want %v", kind.name, got, want)
			}
			// Pending revocations are tried as well.
			recorder.FailNext(drivertest.OpDelete, 1, errOutage)
			pending(t, service.Delete(ctx, "k"))
			<-time.After(500 * time.Millisecond)
			wantPending(t, service, 0)
			if !short(t, service) {
				t.Error("a revocation closed it")
			}
		})
	}
}

// Failed leases and fills count like failed reads.
func TestBreakerCountsLeasesAndFills(t *testing.T) {
	t.Parallel()
	for _, op := range []string{drivertest.OpGetOrLease, drivertest.OpLease, drivertest.OpFill} {
		synctest.Test(t, func(t *testing.T) {
			// so many that the success before the operation does not end the run
			const failures = 12
			service, recorder, _ := record(t, newBigcache(t), cache.Options{BreakerFailures: failures, BreakerPause: time.Minute})
			c := newCache(t, service, "c", cache.Policy[int]{})
			recorder.FailNext(drivertest.OpGet, failures-1, errOutage)
			for range failures - 1 {
				_, _ = service.Get(t.Context(), "k", new(int))
				<-time.After(service.Options().Timeout)
			}
			recorder.FailNext(op, 1, errOutage)
			if op == drivertest.OpGetOrLease {
				_, _ = c.GetOrLoad(t.Context(), "k", value(1))
			} else {
				_, _ = c.Update(t.Context(), "k", value(1))
			}
			if !short(t, service) {
				t.Errorf("a failed %s does not count", op)
			}
		})
	}
}

// After the pause one read tries the strategy. It closes the breaker, or opens it again.
func TestBreakerProbes(t *testing.T) {
	t.Parallel()
	for _, works := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{BreakerFailures: 3, BreakerPause: time.Minute, Timeout: time.Second})
			trip(t, service, recorder)
			<-time.After(time.Minute / 16) // the first pause is the shortest
			if !short(t, service) {
				t.Error("closed before the pause is over")
			}
			<-time.After(time.Millisecond)
			if !works {
				recorder.FailNext(drivertest.OpGet, 1, errOutage)
			}
			release := recorder.Block(drivertest.OpGet)
			probe := async(func() (bool, error) { return service.Get(t.Context(), "k", new(int)) })
			synctest.Wait()
			began := time.Now()
			if !short(t, service) || time.Since(began) != time.Second/2 {
				t.Errorf("a second read beside the probe, after %v", time.Since(began))
			}
			release()
			if got := <-probe; (got.err == nil) != works {
				t.Errorf("works %v: the probe got %v", works, got.err)
			}
			if n := recorder.Count(drivertest.OpGet); n != 1 {
				t.Errorf("%d reads reached the strategy", n)
			}
			if short(t, service) == works {
				t.Errorf("works %v: open %v", works, !works)
			}
			<-time.After(time.Minute + time.Millisecond)
			if short(t, service) {
				t.Error("open for longer than the pause")
			}
		})
	}
}

// A caller that leaves and a call that is refused say nothing about the strategy, even if they are
// the probe.
func TestBreakerIgnores(t *testing.T) {
	t.Parallel()
	refusals := []error{cache.ErrInvalidKey, cache.ErrInvalidTTL, cache.ErrValueTooLarge, cache.ErrTooManyTags, cache.ErrUnsupported}
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{BreakerFailures: 3, BreakerPause: time.Minute})
		leave := func() {
			defer recorder.Block(drivertest.OpGet)()
			for _, patience := range []time.Duration{time.Millisecond, 49 * time.Millisecond, time.Millisecond, time.Millisecond} {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				if _, err := service.Get(ctx, "k", new(int)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Get = %v", err)
				}
				cancel()
			}
		}
		leave()
		for _, refusal := range refusals {
			recorder.FailNext(drivertest.OpGet, 1, refusal)
			if _, err := service.Get(t.Context(), "k", new(int)); !errors.Is(err, refusal) {
				t.Errorf("Get = %v", err)
			}
		}
		if short(t, service) {
			t.Error("open after nothing but refusals and callers that left")
		}
		trip(t, service, recorder)
		<-time.After(time.Minute + time.Millisecond)
		leave()
		if short(t, service) {
			t.Error("callers that left spoilt the probe")
		}
		// A missed deadline of the operation itself is a failure of the strategy.
		defer recorder.Block(drivertest.OpGet)()
		for range 12 {
			if _, err := service.Get(t.Context(), "k", new(int)); !errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("Get = %v", err)
			}
		}
		if !short(t, service) {
			t.Error("timeouts do not count")
		}
	})
}

// A strategy that panics or ends the goroutine counts as failing. So does a probe that ends that
// way.
func TestBreakerSurvivesPanics(t *testing.T) {
	t.Parallel()
	for _, end := range []func(){func() { panic("strategy bug") }, runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{BreakerFailures: 2, BreakerPause: time.Minute})
			var works atomic.Bool
			recorder.Before(drivertest.OpGet, func(context.Context, string) {
				if !works.Load() {
					end()
				}
			})
			get := func() {
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, _ = service.Get(t.Context(), "k", new(int))
				}()
				<-done
			}
			get()
			<-time.After(10 * service.Options().Timeout)
			get()
			if !short(t, service) {
				t.Error("not open")
			}
			<-time.After(time.Minute + time.Millisecond)
			get() // the probe
			works.Store(true)
			if !short(t, service) {
				t.Error("the probe is not counted as failed")
			}
			<-time.After(time.Minute + time.Millisecond)
			if short(t, service) {
				t.Error("it never closes again")
			}
		})
	}
}

// failingLocal is Local, and fails.
type failingLocal struct{ table }

func (*failingLocal) Local() {}

func (*failingLocal) Get(context.Context, string) ([]byte, bool, error) { return nil, false, errOutage }

// A Local strategy has no breaker.
func TestLocalHasNoBreaker(t *testing.T) {
	t.Parallel()
	service := start(t, new(failingLocal), cache.Options{BreakerFailures: 1})
	for range 20 {
		if _, err := service.Get(t.Context(), "k", new(int)); !errors.Is(err, errOutage) {
			t.Errorf("Get = %v", err)
		}
	}
	if n := service.Stats().ShortCircuited; n != 0 {
		t.Errorf("%d reads were short-circuited", n)
	}
}
