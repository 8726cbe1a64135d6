package cache_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/refreshing"
	"github.com/fxcache/fxcache/cache/requestscope"
)

// A background load that asks for its own key gets the error, which is logged. The last good value
// is kept, and not stored again as new.
func TestRefreshReachesItself(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{"StaleFor": 2 * time.Minute, "EarlyRefresh": 59 * time.Second} {
		for _, detour := range detours {
			t.Run(name+"/"+detour.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { refreshReachesItself(t, age, detour.find) })
			})
		}
	}
}

func refreshReachesItself(t *testing.T, age time.Duration, detour func(testing.TB, context.Context, *cache.Service, loader) (int, error)) {
	var log logBook
	service := start(t, newBigcache(t), cache.Options{Logger: log.logger()})
	policy := stale()
	policy.EarlyRefresh = 1
	c := newCache(t, service, "c", policy)
	// so that a hit within two loads of the end refreshes
	c.SetRandom(func() float64 { return 0.9 })
	want(t, 1)(c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { <-time.After(time.Second); return 1, nil }))
	pass(age)
	var loads atomic.Int32
	mustGet(t, c, func(ctx context.Context) (int, error) {
		loads.Add(1)
		return detour(t, ctx, service, func(ctx context.Context) (int, error) {
			if _, found, err := c.Get(ctx, "k"); found || err != nil {
				t.Errorf("what is loaded was found: %v", err)
			}
			return c.GetOrLoad(ctx, "k", unexpected[int](t))
		})
	}, 1)
	synctest.Wait()
	mustGet(t, c, unexpected[int](t), 1) // there is a pause after a failure
	if n := loads.Load(); n != 1 {
		t.Errorf("%d loads", n)
	}
	if log.count("a refresh failed") != 1 || !strings.Contains(log.String(), cache.ErrRecursiveLoad.Error()) {
		t.Errorf("logged: %s", &log)
	}
	pass(2 * time.Second)
	mustGet(t, c, value(2), 1)
	synctest.Wait()
	mustGet(t, c, unexpected[int](t), 2)
}

// A refresh is not part of the load in which it was started. Nobody waits for it, so it may ask for
// the key of that load.
func TestRefreshWithinALoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logBook
		service := start(t, newBigcache(t), cache.Options{Logger: log.logger()})
		c, old := newCache(t, service, "c", cache.Policy[int]{}), newCache(t, service, "old", stale())
		mustGet(t, old, value(1), 1)
		pass(2 * time.Minute)
		refreshed := make(chan struct{})
		want(t, 1)(c.GetOrLoad(t.Context(), "a", func(ctx context.Context) (int, error) {
			got, err := old.GetOrLoad(ctx, "k", func(ctx context.Context) (int, error) {
				defer close(refreshed)
				return c.GetOrLoad(ctx, "a", unexpected[int](t))
			})
			synctest.Wait() // the refresh waits for this load
			return got, err
		}))
		<-refreshed
		if log.String() != "" {
			t.Errorf("logged: %s", &log)
		}
	})
}

// reaches are the calls that ask a refreshing.Value for its value.
var reaches = map[string]func(context.Context, *refreshing.Value[int]) (int, error){
	"Get":     func(ctx context.Context, r *refreshing.Value[int]) (int, error) { return r.Get(ctx) },
	"Refresh": func(ctx context.Context, r *refreshing.Value[int]) (int, error) { return r.Refresh(ctx) },
	"RefreshWith": func(ctx context.Context, r *refreshing.Value[int]) (int, error) {
		return r.RefreshWith(ctx, func(context.Context) (int, error) { return 9, nil })
	},
	"Derive": func(ctx context.Context, r *refreshing.Value[int]) (int, error) {
		return refreshing.Derive(ctx, r, "k", func(_ context.Context, v int) (int, error) { return v, nil })
	},
}

// A load of a refreshing.Value that asks for that value gets an error at once, even while the last
// value is good. The last value is kept.
func TestRefreshingReachesItself(t *testing.T) {
	t.Parallel()
	for outer, begin := range reaches {
		for inner, reach := range reaches {
			for _, warm := range []bool{true, false} {
				if outer == "RefreshWith" {
					continue // it has a loader of its own; see below
				}
				t.Run(outer+"/"+inner, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						var r *refreshing.Value[int]
						var log logBook
						began, healthy, seen := time.Now(), warm, error(nil)
						r = newRefreshing(t, func(ctx context.Context) (int, error) {
							if healthy {
								return 1, nil
							}
							got, err := reach(ctx, r)
							seen = err
							return got, err
						}, refreshing.Options{Name: "rates", Logger: log.logger(), TTL: time.Minute})
						if warm {
							want(t, 1)(r.Get(t.Context()))
							if healthy = false; outer != "Refresh" {
								pass(time.Minute)
								began = time.Now()
							}
						}
						got, err := begin(t.Context(), r)
						if !errors.Is(seen, cache.ErrRecursiveLoad) {
							t.Errorf("the load got %v", seen)
						}
						if warm && outer != "Refresh" {
							want(t, 1)(got, err)
						} else {
							wantError[int](t, cache.ErrRecursiveLoad)(got, err)
						}
						synctest.Wait() // it is logged after the answer
						if log.count("name=rates") != 1 {
							t.Errorf("logged: %s", &log)
						}
						if warm {
							want(t, 1)(r.Get(t.Context()))
						}
						if healthy = true; time.Since(began) != 0 {
							t.Errorf("it took %v", time.Since(began))
						}
						pass(time.Second)
						want(t, 1)(r.Get(t.Context()))
					})
				})
			}
		}
	}
}

// The same holds for the loader of RefreshWith, which would return the old value as a new one.
func TestRefreshWithReachesItself(t *testing.T) {
	t.Parallel()
	for name, reach := range reaches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRefreshing(t, value(1), refreshing.Options{})
				want(t, 1)(r.Get(t.Context()))
				wantError[int](t, cache.ErrRecursiveLoad)(r.RefreshWith(t.Context(), func(ctx context.Context) (int, error) { return reach(ctx, r) }))
				want(t, 1)(r.Get(t.Context()))
				var kept context.Context
				want(t, 2)(r.RefreshWith(t.Context(), func(ctx context.Context) (int, error) { kept = context.WithoutCancel(ctx); return 2, nil }))
				want(t, 2)(r.Get(kept))
			})
		})
	}
}

// Two values have loads that ask for each other, each started by its own goroutine. They end after
// one wait.
func TestRingOfRefreshing(t *testing.T) {
	t.Parallel()
	for name, reach := range reaches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var values [2]*refreshing.Value[int]
				var begun sync.WaitGroup
				begun.Add(2)
				for i := range values {
					first := sync.OnceFunc(func() { begun.Done(); begun.Wait() })
					values[i] = newRefreshing(t, func(ctx context.Context) (int, error) {
						first()
						got, err := reach(ctx, values[1-i])
						if errors.Is(err, cache.ErrRecursiveLoad) {
							return 1, nil
						}
						return got + 1, err
					}, refreshing.Options{})
				}
				began := time.Now()
				for _, call := range []<-chan outcome[int]{
					async(func() (int, error) { return values[0].Get(t.Context()) }),
					async(func() (int, error) { return values[1].Get(t.Context()) }),
				} {
					if got := <-call; got.value < 1 || got.err != nil {
						t.Errorf("got %+v", got)
					}
				}
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// A load that invalidates its own value does not run again and again for ever.
func TestRefreshingInvalidatesItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r *refreshing.Value[int]
		loads := 0
		r = newRefreshing(t, func(context.Context) (int, error) { loads++; r.Invalidate(); return loads, nil }, refreshing.Options{})
		want(t, 4)(r.Get(t.Context()))
		want(t, 8)(r.Refresh(t.Context()))
	})
}

// Memos that wait for each other in a ring end after one wait. A memo that asks for itself gets an
// error, with a scope, without one, and with a full one.
func TestRingOfMemos(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, ctx := range map[string]context.Context{
			"scope": requestscope.With(t.Context()), "full": requestscope.WithLimit(t.Context(), 0), "none": t.Context(),
		} {
			var find func(ctx context.Context) (int, error)
			find = func(ctx context.Context) (int, error) { return requestscope.Memo(ctx, "k", find) }
			if _, err := find(ctx); !errors.Is(err, cache.ErrRecursiveLoad) {
				t.Errorf("%s: %v", name, err)
			}
		}
		ctx, began := requestscope.With(t.Context()), time.Now()
		var begun sync.WaitGroup
		begun.Add(3)
		var find func(ctx context.Context, key int, first bool) (int, error)
		find = func(ctx context.Context, key int, first bool) (int, error) {
			return requestscope.Memo(ctx, key, func(ctx context.Context) (int, error) {
				if first {
					begun.Done()
					begun.Wait()
				}
				n, err := find(ctx, (key+1)%3, false)
				if errors.Is(err, cache.ErrRecursiveLoad) {
					return 1, nil
				}
				return n + 1, err
			})
		}
		var calls []<-chan outcome[int]
		for key := range 3 {
			calls = append(calls, async(func() (int, error) { return find(ctx, key, true) }))
		}
		for _, call := range calls {
			if got := <-call; got.value < 1 || got.err != nil {
				t.Errorf("got %+v", got)
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// After a minute, there is one warning about a load that does not end. It has the name of the
// cache, and never the key.
func TestHungLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logBook
		service := start(t, newBigcache(t), cache.Options{Logger: log.logger()})
		products, prices := newCache(t, service, "products", cache.Policy[int]{}), newCache(t, service, "prices", stale())
		rates := newRefreshing(t, func(context.Context) (int, error) { <-time.After(10 * time.Minute); return 1, nil },
			refreshing.Options{Name: "rates", Logger: log.logger(), Timeout: time.Hour})
		mustGet(t, prices, value(1), 1)
		pass(2 * time.Minute)
		lasting := func(d time.Duration) loader {
			return func(context.Context) (int, error) { <-time.After(d); return 1, nil }
		}
		calls := []<-chan outcome[int]{
			async(func() (int, error) { return products.GetOrLoad(t.Context(), "secret-1", lasting(10*time.Minute)) }),
			async(func() (int, error) { return products.GetOrLoad(t.Context(), "secret-2", lasting(59*time.Second)) }),
			async(func() (int, error) { return rates.Get(t.Context()) }),
		}
		mustGet(t, prices, lasting(10*time.Minute), 1) // in the background
		pass(59 * time.Second)
		if log.String() != "" {
			t.Errorf("too early: %s", &log)
		}
		pass(20 * time.Minute)
		for _, call := range calls {
			if got := <-call; got.err != nil {
				t.Errorf("got %+v", got)
			}
		}
		for _, name := range []string{`1m0s" suppressed=0 cache=products`, `1m0s" suppressed=0 cache=prices`, "name=rates"} {
			if n := log.count(name); n != 1 {
				t.Errorf("%d warnings about %s: %s", n, name, &log)
			}
		}
		if strings.Contains(log.String(), "secret") {
			t.Errorf("a key is in the log: %s", &log)
		}
	})
}
