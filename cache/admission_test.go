package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// full returns a cache on a storage that fails. A loader has the only place of its Service until
// leave is called.
func full(t *testing.T) (service *cache.Service, c *cache.Cache[int], leave func()) {
	strategy := newFragile(t)
	strategy.others.Store(true)
	service = start(t, strategy, cache.Options{MaxConcurrentLoads: 1})
	c = newCache(t, service, "pages", cache.Policy[int]{})
	hold := make(chan struct{})
	slow := async(func() (int, error) {
		return c.GetOrLoad(t.Context(), "slow", func(context.Context) (int, error) { <-hold; return 0, nil })
	})
	synctest.Wait()
	return service, c, func() { close(hold); <-slow }
}

// Loads that wait for a place run in the order in which they came. Loads that nobody waits for any
// more are skipped.
func TestLoadsWaitInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, c, leave := full(t)
		var mu sync.Mutex
		var order []int
		var calls []<-chan outcome[int]
		impatient, goAway := context.WithCancel(t.Context())
		for i := range 6 {
			ctx := t.Context()
			if i%3 == 1 {
				ctx = impatient
			}
			calls = append(calls, async(func() (int, error) {
				return c.GetOrLoad(ctx, fmt.Sprint(i), func(context.Context) (int, error) {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, i)
					return i, nil
				})
			}))
			synctest.Wait()
		}
		goAway()
		synctest.Wait()
		leave()
		for i, call := range calls {
			if got := <-call; i%3 == 1 && !errors.Is(got.err, context.Canceled) || i%3 != 1 && (got.value != i || got.err != nil) {
				t.Errorf("caller %d got %v, %v", i, got.value, got.err)
			}
		}
		if !slices.Equal(order, []int{0, 2, 3, 5}) {
			t.Errorf("the loads ran in the order %v", order)
		}
		if stats := service.Stats(); stats.WaitedLoads != 6 || stats.RejectedLoads != 2 {
			t.Errorf("%d waited, %d of them in vain", stats.WaitedLoads, stats.RejectedLoads)
		}
	})
}

// Callers of one key wait together. If one leaves, the others go on waiting.
func TestWaitingLoadIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c, leave := full(t)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := async(func() (int, error) { return c.GetOrLoad(short, "k", value(1)) })
		synctest.Wait()
		second := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", value(1)) })
		if got := <-first; !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("the first got %v, %v", got.value, got.err)
		}
		leave()
		if got := <-second; got.value != 1 || got.err != nil {
			t.Errorf("the second got %v, %v", got.value, got.err)
		}
	})
}

// A caller without a deadline does not wait for ever.
func TestLoadWaitsNoLongerThanThat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c, leave := full(t)
		began := time.Now()
		_, err := c.GetOrLoad(t.Context(), "k", value(1))
		if took := time.Since(began); !errors.Is(err, cache.ErrOverloaded) || !errors.Is(err, cache.ErrUnavailable) || took != 10*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		leave()
		if got, err := c.GetOrLoad(t.Context(), "k", value(1)); got != 1 || err != nil {
			t.Errorf("afterwards: %v, %v", got, err)
		}
	})
}

// A load within another load needs no place of its own, whatever its cache: all places could be
// held by loads that wait for a place. A load that outlives the outer one needs a place.
func TestLoadWithinLoadNeedsNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy := newFragile(t)
		strategy.others.Store(true)
		service := start(t, strategy, cache.Options{MaxConcurrentLoads: 1})
		pages := newCache(t, service, "pages", cache.Policy[int]{})
		sessions := newCache(t, service, "sessions", cache.Policy[int]{Reserved: true})
		began := time.Now()
		var kept context.Context
		got, err := pages.GetOrLoad(t.Context(), "outer", func(ctx context.Context) (int, error) {
			kept = context.WithoutCancel(ctx)
			return sessions.GetOrLoad(ctx, "middle", func(ctx context.Context) (int, error) {
				return pages.GetOrLoad(ctx, "inner", value(1))
			})
		})
		if got != 1 || err != nil || time.Since(began) != 0 {
			t.Errorf("%v, %v after %v", got, err, time.Since(began))
		}
		hold := make(chan struct{})
		held := async(func() (int, error) {
			return pages.GetOrLoad(t.Context(), "held", func(context.Context) (int, error) { <-hold; return 1, nil })
		})
		synctest.Wait()
		if got, err := pages.GetOrLoad(kept, "k", value(1)); !errors.Is(err, cache.ErrOverloaded) {
			t.Errorf("with the context of a load that has ended: %v, %v", got, err)
		}
		close(hold)
		<-held
	})
}

// Loads of reserved caches and of other caches do not take each other's places.
func TestReservedPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, pages, leave := full(t)
		sessions := newCache(t, service, "sessions", cache.Policy[int]{Reserved: true})
		began := time.Now()
		hold := make(chan struct{})
		held := async(func() (int, error) {
			return sessions.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { <-hold; return 1, nil })
		})
		synctest.Wait()
		leave()
		if got, err := pages.GetOrLoad(t.Context(), "k", value(1)); got != 1 || err != nil {
			t.Errorf("pages: %v, %v", got, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := sessions.GetOrLoad(ctx, "other", value(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second session got %v", err)
		}
		close(hold)
		if got := <-held; got.value != 1 || got.err != nil || time.Since(began) != time.Second {
			t.Errorf("the first one got %v, %v", got.value, got.err)
		}
	})
}

// The same holds for loads in the background.
func TestReservedRefreshes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, newBigcache(t), cache.Options{MaxConcurrentLoads: 1})
		policy := stale()
		pages := newCache(t, service, "pages", policy)
		policy.Reserved = true
		sessions := newCache(t, service, "sessions", policy)
		for _, c := range []*cache.Cache[int]{pages, sessions} {
			if err := c.Set(t.Context(), "k", 1); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		hold := make(chan struct{})
		defer close(hold)
		for i, c := range []*cache.Cache[int]{pages, sessions} {
			if got, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { <-hold; return 2, nil }); got != 1 || err != nil {
				t.Errorf("%v, %v", got, err)
			}
			synctest.Wait()
			if n := service.Stats().Refreshes; n != uint64(i)+1 {
				t.Errorf("%d refreshes run, want %d", n, i+1)
			}
		}
	})
}
