package cache_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A lag that was raised while the storage worked counts: a node may have begun to keep entries.
func TestPropagationIsThatAfterTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, strategy := startLagging(t, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		for _, op := range []string{drivertest.OpDelete, drivertest.OpSet, drivertest.OpFill, drivertest.OpInvalidate, drivertest.OpClear} {
			recorder.Before(op, func(context.Context, string) { strategy.lag.Store(int64(lag)) })
		}
		for what, change := range changes(t.Context(), service, c, c) {
			strategy.lag.Store(0)
			takes(t, what, delay, change)
		}
	})
}

// Each call waits for the slowest of the stores that it concerns, and calls wait side by side.
func TestPropagationOfStores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, _, _ := startLagging(t, cache.Options{}, cache.Store{Name: "quick", Strategy: newBigcache(t)},
			cache.Store{Name: "slow", Strategy: behind(newBigcache(t), 2*lag)}, cache.Store{Name: "slower", Strategy: behind(newBigcache(t), lag)},
			cache.Caches{"quick": {Store: "quick"}, "slow": {Store: "slow"}})
		ctx := t.Context()
		caches := map[string]*cache.Cache[int]{}
		for name, want := range map[string]time.Duration{"c": delay, "quick": 0, "slow": 2 * delay} {
			caches[name] = newCache(t, service, name, cache.Policy[int]{})
			takes(t, name+": Delete", want, func() error { return caches[name].Delete(ctx, "k") })
			takes(t, name+": Set", want, func() error { return caches[name].Set(ctx, "k", 1) })
		}
		takes(t, "InvalidateTags", 2*delay, func() error { return service.InvalidateTags(ctx, "tag") })
		takes(t, "Clear", 2*delay, func() error { return service.Clear(ctx) })
		takes(t, "a hundred calls at once", 2*delay, func() error {
			var calls sync.WaitGroup
			for range 50 {
				calls.Go(func() { _ = caches["slow"].Delete(ctx, "k") })
				calls.Go(func() { _ = service.InvalidateTags(ctx, "tag") })
			}
			calls.Wait()
			return nil
		})
		soon, cancel := context.WithTimeout(ctx, lag)
		defer cancel()
		var failed *cache.Error
		if err := service.Clear(soon); !errors.Is(err, cache.ErrNotPropagated) || !errors.As(err, &failed) || failed.Store != "" || failed.Op != "clear" {
			t.Errorf("Clear that does not wait: %v", err)
		}
	})
}

// While a storage is replaced, another node may be using either.
func TestPropagationDuringAHandover(t *testing.T) {
	t.Parallel()
	for _, lags := range [][2]time.Duration{{2 * lag, lag}, {lag, 2 * lag}} {
		synctest.Test(t, func(t *testing.T) {
			strategies := [2]*lagging{}
			for i, id := range []string{"one", "two"} {
				strategies[i] = behind(&client{server: newServer(t, id)}, lags[i])
			}
			s := newSwapping(t, strategies[0], shop)
			deletes := func(when string, want time.Duration) {
				t.Helper()
				takes(t, when+": Delete", want, func() error { return s.Delete(t.Context(), "k") })
				takes(t, when+": Set", want, func() error { return s.Set(t.Context(), "k", 1) })
			}
			deletes("before", lags[0]+lags[0]/10)
			s.to(strategies[1])
			deletes("announced", 2*delay)
			pass(handover)
			deletes("in use", 2*delay)
			pass(handover)
			deletes("after", lags[1]+lags[1]/10)
		})
	}
}

// If the context ends in the wait, the error says what is true: the change is applied, and nothing
// is pending or wrong with the storage.
func TestContextEndsInTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, _, strategy := startLagging(t, cache.Options{BreakerFailures: 1})
		c := newCache(t, service, "c", cache.Policy[int]{})
		for cause, within := range map[error]func() (context.Context, context.CancelFunc){
			context.DeadlineExceeded: func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(t.Context(), 40*time.Millisecond)
			},
			context.Canceled: func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(40*time.Millisecond, cancel)
				return ctx, cancel
			},
		} {
			for what := range changes(t.Context(), service, c, c) {
				ctx, cancel := within()
				began := time.Now()
				err := changes(ctx, service, c, c)[what]()
				var applied *cache.PropagationError
				var failed *cache.Error
				if !errors.As(err, &applied) || applied.For != 70*time.Millisecond || time.Since(began) != 40*time.Millisecond ||
					!errors.Is(err, cache.ErrNotPropagated) || !errors.Is(err, cause) || !errors.As(err, &failed) || failed.Store != "default" {
					t.Errorf("%s: %v after %v", what, err, time.Since(began))
				}
				if errors.Is(err, cache.ErrRevocationPending) || errors.Is(err, cache.ErrUnavailable) || service.Stats().PendingRevocations != 0 {
					t.Errorf("%s counts as a failure: %v", what, err)
				}
				cancel()
			}
		}
		// What was not waited for is applied, and the text says so.
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
		defer cancel()
		value, err := c.Update(ctx, "k", value(2))
		const text = "cache update (test): cache: applied, but maybe not noticed by every node yet: " +
			"other nodes may serve what was there before for up to 70ms longer: context deadline exceeded"
		if value != 2 || err == nil || err.Error() != text {
			t.Errorf("Update = %d, %v", value, err)
		}
		if v, found, err := c.Get(t.Context(), "k"); v != 2 || !found || err != nil {
			t.Errorf("after the Update: %d, %t, %v", v, found, err)
		}
		// A strategy that panics cannot say how long.
		strategy.broken.Store(true)
		var panicked *cache.PanicError
		var applied *cache.PropagationError
		if err := c.Delete(t.Context(), "k"); !errors.As(err, &panicked) || !errors.As(err, &applied) || applied.For != 0 || !strings.Contains(err.Error(), "not known") {
			t.Errorf("a Propagation that panics: %v", err)
		}
		if health := service.Health(t.Context()); len(health.Reasons) > 0 {
			t.Errorf("Health: %v", health.Reasons)
		}
	})
}

// The wait is no part of the operation on the storage, and nobody waits behind it.
func TestTheWaitHoldsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := startLagging(t, cache.Options{Timeout: time.Millisecond, BreakerFailures: 1, MaxConcurrentLoads: 1})
		c := newCache(t, service, "c", cache.Policy[int]{})
		updated := async(func() (int, error) { return c.Update(t.Context(), "k", value(1)) })
		deleted := async(func() (int, error) { return 0, c.Delete(t.Context(), "other") })
		synctest.Wait()
		takes(t, "a read of the updated key", 0, func() error {
			v, err := c.GetOrLoad(t.Context(), "k", unexpected[int](t))
			return errors.Join(err, must(v == 1, "the old value"))
		})
		takes(t, "a load of the deleted key", 0, func() error { _, err := c.GetOrLoad(t.Context(), "other", value(1)); return err })
		takes(t, "another Update of the key", delay, func() error { _, err := c.Update(t.Context(), "k", value(2)); return err })
		if n := recorder.Count(drivertest.OpFill); n != 3 {
			t.Errorf("%d fills: the second Update was not given the lease", n)
		}
		for _, call := range []<-chan outcome[int]{updated, deleted} {
			if got := <-call; got.err != nil {
				t.Error(got.err)
			}
		}
		// While the storage fails there is one place for loads, and the waiting ones have none.
		waiting := async(func() (int, error) { return c.Update(t.Context(), "k", value(3)) })
		synctest.Wait()
		recorder.FailNext(drivertest.OpGet, 1, errOutage)
		takes(t, "a load in an outage", 0, func() error { _, err := c.GetOrLoad(t.Context(), "new", value(1)); return err })
		if got := <-waiting; got.err != nil {
			t.Error(got.err)
		}
	})
}

// A new key is nowhere, so there is nothing to wait for. This concerns that call alone.
func TestNewKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, _, _ := startLagging(t, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		ctx := cache.WithNewKey(t.Context())
		takes(t, "Service.Set", 0, func() error { return service.Set(ctx, "new", 1, cache.SetOptions{}) })
		takes(t, "Set", 0, func() error { return c.Set(ctx, "new", 1) })
		takes(t, "SetMany", 0, func() error { return c.SetMany(ctx, map[string]int{"new": 1}) })
		takes(t, "Update", 0, func() error { _, err := c.Update(ctx, "new", value(1)); return err })
		takes(t, "Update in ReadThrough", 0, func() error {
			_, err := c.Update(cache.WithNewKey(cache.ReadThrough(t.Context())), "new", value(1))
			return err
		})
		for what, call := range map[string]func() error{
			"Service.Delete": func() error { return service.Delete(ctx, "old") },
			"Delete":         func() error { return c.Delete(ctx, "old") },
			"InvalidateTags": func() error { return c.InvalidateTags(ctx, "tag") },
			"Clear":          func() error { return service.Clear(ctx) },
		} {
			takes(t, what, delay, call)
		}
		var kept context.Context
		takes(t, "Set in the write", delay, func() error {
			_, err := c.Update(ctx, "new", func(ctx context.Context) (int, error) {
				kept = ctx
				return 1, c.Set(ctx, "old", 1)
			})
			return err
		})
		takes(t, "Set after the write, with its context", delay, func() error { return c.Set(kept, "old", 1) })
		takes(t, "Set in a load", delay, func() error {
			_, err := c.GetOrLoad(ctx, "loaded", func(ctx context.Context) (int, error) { return 1, c.Set(ctx, "old", 1) })
			return err
		})
	})
}
