package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// changes are the calls that end what other nodes may have in their memory.
func changes(ctx context.Context, service *cache.Service, c, refusing *cache.Cache[int]) map[string]func() error {
	keys, values := make([]string, 100), make(map[string]int, 100)
	for i := range keys {
		keys[i] = fmt.Sprint("k", i)
		values[keys[i]] = i
	}
	update := func(ctx context.Context, c *cache.Cache[int], write func(context.Context) (int, error)) error {
		_, err := c.Update(ctx, "k", write)
		return err
	}
	return map[string]func() error{
		"Service.Set":                 func() error { return service.Set(ctx, "k", 1, cache.SetOptions{}) },
		"Service.Delete":              func() error { return service.Delete(ctx, "k") },
		"Service.Delete of 100":       func() error { return service.Delete(ctx, keys...) },
		"Service.InvalidateTags":      func() error { return service.InvalidateTags(ctx, "a", "b") },
		"Clear":                       func() error { return service.Clear(ctx) },
		"Set":                         func() error { return c.Set(ctx, "k", 1) },
		"Set that stores nothing":     func() error { return refusing.Set(ctx, "k", 1) },
		"SetMany":                     func() error { return c.SetMany(ctx, values) },
		"SetMany that stores nothing": func() error { return refusing.SetMany(ctx, values) },
		"Delete":                      func() error { return c.Delete(ctx, "k") },
		"Delete of 100":               func() error { return c.Delete(ctx, keys...) },
		"InvalidateTags":              func() error { return c.InvalidateTags(ctx, "a") },
		"Update":                      func() error { return update(ctx, c, value(1)) },
		"Update that stores nothing":  func() error { return update(ctx, refusing, value(1)) },
		"Set in ReadThrough":          func() error { return c.Set(cache.ReadThrough(ctx), "k", 1) },
		"Update in ReadThrough":       func() error { return update(cache.ReadThrough(ctx), c, value(1)) },
	}
}

// Each call waits once for the other nodes, however much it changes, and whatever was stored. The
// entry may be gone from the storage, and still be in the memory of another node.
func TestEveryChangeWaitsOnce(t *testing.T) {
	t.Parallel()
	strategies := map[string]func(testing.TB) driver.Strategy{
		"leases": func(t testing.TB) driver.Strategy { return behind(newBigcache(t), lag) },
		"fence":  func(testing.TB) driver.Strategy { return behind(new(table), lag) },
		"guard":  func(testing.TB) driver.Strategy { return behind(slow(0), lag) },
		"recorded": func(t testing.TB) driver.Strategy {
			recorded, _ := drivertest.Record(behind(newBigcache(t), lag))
			return recorded
		},
	}
	for name, strategy := range strategies {
		synctest.Test(t, func(t *testing.T) {
			service := start(t, strategy(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{Tags: []string{"a"}})
			refusing := newCache(t, service, "refusing", cache.Policy[int]{TTLOf: func(int) time.Duration { return -1 }})
			for what, change := range changes(t.Context(), service, c, refusing) {
				takes(t, name+", "+what+" of nothing", delay, change)
				for range 2 {
					takes(t, name+", "+what, delay, change)
				}
			}
		})
	}
}

// With a strategy that says nothing of it, or 0, nothing waits, and nothing is allocated for it.
func TestNoPropagation(t *testing.T) {
	t.Parallel()
	for _, strategy := range []func() driver.Strategy{
		func() driver.Strategy { return newBigcache(t) },
		func() driver.Strategy { return behind(newBigcache(t), 0) },
		func() driver.Strategy { return behind(newBigcache(t), -time.Second) },
	} {
		synctest.Test(t, func(t *testing.T) {
			service := start(t, strategy(), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{})
			refusing := newCache(t, service, "refusing", cache.Policy[int]{TTLOf: func(int) time.Duration { return -1 }})
			for what, change := range changes(t.Context(), service, c, refusing) {
				takes(t, what, 0, change)
			}
		})
	}
}

//nolint:paralleltest // AllocsPerRun counts those of all goroutines
func TestNoPropagationAllocatesNothing(t *testing.T) {
	for name, strategy := range map[string]driver.Strategy{"none": newBigcache(t), "0": behind(newBigcache(t), 0)} {
		service := start(t, strategy, cache.Options{})
		if n := testing.AllocsPerRun(100, func() { _ = cache.Propagated(t.Context(), service) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// Reads, what they store, and what the Service does by itself never wait.
func TestNothingElseWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, strategy := startLagging(t, cache.Options{MaxConcurrentLoads: 1})
		ctx := t.Context()
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute, StaleFor: time.Hour, NegativeTTL: time.Minute})
		load := func(key string, load func(context.Context) (int, error)) func() error {
			return func() error { _, err := c.GetOrLoad(ctx, key, load); return err }
		}
		loadMany := func() error {
			_, err := c.GetOrLoadMany(ctx, []string{"x", "y"}, func(context.Context, []string) (map[string]int, error) {
				return map[string]int{"x": 1}, nil
			})
			return err
		}
		takes(t, "a load", 0, load("k", value(1)))
		takes(t, "a load of many", 0, loadMany)
		takes(t, "a hit", 0, load("k", unexpected[int](t)))
		takes(t, "Get", 0, func() error { _, _, err := c.Get(ctx, "k"); return err })
		takes(t, "GetMany", 0, func() error { _, err := c.GetMany(ctx, "k", "x"); return err })
		takes(t, "Delete of no keys", 0, func() error { return errors.Join(c.Delete(ctx), service.Delete(ctx)) })
		takes(t, "InvalidateTags of no tags", 0, func() error { return service.InvalidateTags(ctx) })
		takes(t, "SetMany of nothing", 0, func() error { return c.SetMany(ctx, nil) })
		// Refreshes leave their place at once: there is but one.
		pass(2 * time.Minute)
		for _, key := range []string{"k", "x"} {
			takes(t, "a stale hit", 0, load(key, value(2)))
			takes(t, "its refresh", 0, func() error { synctest.Wait(); return nil })
			takes(t, "what was refreshed", 0, func() error {
				v, found, err := c.Get(ctx, key)
				return errors.Join(err, must(found && v == 2, "not refreshed"))
			})
		}
		// A refresh that finds nothing deletes, and so does who finds a damaged entry.
		forgetful := newCache(t, service, "forgetful", cache.Policy[int]{TTL: time.Minute, StaleFor: time.Hour})
		again := func(load func(context.Context) (int, error)) func() error {
			return func() error { _, err := forgetful.GetOrLoad(ctx, "k", load); return err }
		}
		takes(t, "a load", 0, again(value(1)))
		pass(2 * time.Minute)
		recorder.Reset()
		takes(t, "a stale hit", 0, again(func(context.Context) (int, error) { return 0, cache.ErrNotFound }))
		takes(t, "its refresh", 0, func() error { synctest.Wait(); return nil })
		if err := strategy.Set(ctx, "app:c:damaged", nil, cache.SetOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		takes(t, "a damaged entry", 0, func() error { _, _, err := c.Get(ctx, "damaged"); return err })
		if n := recorder.Count(drivertest.OpDelete); n != 2 {
			t.Errorf("%d deletions, want those of the refresh and of the damaged entry", n)
		}
		// What fails returns at once, and is applied later without anybody waiting for it.
		recorder.FailNext(drivertest.OpDelete, 1, errOutage)
		takes(t, "a Delete that fails", 0, func() error {
			var pending *cache.PendingError
			return must(errors.As(c.Delete(ctx, "k"), &pending), "not pending")
		})
		takes(t, "what is pending", 0, func() error {
			_, _, err := c.Get(ctx, "k")
			return errors.Join(err, must(service.Stats().PendingRevocations == 0, "still pending"))
		})
	})
}
