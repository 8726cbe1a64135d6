package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/cache/refreshing"
	"github.com/fxcache/fxcache/cache/requestscope"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// notModified is a loader for which nothing has changed. want is what it would replace.
func notModified(t testing.TB, want int) loader {
	return func(ctx context.Context) (int, error) {
		if got, ok := cache.Previous[int](ctx); got != want || !ok {
			t.Errorf("Previous = %v, %v, want %v", got, ok, want)
		}
		return 0, fmt.Errorf("304: %w", cache.ErrNotModified)
	}
}

// without is a loader that has nothing to replace, and returns v and err.
func without(t testing.TB, v int, err error) loader {
	return func(ctx context.Context) (int, error) {
		if got, ok := cache.Previous[int](ctx); got != 0 || ok {
			t.Errorf("Previous = %v, %v, want none", got, ok)
		}
		return v, err
	}
}

// put stores 1.
func put(t testing.TB, c *cache.Cache[int]) {
	t.Helper()
	if err := c.Set(t.Context(), "k", 1); err != nil {
		t.Fatal(err)
	}
}

// choosy is a policy whose entries are fresh if the flag says so.
func choosy(fresh *atomic.Bool) cache.Policy[int] {
	policy := tagged()
	policy.TTL, policy.Fresh = time.Minute, func(int) bool { return fresh.Load() }
	return policy
}

// ErrNotModified keeps the value, whose time starts anew with all that the policy says: its TTL and
// its tags. It counts as a load that succeeded.
func TestNotModified(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		for name, reload := range map[string]func(*testing.T, *cache.Service) *cache.Cache[int]{
			"not fresh": func(t *testing.T, service *cache.Service) *cache.Cache[int] {
				var fresh atomic.Bool
				c := newCache(t, service, "c", choosy(&fresh))
				mustGet(t, c, value(1), 1)
				pass(50 * time.Second)
				mustGet(t, c, notModified(t, 1), 1)
				fresh.Store(true)
				return c
			},
			"past its TTL": func(t *testing.T, service *cache.Service) *cache.Cache[int] {
				c := pastItsTTL(t, service, stale())
				mustGet(t, c, notModified(t, 1), 1)
				return c
			},
			"past its TTL, and waited for": func(t *testing.T, service *cache.Service) *cache.Cache[int] {
				c := pastItsTTL(t, service, waiting())
				mustGet(t, c, notModified(t, 1), 1)
				return c
			},
			"early": func(t *testing.T, service *cache.Service) *cache.Cache[int] {
				policy := tagged()
				policy.TTL, policy.EarlyRefresh = time.Minute, 1
				c := newCache(t, service, "c", policy)
				c.SetRandom(func() float64 { return math.Nextafter(1, 0) })
				if _, err := c.GetOrLoad(t.Context(), "k", slowly(1)); err != nil {
					t.Fatal(err)
				}
				pass(40 * time.Second)
				mustGet(t, c, notModified(t, 1), 1)
				synctest.Wait()
				c.SetRandom(func() float64 { return 0 })
				return c
			},
		} {
			t.Run(name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					strategy := kind.make(t)
					service := start(t, strategy, cache.Options{})
					c := reload(t, service)
					synctest.Wait()
					stats := service.Stats()
					if stats.NotModified != 1 || stats.Loads != 2 || stats.LoadErrors != 0 || stats.Filled != 2 {
						t.Errorf("%+v", stats)
					}
					if rows, is := strategy.(*table); is {
						if row, _ := rows.row("app:c:k"); row.ttl < time.Minute || !slices.Equal(row.tags, []string{"app:static", "app:learned"}) {
							t.Errorf("stored for %v with %v", row.ttl, row.tags)
						}
					}
					pass(time.Minute - time.Millisecond)
					mustGet(t, c, unexpected[int](t), 1)
					if err := c.InvalidateTags(t.Context(), "learned"); err != nil {
						t.Fatal(err)
					}
					mustGet(t, c, without(t, 2, nil), 2)
				})
			})
		}
	}
}

// Where there is nothing to replace, ErrNotModified is an error that says so, and nothing is
// stored.
func TestNotModifiedWithoutPrevious(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(t *testing.T, service *cache.Service, c *cache.Cache[int]) error{
		"a miss": func(t *testing.T, _ *cache.Service, c *cache.Cache[int]) error {
			_, err := c.GetOrLoad(t.Context(), "k", without(t, 7, cache.ErrNotModified))
			return err
		},
		"a write": func(t *testing.T, _ *cache.Service, c *cache.Cache[int]) error {
			put(t, c)
			_, err := c.Update(t.Context(), "k", without(t, 7, cache.ErrNotModified))
			return err
		},
		"a load within a write": func(t *testing.T, _ *cache.Service, c *cache.Cache[int]) error {
			put(t, c)
			_, err := c.Update(t.Context(), "k", func(ctx context.Context) (int, error) {
				return c.GetOrLoad(ctx, "k", without(t, 7, cache.ErrNotModified))
			})
			return err
		},
		"a transaction": func(t *testing.T, _ *cache.Service, c *cache.Cache[int]) error {
			_, err := c.GetOrLoad(cache.ReadThrough(t.Context()), "k", without(t, 7, cache.ErrNotModified))
			return err
		},
		"not asked for": func(t *testing.T, service *cache.Service, _ *cache.Cache[int]) error {
			c := newCache(t, service, "choosy", choosy(new(atomic.Bool)))
			put(t, c)
			_, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { return 7, cache.ErrNotModified })
			return errors.Join(err, c.Delete(t.Context(), "k"))
		},
		"asked for as another type": func(t *testing.T, service *cache.Service, _ *cache.Cache[int]) error {
			c := newCache(t, service, "choosy", choosy(new(atomic.Bool)))
			put(t, c)
			_, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
				if v, ok := cache.Previous[int64](ctx); v != 0 || ok {
					t.Errorf("Previous = %v, %v", v, ok)
				}
				return 7, cache.ErrNotModified
			})
			return errors.Join(err, c.Delete(t.Context(), "k"))
		},
		"that of a load within": func(t *testing.T, service *cache.Service, c *cache.Cache[int]) error {
			outer := newCache(t, service, "choosy", choosy(new(atomic.Bool)))
			put(t, outer)
			_, err := outer.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
				if _, ok := cache.Previous[int](ctx); !ok {
					t.Error("there is no previous value")
				}
				return c.GetOrLoad(ctx, "k", without(t, 7, cache.ErrNotModified))
			})
			return errors.Join(err, outer.Delete(t.Context(), "k"))
		},
	} {
		service := start(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		err := run(t, service, c)
		var wrapped *cache.Error
		if !errors.Is(err, cache.ErrNotModified) || !errors.As(err, &wrapped) || wrapped.Op != map[bool]string{false: "load", true: "update"}[name == "a write"] {
			t.Errorf("%s: %v", name, err)
		}
		if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
			t.Errorf("%s: something is stored, %v", name, err)
		}
		if stats := service.Stats(); name != "a write" && (stats.LoadErrors == 0 || stats.NotModified != 0) {
			t.Errorf("%s: %+v", name, stats)
		}
	}
	if v, ok := cache.Previous[int](t.Context()); v != 0 || ok {
		t.Errorf("outside of a load, Previous = %v, %v", v, ok)
	}
}

// A refresh that says ErrNotModified without having asked has failed.
func TestRefreshWithoutPrevious(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBook)
		service := start(t, newBigcache(t), cache.Options{Logger: log.logger()})
		c := pastItsTTL(t, service, waiting())
		mustGet(t, c, func(context.Context) (int, error) { return 7, cache.ErrNotModified }, 1)
		if stats := service.Stats(); stats.LoadErrors != 1 || stats.NotModified != 0 || stats.StaleHits != 1 || log.count("returned no value to it") != 1 {
			t.Errorf("%+v\n%s", stats, log)
		}
	})
}

// Only the loader itself sees what it would replace: no load within it, in whatever way that is
// started, and nobody after it has returned.
func TestPreviousBelongsToItsLoad(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{})
	other := newCache(t, service, "other", cache.Policy[int]{})
	c := newCache(t, service, "c", choosy(new(atomic.Bool)))
	put(t, c)
	var kept context.Context
	_, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
		kept = ctx
		var within context.Context
		_, err := other.GetOrLoad(ctx, "k", func(ctx context.Context) (int, error) {
			within = ctx
			return without(t, 2, nil)(ctx)
		})
		for name, load := range map[string]func() (int, error){
			"what is left of it": func() (int, error) { return without(t, 2, nil)(within) },
			"a write":            func() (int, error) { return other.Update(ctx, "k", without(t, 2, nil)) },
			"a transaction":      func() (int, error) { return without(t, 2, nil)(cache.ReadThrough(ctx)) },
			"a refreshing.Value": func() (int, error) { return newRefreshing(t, without(t, 2, nil), refreshing.Options{}).Get(ctx) },
			"a Memo":             func() (int, error) { return requestscope.Memo(requestscope.With(ctx), "k", without(t, 2, nil)) },
		} {
			if _, failure := load(); failure != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", name, failure))
			}
		}
		_, _ = notModified(t, 1)(context.WithoutCancel(ctx))
		return 3, err
	})
	if err != nil {
		t.Error(err)
	}
	if got, ok := cache.Previous[int](kept); got != 0 || ok {
		t.Errorf("after the load, Previous = %v, %v", got, ok)
	}
}

// What a loader does to the value that it would replace, or to the bytes of that, changes nothing.
func TestPreviousIsACopy(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{})
	never := func(owning) bool { return false }
	c := newCache(t, service, "c", cache.Policy[owning]{Fresh: never})
	if err := c.Set(t.Context(), "k", owning{[]byte("abc")}); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (owning, error) {
		for range 3 {
			v, ok := cache.Previous[owning](ctx)
			if !ok || string(v.bytes) != "abc" {
				t.Errorf("Previous = %q, %v", v.bytes, ok)
			}
			clear(v.bytes)
		}
		return owning{}, cache.ErrNotModified
	})
	if err != nil || string(got.bytes) != "abc" {
		t.Errorf("GetOrLoad = %q, %v", got.bytes, err)
	}
	clear(got.bytes)
	if got, _, err := c.Get(t.Context(), "k"); err != nil || string(got.bytes) != "abc" {
		t.Errorf("Get = %q, %v", got.bytes, err)
	}
}

// A revocation while the loader runs wins: the value is not stored anew, and who comes after the
// revocation does not get it.
func TestInvalidationBeatsNotModified(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		for _, how := range invalidations {
			for _, background := range []bool{false, true} {
				t.Run(fmt.Sprint(kind.name, "/", how.name, "/", background), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						service := start(t, kind.make(t), cache.Options{})
						var fresh atomic.Bool
						var c *cache.Cache[int]
						if background {
							c = pastItsTTL(t, service, stale())
						} else {
							c = newCache(t, service, "c", choosy(&fresh))
							mustGet(t, c, value(1), 1)
						}
						release := make(chan struct{})
						early := async(func() (int, error) {
							return c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
								v, err := notModified(t, 1)(ctx)
								<-release
								return v, err
							})
						})
						synctest.Wait()
						if err := how.revoke(t.Context(), service, c); err != nil {
							t.Fatal(err)
						}
						late := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", without(t, 2, nil)) })
						synctest.Wait()
						fresh.Store(true)
						close(release)
						if got := <-early; got.value != 1 || got.err != nil {
							t.Errorf("the caller from before the revocation got %+v", got)
						}
						if got := <-late; got.value != 2 || got.err != nil {
							t.Errorf("the caller from after the revocation got %+v", got)
						}
						synctest.Wait()
						if got, found, err := c.Get(t.Context(), "k"); !found || got != 2 || err != nil {
							t.Errorf("Get = %v, %v, %v", got, found, err)
						}
					})
				})
			}
		}
	}
}

// revoking is bigcache with something that happens around the granting of a lease.
type revoking struct {
	*bigcache.Strategy
	before, after bool
}

func (s *revoking) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	if s.before {
		_ = s.Delete(ctx, key)
	}
	lease, err := s.Strategy.Lease(ctx, key)
	if s.after {
		_ = s.Delete(ctx, key)
	}
	return lease, err
}

// What the cache had read before it got the lease may have been revoked since, so it is not what a
// loader gets.
func TestPreviousIsReadUnderTheLease(t *testing.T) {
	t.Parallel()
	for _, strategy := range []*revoking{{newBigcache(t), true, false}, {newBigcache(t), false, true}} {
		var fresh atomic.Bool
		c := newCache(t, start(t, strategy, cache.Options{}), "c", choosy(&fresh))
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		if got, err := c.GetOrLoad(t.Context(), "k", without(t, 2, nil)); got != 2 || err != nil {
			t.Errorf("GetOrLoad = %v, %v", got, err)
		}
	}
}

// Without a lease nothing is stored, but the loader sees the value all the same, and keeps it.
func TestNotModifiedWithoutALease(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", choosy(new(atomic.Bool)))
	put(t, c)
	recorder.FailNext(drivertest.OpLease, 1, errOutage)
	if got, err := c.GetOrLoad(t.Context(), "k", notModified(t, 1)); got != 1 || err != nil {
		t.Errorf("GetOrLoad = %v, %v", got, err)
	}
	if stats := service.Stats(); stats.NotModified != 1 || stats.Filled != 0 {
		t.Errorf("%+v", stats)
	}
}

// The same for a refreshing.Value: its age starts anew.
func TestRefreshingNotModified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var load loader
		r := newRefreshing(t, func(ctx context.Context) (int, error) { return load(ctx) }, refreshing.Options{TTL: time.Minute, Backoff: time.Millisecond})
		get := func(want int, how loader) {
			t.Helper()
			load = how
			if got, err := r.Get(t.Context()); got != want || err != nil {
				t.Errorf("Get = %v, %v, want %v", got, err, want)
			}
		}
		load = without(t, 7, cache.ErrNotModified)
		if got, err := r.Get(t.Context()); got != 0 || !errors.Is(err, cache.ErrNotModified) {
			t.Errorf("the first load returned %v, %v", got, err)
		}
		pass(time.Second)
		get(1, without(t, 1, nil))
		pass(time.Minute)
		get(1, notModified(t, 1))
		pass(time.Minute - time.Millisecond)
		get(1, unexpected[int](t))
		if got, err := r.RefreshWith(t.Context(), notModified(t, 1)); got != 1 || err != nil {
			t.Errorf("RefreshWith = %v, %v", got, err)
		}
		if got, err := r.RefreshWith(cache.ReadThrough(t.Context()), without(t, 2, nil)); got != 2 || err != nil {
			t.Errorf("in a transaction, RefreshWith = %v, %v", got, err)
		}
		r.Invalidate()
		get(3, without(t, 3, nil))
		pass(time.Minute)
		get(3, func(context.Context) (int, error) { return 7, cache.ErrNotModified }) // it has not asked
		pass(time.Second)
		get(4, func(context.Context) (int, error) { return 4, nil })
	})
}
