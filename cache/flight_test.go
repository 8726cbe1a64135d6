package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

type callerKey struct{}

// V2: any number of concurrent misses causes one load.
func TestOneLoadForAll(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, callers := range []int{100, 1000} {
			t.Run(fmt.Sprint(kind.name, "/", callers), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					service := start(t, kind.make(t), cache.Options{})
					c := newCache(t, service, "c", cache.Policy[int]{})
					var loads atomic.Int32
					release := make(chan struct{})
					load := func(context.Context) (int, error) {
						<-release
						return int(loads.Add(1)), nil
					}
					var calls []<-chan outcome[int]
					for range callers {
						calls = append(calls, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) }))
					}
					synctest.Wait()
					close(release)
					for _, call := range calls {
						if got := <-call; got.err != nil || kind.stores && got.value != 1 {
							t.Fatalf("got %+v", got)
						}
					}
					// If nothing can be stored, callers that came after the read had begun need a
					// second load.
					limit := int32(1)
					if !kind.stores {
						limit = 2
					}
					if n := loads.Load(); n > limit {
						t.Errorf("%d loads, want at most %d", n, limit)
					}
					stats := service.Stats()
					if stats.SharedLoads != uint64(callers-1) || stats.Loads != uint64(loads.Load()) {
						t.Errorf("%+v", stats)
					}
				})
			})
		}
	}
}

// A caller whose context ends returns at once. The load goes on for the others.
func TestFirstCallerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{})
		release := make(chan struct{})
		load := func(ctx context.Context) (int, error) {
			select {
			case <-release:
				return ctx.Value(callerKey{}).(int), nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), callerKey{}, 7), time.Second)
		defer cancel()
		began := time.Now()
		first := async(func() (int, error) { return c.GetOrLoad(ctx, "k", load) })
		synctest.Wait()
		second := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", unexpected[int](t)) })
		got := <-first
		var wrapped *cache.Error
		if !errors.Is(got.err, context.DeadlineExceeded) || !errors.As(got.err, &wrapped) || errors.Is(got.err, cache.ErrUnavailable) {
			t.Errorf("the first caller got %v", got.err)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("the first caller returned after %v, want 1s", d)
		}
		synctest.Wait()
		close(release)
		if got := <-second; got.value != 7 || got.err != nil {
			t.Errorf("the second caller got %+v, want 7: the loader has the first caller's values", got)
		}
	})
}

// If nobody is left, the load is cancelled. A caller that comes later starts a new one.
func TestAllCallersLeave(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, start(t, kind.make(t), cache.Options{}), "c", cache.Policy[int]{})
				ctx, cancel := context.WithCancel(t.Context())
				release := make(chan struct{})
				var ended error
				stubborn := func(ctx context.Context) (int, error) {
					<-ctx.Done()
					ended = ctx.Err()
					<-release
					return 1, nil
				}
				first := async(func() (int, error) { return c.GetOrLoad(ctx, "k", stubborn) })
				synctest.Wait()
				second := async(func() (int, error) { return c.GetOrLoad(ctx, "k", stubborn) })
				synctest.Wait()
				cancel()
				for _, call := range []<-chan outcome[int]{first, second} {
					if got := <-call; !errors.Is(got.err, context.Canceled) {
						t.Errorf("got %+v", got)
					}
				}
				synctest.Wait()
				if ended == nil {
					t.Error("the load was not cancelled")
				}
				// The first load is still there, and holds the lease.
				third := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", value(3)) })
				if got := <-third; got.value != 3 || got.err != nil {
					t.Errorf("a later caller got %+v", got)
				}
				close(release)
			})
		})
	}
}

// All callers leave while the flight still waits for the storage. That is not a failure of the
// storage, after which the loader would run for nobody.
func TestAllCallersLeaveBeforeTheLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		defer recorder.Block(drivertest.OpGetOrLease)()
		ctx, cancel := context.WithCancel(t.Context())
		call := async(func() (int, error) { return c.GetOrLoad(ctx, "k", unexpected[int](t)) })
		synctest.Wait()
		if recorder.Count(drivertest.OpGetOrLease) != 1 {
			t.Error("it does not ask the storage")
		}
		cancel()
		if got := <-call; !errors.Is(got.err, context.Canceled) {
			t.Errorf("got %+v", got)
		}
		synctest.Wait()
		if stats := service.Stats(); stats.Loads != 0 {
			t.Errorf("%d loads, want none", stats.Loads)
		}
	})
}

// A panic or runtime.Goexit in the loader reaches every waiter as an error and leaves nothing
// locked.
func TestLoaderBreaks(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, test := range []struct {
		name string
		end  func()
		is   error
	}{
		{"panic", func() { panic("secret-in-panic") }, nil},
		{"panic with an error", func() { panic(boom) }, boom},
		{"nil panic", func() { panic(nil) }, nil},               //nolint:govet // what a loader may do
		{"nil dereference", func() { var p *int; *p = 1 }, nil}, //nolint:govet // what a loader may do
		{"Goexit", runtime.Goexit, nil},
	} {
		for _, kind := range kinds {
			t.Run(test.name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					service, recorder, _ := record(t, kind.make(t), cache.Options{})
					c := newCache(t, service, "c", cache.Policy[int]{})
					release := make(chan struct{})
					load := func(context.Context) (int, error) {
						<-release
						test.end()
						return 1, nil
					}
					var calls []<-chan outcome[int]
					for range 3 {
						calls = append(calls, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) }))
					}
					synctest.Wait()
					close(release)
					for _, call := range calls {
						got := <-call
						var broken *cache.PanicError
						if !errors.As(got.err, &broken) || test.is != nil && !errors.Is(got.err, test.is) {
							t.Fatalf("got %+v, want a PanicError", got)
						}
						if fmt.Sprint(got.err) == "" || got.value != 0 {
							t.Errorf("got %+v", got)
						}
					}
					if kind.name != "fence" && recorder.Count(drivertest.OpRelease) == 0 {
						t.Error("the lease was not released")
					}
					began := time.Now()
					got, err := c.GetOrLoad(t.Context(), "k", value(2))
					if got != 2 || err != nil || time.Since(began) != 0 {
						t.Errorf("the next call: %v, %v after %v", got, err, time.Since(began))
					}
					if stats := service.Stats(); stats.Loads != stats.LoadErrors+1 {
						t.Errorf("a broken load is a failed one: %+v", stats)
					}
				})
			})
		}
	}
}

// The loader's error comes back as it is, to all callers that may have it, and nothing is stored.
func TestLoaderFails(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{errors.New("no such table"), cache.ErrNotFound, fmt.Errorf("user: %w", cache.ErrNotFound)} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[*int]{})
			release := make(chan struct{})
			load := func(context.Context) (*int, error) {
				<-release
				return new(int), failure
			}
			// The first call waits for the lease, so that the others join before the load begins.
			unblock := recorder.Block(drivertest.OpGetOrLease)
			var calls []<-chan outcome[*int]
			for range 3 {
				calls = append(calls, async(func() (*int, error) { return c.GetOrLoad(t.Context(), "k", load) }))
			}
			synctest.Wait()
			unblock()
			close(release)
			seen := map[*int]bool{}
			for _, call := range calls {
				got := <-call
				if got.err != failure { //nolint:errorlint // as it is, not wrapped
					t.Errorf("got %v, want %v itself", got.err, failure)
				}
				if got.value != nil && seen[got.value] {
					t.Error("V14: two callers share a value")
				}
				seen[got.value] = true
			}
			if n := service.Stats().Loads; n != 1 {
				t.Errorf("%d loads", n)
			}
			if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
				t.Errorf("something was stored: %v, %v", found, err)
			}
			if recorder.Count(drivertest.OpFill) != 0 || recorder.Count(drivertest.OpRelease) != 1 {
				t.Error("the lease was not released unused")
			}
		})
	}
}
