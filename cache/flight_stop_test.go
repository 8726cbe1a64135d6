package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/strategies/noop"
)

// Stop cancels running loads, and their callers get an error. Stop returns when its own context
// ends, even if a loader does not end.
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

// After a Stop that gave up on a loader, the Service can start again. The old load disturbs nobody.
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

// A load that Stop gave up on ends while the next run of the Service is already loading. The two
// runs must not share their accounting: a reused sync.WaitGroup panics.
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
