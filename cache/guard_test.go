package cache_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// Every operation ends at its deadline, whatever the strategy does after that: panic, too, or end
// its goroutine. One that is quicker has its answer.
func TestGuardBoundsEveryOperation(t *testing.T) {
	t.Parallel()
	ends := map[string]func(){"returns": func() {}, "panics": func() { panic("late") }, "exits": runtime.Goexit}
	for name := range every(deafParts{slow(0)}) {
		for how, end := range ends {
			synctest.Test(t, func(t *testing.T) {
				inner := deafParts{slow(0)}
				inner.wait = func(string) { <-time.After(time.Hour); end() }
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				begin := time.Now()
				ok, err := every(cache.Guarded(inner, limit))[name](ctx)
				if took := time.Since(begin); took != limit || ok {
					t.Errorf("%s, which %s late: %t, %v after %v", name, how, ok, err, took)
				}
				if noError := name == "Notify" || name == "StorageID" || name == "Location"; !noError && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s, which %s late: %v", name, how, err)
				}
				<-time.After(3 * time.Hour) // a release follows
				if n := inner.leases.Load(); n > 0 {
					t.Errorf("%s, which %s late: %d leases are held by nobody", name, how, n)
				}
				if n := inner.opened.Load(); n > 0 {
					t.Errorf("%s, which %s late: stays open", name, how)
				}
			})
		}
		synctest.Test(t, func(t *testing.T) {
			inner := deafParts{slow(limit - 1)}
			inner.filled.Store(true)
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if ok, err := every(cache.Guarded(inner, limit))[name](ctx); !ok || err != nil {
				t.Errorf("%s in time: %t, %v", name, ok, err)
			}
			ended, end := context.WithCancel(t.Context())
			end()
			if ok, err := every(cache.Guarded(inner, limit))[name](ended); !errors.Is(err, context.Canceled) && name != "Notify" && name != "StorageID" && name != "Location" {
				t.Errorf("%s with an ended context: %t, %v", name, ok, err)
			}
		})
	}
	// No optional part is forgotten here. Guarded takes Near away, and the others never wait.
	f := reflect.ValueOf(driver.FeaturesOf(cache.Guarded(deafParts{slow(0)}, limit)))
	for i := range f.NumField() {
		if part := f.Type().Field(i); part.Type.Kind() == reflect.Interface && f.Field(i).IsNil() && part.Name != "LeaseLimiter" && part.Name != "Limiter" && part.Name != "Propagator" && part.Name != "Near" {
			t.Errorf("the test has no %s", part.Name)
		}
	}
}

// A caller waits for one timeout, and not for what the strategy does.
func TestDeafStrategyCostsATimeout(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *cache.Service, *cache.Cache[int]) error{
		"Get": func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error {
			_, err := s.Get(ctx, "k", new(int))
			return err
		},
		"GetMany": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
			_, err := c.GetMany(ctx, "k")
			return err
		},
		"Set":    func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Set(ctx, "k", 1) },
		"Delete": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Delete(ctx, "k") },
		"InvalidateTags": func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error {
			return s.InvalidateTags(ctx, "t")
		},
		"GetOrLoad": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
			got, err := c.GetOrLoad(ctx, "k", value(1))
			if got != 1 || err != nil {
				return fmt.Errorf("GetOrLoad = %d, %w", got, err)
			}
			return cache.ErrUnavailable // as the others
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			storage := slow(0)
			var slowly atomic.Bool
			slowly.Store(true)
			storage.wait = func(string) {
				if slowly.Load() {
					<-time.After(3 * time.Second)
				}
			}
			service := start(t, storage, cache.Options{Timeout: limit})
			c := newCache(t, service, "c", cache.Policy[int]{})
			begin := time.Now()
			err := call(t.Context(), service, c)
			if took := time.Since(begin); took != limit || !errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("%s: %v after %v, want ErrUnavailable after %v", name, err, took, limit)
			}
			slowly.Store(false)
			<-time.After(time.Minute)
		})
	}
}

// A write that was given up comes late, after something that its caller, or another one, was told
// is done. From then on nobody gets what it has written.
func TestLateWriteIsNoStaleEntry(t *testing.T) {
	t.Parallel()
	writes := map[string]func(context.Context, *cache.Cache[int]) error{
		"Set": func(ctx context.Context, c *cache.Cache[int]) error { return c.Set(ctx, "k", 1) },
		"SetMany": func(ctx context.Context, c *cache.Cache[int]) error {
			return c.SetMany(ctx, map[string]int{"k": 1})
		},
		"Update": func(ctx context.Context, c *cache.Cache[int]) error {
			_, err := c.Update(ctx, "k", value(1))
			return err
		},
		"GetOrLoad": func(ctx context.Context, c *cache.Cache[int]) error {
			_, err := c.GetOrLoad(ctx, "k", value(1))
			return err
		},
	}
	revocations := map[string]func(context.Context, *cache.Service, *cache.Cache[int]) error{
		"Delete": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Delete(ctx, "k") },
		"InvalidateTags": func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error {
			return s.InvalidateTags(ctx, "t")
		},
		"Clear": func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error { return s.Clear(ctx) },
		"Set":   func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Set(ctx, "k", 2) },
	}
	for write, begin := range writes {
		for revocation, revoke := range revocations {
			for _, after := range []time.Duration{0, limit / 2, limit, 2 * limit} {
				synctest.Test(t, func(t *testing.T) {
					var held atomic.Bool
					storage := slow(0)
					storage.wait = func(operation string) {
						if operation == "Set" && held.CompareAndSwap(true, false) {
							<-time.After(time.Minute)
						}
					}
					service := start(t, storage, cache.Options{Timeout: limit})
					c := newCache(t, service, "c", cache.Policy[int]{Tags: []string{"t"}})
					held.Store(true)
					writing := async(func() (int, error) { return 0, begin(t.Context(), c) })
					synctest.Wait()
					<-time.After(after)
					err := revoke(t.Context(), service, c)
					<-writing
					<-time.After(2 * limit)
					if got, found, _ := c.Get(t.Context(), "k"); found && got == 1 {
						t.Errorf("%s is under way, %s = %v after %v: a hit", write, revocation, err, after)
					}
					<-time.After(2 * time.Minute) // by now it has come, and what is pending is applied
					got, found, failure := c.Get(t.Context(), "k")
					if failure != nil || found && got == 1 && (revocation != "Set" || err == nil) {
						t.Errorf("%s came late, after %s = %v: %d, %t, %v", write, revocation, err, got, found, failure)
					}
					if err := c.Set(t.Context(), "k", 3); err != nil {
						t.Errorf("%s came late, after %s: then Set = %v", write, revocation, err)
					}
				})
			}
		}
	}
}

// A revocation of other entries does not wait for a write that hangs.
func TestLateWriteConcernsItsEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := slow(0)
		service := start(t, storage, cache.Options{Timeout: limit})
		c := newCache(t, service, "c", cache.Policy[int]{Tags: []string{"t"}})
		if err := c.Set(t.Context(), "good", 1); err != nil {
			t.Fatal(err)
		}
		storage.wait = func(operation string) {
			if operation == "Set" {
				<-time.After(time.Minute)
			}
		}
		if err := c.Set(t.Context(), "k", 1); !errors.Is(err, cache.ErrUnavailable) {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := errors.Join(c.Delete(t.Context(), "other"), service.InvalidateTags(t.Context(), "other")); err != nil || time.Since(begin) > 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if _, found, err := c.Get(t.Context(), "good"); !found || err != nil {
			t.Errorf("another entry: %t, %v", found, err)
		}
		<-time.After(2 * time.Minute)
	})
}

// However many callers there are, a strategy that hangs holds so many goroutines. Callers beyond
// that are refused at once, and revocations are not among them. When it is back, all is as before.
func TestGuardedGoroutinesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		var under, most atomic.Int64
		storage := slow(0)
		storage.wait = func(operation string) {
			if n := under.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer under.Add(-1)
			if operation != "Delete" {
				<-hangs
			}
		}
		guarded := cache.Guarded(storage, limit)
		var callers sync.WaitGroup
		for range 5000 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				if _, _, err := guarded.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Get: %v", err)
				}
			})
		}
		callers.Wait()
		if n := most.Load(); n != 1024 {
			t.Errorf("%d operations at once", n)
		}
		begin := time.Now()
		if _, _, err := guarded.Get(t.Context(), "k"); !errors.Is(err, cache.ErrUnavailable) || !strings.Contains(err.Error(), "ignores its context") || time.Since(begin) > 0 {
			t.Errorf("one more: %v after %v", err, time.Since(begin))
		}
		if err := guarded.Delete(t.Context(), "k"); err != nil {
			t.Errorf("Delete: %v", err)
		}
		close(hangs)
		synctest.Wait()
		if _, _, err := guarded.Get(t.Context(), "k"); err != nil || under.Load() > 0 {
			t.Errorf("after that: %v, %d under way", err, under.Load())
		}
	})
}

// Start and Stop end with their contexts. What was given up is not used again before it has ended.
func TestDeafLifecycle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := deafParts{slow(time.Minute)}
		service := newService(t, storage, cache.Options{Timeout: limit, Namespace: "shop"})
		within := func(d time.Duration, what string, call func(context.Context) error) error {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			begin := time.Now()
			err := call(ctx)
			if took := time.Since(begin); took > d {
				t.Errorf("%s took %v", what, took)
			}
			return err
		}
		up := func(ctx context.Context) error { return service.Start(ctx, nil) }
		for _, again := range []string{"Start", "another Start"} {
			if err := within(time.Second, again, up); err == nil {
				t.Errorf("%s: no error", again)
			}
		}
		<-time.After(3 * time.Minute)
		if n := storage.opened.Load(); n != 0 {
			t.Errorf("%d are open after a Start that failed", n)
		}
		if err := within(2*time.Minute, "Start", up); err != nil {
			t.Fatal(err)
		}
		_, _ = service.Get(t.Context(), "k", new(int))
		if err := within(time.Second, "Stop", service.Stop); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		<-time.After(2 * time.Minute)
	})
}
