package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/cache/refreshing"
	"github.com/fxcache/fxcache/cache/requestscope"
)

type loader = func(context.Context) (int, error)

// detours are the ways by which a loader can ask for the key that it loads. find is a load of the
// key itself.
var detours = []struct {
	name string
	find func(t testing.TB, ctx context.Context, service *cache.Service, find loader) (int, error)
}{
	{"at once", func(_ testing.TB, ctx context.Context, _ *cache.Service, find loader) (int, error) { return find(ctx) }},
	{"WithoutCancel", func(_ testing.TB, ctx context.Context, _ *cache.Service, find loader) (int, error) {
		return find(context.WithoutCancel(ctx))
	}},
	{"a goroutine", func(_ testing.TB, ctx context.Context, _ *cache.Service, find loader) (int, error) {
		got := <-async(func() (int, error) { return find(ctx) })
		return got.value, got.err
	}},
	{"another key", func(t testing.TB, ctx context.Context, service *cache.Service, find loader) (int, error) {
		return again(t, service).GetOrLoad(ctx, "other", find)
	}},
	{"another cache", func(t testing.TB, ctx context.Context, service *cache.Service, find loader) (int, error) {
		return newCache(t, service, "other", cache.Policy[int]{}).GetOrLoad(ctx, "k", find)
	}},
	{"an Update of another key", func(t testing.TB, ctx context.Context, service *cache.Service, find loader) (int, error) {
		return again(t, service).Update(ctx, "other", find)
	}},
	{"a Refreshing", func(t testing.TB, ctx context.Context, _ *cache.Service, find loader) (int, error) {
		return newRefreshing(t, find, refreshing.Options{}).Get(ctx)
	}},
	{"Derive", func(t testing.TB, ctx context.Context, _ *cache.Service, find loader) (int, error) {
		r := newRefreshing(t, value(1), refreshing.Options{})
		return refreshing.Derive(ctx, r, "k", func(ctx context.Context, _ int) (int, error) { return find(ctx) })
	}},
	{"a Memo", func(_ testing.TB, ctx context.Context, _ *cache.Service, find loader) (int, error) {
		return requestscope.Memo(requestscope.With(ctx), "k", find)
	}},
	{"a transaction", func(_ testing.TB, ctx context.Context, _ *cache.Service, find loader) (int, error) {
		return find(cache.ReadThrough(ctx))
	}},
}

// again returns another Cache with the name "c" and the same policy.
func again(t testing.TB, service *cache.Service) *cache.Cache[int] {
	t.Helper()
	if c, err := cache.New(service, "c", cache.Policy[int]{}); err == nil {
		return c
	}
	policy := stale()
	policy.EarlyRefresh = 1
	return newCache(t, service, "c", policy)
}

// A loader that asks for its own key gets an error at once, whichever way it takes. The key is
// still usable.
func TestLoaderReachesItself(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, detour := range detours {
			t.Run(kind.name+"/"+detour.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					service := start(t, kind.make(t), cache.Options{})
					c, again := newCache(t, service, "c", cache.Policy[int]{}), newCache(t, service, "c", cache.Policy[int]{})
					began, loads := time.Now(), 0
					_, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
						loads++
						return detour.find(t, ctx, service, func(ctx context.Context) (int, error) {
							return again.GetOrLoad(ctx, "k", unexpected[int](t))
						})
					})
					if !errors.Is(err, cache.ErrRecursiveLoad) || loads != 1 {
						t.Errorf("%d loads, and then: %v", loads, err)
					}
					want(t, 7)(c.GetOrLoad(t.Context(), "k", value(7)))
					if took := time.Since(began); took != 0 {
						t.Errorf("it took %v", took)
					}
				})
			})
		}
	}
}

// A cycle in the data, for example a tree whose root has a parent, is an error. Its keys are still
// usable.
func TestCycleOfLoads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{})
		began := time.Now()
		parent := map[string]string{"a": "b", "b": "c", "c": "a"}
		var depth func(ctx context.Context, key string) (int, error)
		depth = func(ctx context.Context, key string) (int, error) {
			return c.GetOrLoad(ctx, key, func(ctx context.Context) (int, error) {
				n, err := depth(ctx, parent[key])
				return n + 1, err
			})
		}
		wantError[int](t, cache.ErrRecursiveLoad)(depth(t.Context(), "a"))
		parent["b"] = "root"
		want(t, 0)(c.GetOrLoad(t.Context(), "root", value(0)))
		want(t, 2)(depth(t.Context(), "a"))
		want(t, 3)(depth(t.Context(), "c"))
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// A loader may go on without the value that it cannot have. Its own value is stored.
func TestLoaderRecovers(t *testing.T) {
	t.Parallel()
	c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{})
	want(t, 5)(c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
		if _, err := c.GetOrLoad(ctx, "k", unexpected[int](t)); !errors.Is(err, cache.ErrRecursiveLoad) {
			t.Errorf("got %v", err)
		}
		return 5, nil
	}))
	want(t, 5)(c.GetOrLoad(t.Context(), "k", unexpected[int](t)))
}

// A recursive load fails only the caller that is in the recursion, not the others that wait for the
// same flight.
func TestRecursionIsNobodyElsesFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		// so that all have joined when the load begins
		unblock := recorder.Block(drivertest.OpGetOrLease)
		first := async(func() (int, error) {
			return c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
				return c.GetOrLoad(ctx, "k", unexpected[int](t))
			})
		})
		synctest.Wait()
		var unrelated []<-chan outcome[int]
		for range 3 {
			unrelated = append(unrelated, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", value(7)) }))
		}
		synctest.Wait()
		unblock()
		if got := <-first; !errors.Is(got.err, cache.ErrRecursiveLoad) {
			t.Errorf("the first: %+v", got)
		}
		for _, other := range unrelated {
			if got := <-other; got.value != 7 || got.err != nil {
				t.Errorf("an unrelated caller: %+v", got)
			}
		}
	})
}

// Loads wait for each other in a ring, each started by its own goroutine. They end after one
// lock_wait.
func TestRingOfLoads(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		// with the same flights, or with the same leases only, as several nodes have
		for _, shared := range []bool{true, false} {
			for _, size := range []int{2, 3, 5} {
				if !shared && size > 2 {
					continue // each node waits for leases anyway
				}
				t.Run(fmt.Sprint(kind.name, "/", shared, "/", size), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { ringOfLoads(t, kind.make(t), shared, size) })
				})
			}
		}
	}
}

func ringOfLoads(t *testing.T, strategy driver.Strategy, shared bool, size int) {
	service := start(t, strategy, cache.Options{LockWait: time.Second})
	nodes := make([]*cache.Cache[int], size)
	for i := range nodes {
		nodes[i] = newCache(t, service, "c", cache.Policy[int]{})
		if shared {
			nodes[i] = nodes[0]
		}
	}
	// All loads have begun before the first one asks for the next key.
	var begun sync.WaitGroup
	begun.Add(size)
	var find func(ctx context.Context, node, key int, first bool) (int, error)
	find = func(ctx context.Context, node, key int, first bool) (int, error) {
		return nodes[node].GetOrLoad(ctx, fmt.Sprint(key), func(ctx context.Context) (int, error) {
			if first {
				begun.Done()
				begun.Wait()
			}
			n, err := find(ctx, node, (key+1)%size, false)
			if errors.Is(err, cache.ErrRecursiveLoad) {
				return 1, nil // only once
			}
			return n + 1, err
		})
	}
	began := time.Now()
	var calls []<-chan outcome[int]
	for i := range size {
		calls = append(calls, async(func() (int, error) { return find(t.Context(), i, i, true) }))
	}
	for _, call := range calls {
		if got := <-call; got.value < 1 || got.err != nil {
			t.Errorf("got %+v", got)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v, want lock_wait", took)
	}
	for key := range size {
		if _, err := nodes[0].GetOrLoad(t.Context(), fmt.Sprint(key), value(0)); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("a key was blocked afterwards: %v", took)
	}
}

// A caller within a load waits for somebody else's load for at most lock_wait. Then it loads for
// itself and stores nothing. It waits for its own load as long as it takes.
func TestNestedWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const long = 10 * time.Second
		service, recorder, _ := record(t, newBigcache(t), cache.Options{LockWait: time.Second})
		c := newCache(t, service, "c", cache.Policy[int]{})
		slow := func(context.Context) (int, error) { <-time.After(long); return 1, nil }
		began := time.Now()
		after := func(d time.Duration) {
			t.Helper()
			if took := time.Since(began); took != d {
				t.Errorf("after %v, want %v", took, d)
			}
		}
		other := async(func() (int, error) { return c.GetOrLoad(t.Context(), "slow", slow) })
		synctest.Wait()
		want(t, 2)(c.GetOrLoad(t.Context(), "a", func(ctx context.Context) (int, error) { return c.GetOrLoad(ctx, "slow", value(2)) }))
		after(time.Second)
		want(t, 3)(c.Update(t.Context(), "b", func(ctx context.Context) (int, error) { return c.GetOrLoad(ctx, "slow", value(3)) }))
		after(2 * time.Second)
		if n := recorder.Count(drivertest.OpFill); n != 2 { // a and b
			t.Errorf("%d fills", n)
		}
		want(t, 1)(c.GetOrLoad(t.Context(), "slow", unexpected[int](t)))
		after(long)
		if got := <-other; got.value != 1 || got.err != nil {
			t.Errorf("the unrelated caller got %+v", got)
		}

		var loads atomic.Int32
		want(t, 1)(c.GetOrLoad(t.Context(), "c", func(ctx context.Context) (int, error) {
			return c.GetOrLoad(ctx, "own", func(ctx context.Context) (int, error) { loads.Add(1); return slow(ctx) })
		}))
		after(2 * long)
		if n := loads.Load(); n != 1 {
			t.Errorf("%d loads of its own", n)
		}
	})
}

// A caller that came late, so that its own load runs next, does not run that load twice.
func TestNestedWaitForALateFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, kinds[2].make(t), cache.Options{LockWait: time.Second}), "c", cache.Policy[int]{})
		sleeping := func(d time.Duration, loads *atomic.Int32) loader {
			return func(context.Context) (int, error) { loads.Add(1); <-time.After(d); return 1, nil }
		}
		var others, own atomic.Int32
		began := time.Now()
		other := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", sleeping(900*time.Millisecond, &others)) })
		synctest.Wait()
		want(t, 1)(c.GetOrLoad(t.Context(), "a", func(ctx context.Context) (int, error) {
			return c.GetOrLoad(ctx, "k", sleeping(time.Second, &own))
		}))
		<-other
		if took := time.Since(began); own.Load() != 1 || others.Load() != 1 || took != 1900*time.Millisecond {
			t.Errorf("%d own loads and %d of the other, in %v", own.Load(), others.Load(), took)
		}
	})
}

// A context that is used after its load or write has ended is like any other.
func TestContextOfAnEndedLoad(t *testing.T) {
	t.Parallel()
	c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{})
	for name, call := range map[string]func(context.Context, string, func(context.Context) (int, error)) (int, error){
		"GetOrLoad": c.GetOrLoad, "Update": c.Update,
	} {
		for i, failure := range []error{nil, errOutage} {
			key := fmt.Sprint(name, i)
			var kept context.Context
			_, err := call(t.Context(), key, func(ctx context.Context) (int, error) {
				kept = context.WithoutCancel(ctx)
				return 1, failure
			})
			if !errors.Is(err, failure) {
				t.Errorf("%s: %v", name, err)
			}
			if err := c.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			want(t, 2)(c.GetOrLoad(kept, key, value(2)))
			if got, found, err := c.Get(kept, key); got != 2 || !found || err != nil {
				t.Errorf("%s: Get = %v, %v, %v; it was not stored, or is not read", name, got, found, err)
			}
		}
	}
}

// A loader that revokes or writes its own key does not hang. The value that it read before is not
// stored.
func TestLoaderChangesItsKey(t *testing.T) {
	t.Parallel()
	changes := slices.Concat(invalidations, []struct {
		name   string
		revoke func(context.Context, *cache.Service, *cache.Cache[int]) error
	}{
		{"Set", func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Set(ctx, "k", 2) }},
		{"Update", func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
			_, err := c.Update(ctx, "k", value(2))
			return err
		}},
	})
	for _, kind := range kinds {
		for _, change := range changes {
			t.Run(kind.name+"/"+change.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					service := start(t, kind.make(t), cache.Options{})
					c := newCache(t, service, "c", tagged())
					began := time.Now()
					var calls []<-chan outcome[int]
					for range 3 {
						calls = append(calls, async(func() (int, error) {
							return c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) { return 1, change.revoke(ctx, service, c) })
						}))
						synctest.Wait()
					}
					for _, call := range calls {
						// A caller that comes after the Set of the first one finds that value.
						if got := <-call; got.value != 1 && (change.name != "Set" || got.value != 2) || got.err != nil {
							t.Errorf("got %+v", got)
						}
					}
					if got, found, err := c.Get(t.Context(), "k"); err != nil || found && (change.name != "Set" || got != 2) {
						t.Errorf("Get = %v, %v, %v", got, found, err)
					}
					if took := time.Since(began); took != 0 {
						t.Errorf("it took %v", took)
					}
				})
			})
		}
	}
}
