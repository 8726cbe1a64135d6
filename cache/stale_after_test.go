package cache_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// waiting is the policy stale with StaleAfter of a second.
func waiting() cache.Policy[int] {
	policy := stale()
	policy.StaleAfter = time.Second
	return policy
}

// after is a loader that takes d, and ends with its context.
func after(d time.Duration, v int, err error) loader {
	return func(ctx context.Context) (int, error) {
		select {
		case <-time.After(d):
			return v, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// pastItsTTL returns a cache with the entry 1, past its TTL.
func pastItsTTL(t *testing.T, service *cache.Service, policy cache.Policy[int]) *cache.Cache[int] {
	t.Helper()
	c := newCache(t, service, "c", policy)
	mustGet(t, c, value(1), 1)
	pass(2 * time.Minute)
	return c
}

// timed is GetOrLoad of "k", and how long it took.
func timed(ctx context.Context, c *cache.Cache[int], load loader) (got outcome[int], took time.Duration) {
	began := time.Now()
	got.value, got.err = c.GetOrLoad(ctx, "k", load)
	return got, time.Since(began)
}

// Past the TTL, a caller waits for the fresh value until StaleAfter, and then gets the last good
// one. The load goes on. That is neither an error nor logged.
func TestStaleAfter(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		load     loader
		negative time.Duration
		want     outcome[int]
		took     time.Duration
		later    int // 0: a miss
		stats    cache.Stats
	}{
		"quick": {load: after(500*time.Millisecond, 2, nil), want: outcome[int]{2, nil}, took: 500 * time.Millisecond, later: 2,
			stats: cache.Stats{Misses: 2, Loads: 2, Filled: 2}},
		"at once": {load: value(2), want: outcome[int]{2, nil}, later: 2, stats: cache.Stats{Misses: 2, Loads: 2, Filled: 2}},
		"slow": {load: after(3*time.Second, 2, nil), want: outcome[int]{1, nil}, took: time.Second, later: 2,
			stats: cache.Stats{Misses: 1, Hits: 1, StaleHits: 1, Loads: 2, Filled: 2}},
		"failing": {load: after(500*time.Millisecond, 0, errOutage), want: outcome[int]{1, nil}, took: 500 * time.Millisecond,
			stats: cache.Stats{Misses: 1, Hits: 1, StaleHits: 1, Loads: 2, LoadErrors: 1, Filled: 1}},
		"panicking": {load: func(context.Context) (int, error) { panic("boom") }, want: outcome[int]{1, nil},
			stats: cache.Stats{Misses: 1, Hits: 1, StaleHits: 1, Loads: 2, LoadErrors: 1, Filled: 1}},
		"gone": {load: after(500*time.Millisecond, 0, cache.ErrNotFound), want: outcome[int]{0, cache.ErrNotFound}, took: 500 * time.Millisecond,
			stats: cache.Stats{Misses: 2, Loads: 2, NotFound: 1, Filled: 1, Deletes: 1}},
		"gone, which is remembered": {load: after(500*time.Millisecond, 0, cache.ErrNotFound), negative: time.Minute,
			want: outcome[int]{0, cache.ErrNotFound}, took: 500 * time.Millisecond,
			stats: cache.Stats{Misses: 2, Loads: 2, NotFound: 1, Filled: 2}},
		"gone, but slowly": {load: after(3*time.Second, 0, cache.ErrNotFound), want: outcome[int]{1, nil}, took: time.Second,
			stats: cache.Stats{Misses: 1, Hits: 1, StaleHits: 1, Loads: 2, NotFound: 1, Filled: 1, Deletes: 1}},
	} {
		for _, kind := range kinds[:2] {
			t.Run(name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					log := new(logBook)
					service := start(t, kind.make(t), cache.Options{Logger: log.logger()})
					policy := waiting()
					policy.NegativeTTL = test.negative
					c := pastItsTTL(t, service, policy)
					if got, took := timed(t.Context(), c, test.load); got != test.want || took != test.took {
						t.Errorf("GetOrLoad = %+v after %v, want %+v after %v", got, took, test.want, test.took)
					}
					pass(5 * time.Second)
					stats, want := service.Stats(), test.stats
					if want.Refreshes = 1; stats != want {
						t.Errorf("%+v, want %+v", stats, want)
					}
					if got, found, err := c.Get(t.Context(), "k"); got != test.later || found != (test.later != 0) || err != nil {
						t.Errorf("later, Get = %v, %v, %v", got, found, err)
					}
					if test.stats.LoadErrors == 0 && log.String() != "" {
						t.Errorf("logged:\n%s", log)
					}
				})
			})
		}
	}
}

// In the second after a load failed, nobody waits.
func TestStaleAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := pastItsTTL(t, start(t, newBigcache(t), cache.Options{}), waiting())
		mustGet(t, c, func(context.Context) (int, error) { return 0, errOutage }, 1)
		mustGet(t, c, unexpected[int](t), 1)
		pass(time.Second)
		if got, took := timed(t.Context(), c, after(time.Millisecond, 2, nil)); got.value != 2 || took != time.Millisecond {
			t.Errorf("after the pause: %+v after %v", got, took)
		}
	})
}

// All callers wait for one load. One whose context ends leaves at once, and the load goes on, also
// if it is the one whose loader runs.
func TestStaleAfterIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, newBigcache(t), cache.Options{})
		c := pastItsTTL(t, service, waiting())
		ctx, cancel := context.WithCancel(t.Context())
		first := async(func() (int, error) { return c.GetOrLoad(ctx, "k", after(900*time.Millisecond, 2, nil)) })
		synctest.Wait()
		var others []<-chan outcome[int]
		for range 100 {
			others = append(others, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", unexpected[int](t)) }))
		}
		pass(100 * time.Millisecond)
		cancel()
		synctest.Wait()
		select {
		case got := <-first:
			if !errors.Is(got.err, context.Canceled) {
				t.Errorf("the caller that left got %+v", got)
			}
		default:
			t.Error("the caller that left still waits")
		}
		for _, other := range others {
			if got := <-other; got.value != 2 || got.err != nil {
				t.Errorf("another caller got %+v", got)
			}
		}
		if stats := service.Stats(); stats.Refreshes != 1 || stats.SharedLoads != 100 || stats.StaleHits != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

// If the entry is revoked while callers wait for the fresh value, what the load had read is not
// stored, and those who came later do not get it.
func TestRevokedWhileStaleWaits(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		for _, how := range invalidations {
			t.Run(kind.name+"/"+how.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					service := start(t, kind.make(t), cache.Options{})
					c := pastItsTTL(t, service, waiting())
					var loads atomic.Int32
					release := make(chan struct{})
					load := func(context.Context) (int, error) {
						if loads.Add(1) == 1 {
							<-release
							return 2, nil
						}
						return 3, nil
					}
					early := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) })
					synctest.Wait()
					if err := how.revoke(t.Context(), service, c); err != nil {
						t.Fatal(err)
					}
					late := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) })
					pass(10 * time.Millisecond)
					close(release)
					for name, caller := range map[string]<-chan outcome[int]{"before": early, "after": late} {
						if got := <-caller; got.value != 3 || got.err != nil {
							t.Errorf("the caller from %s the revocation got %+v", name, got)
						}
					}
					synctest.Wait()
					if got, found, err := c.Get(t.Context(), "k"); !found || got != 3 || err != nil {
						t.Errorf("Get = %v, %v, %v", got, found, err)
					}
				})
			})
		}
	}
}

// If there is no place for a load in the background, nobody waits.
func TestStaleAfterWithoutAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, newBigcache(t), cache.Options{MaxConcurrentLoads: 1})
		c := newCache(t, service, "c", waiting())
		if err := errors.Join(c.Set(t.Context(), "k", 1), c.Set(t.Context(), "other", 1)); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute)
		other := async(func() (int, error) { return c.GetOrLoad(t.Context(), "other", after(time.Minute, 2, nil)) })
		synctest.Wait()
		mustGet(t, c, unexpected[int](t), 1)
		if got := <-other; got.value != 1 {
			t.Errorf("the other caller got %+v", got)
		}
	})
}

// While another process loads the value, a caller waits for that one, and loads itself if that
// fails.
func TestStaleAfterInAnotherProcess(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		load, own loader
		want      int
		took      time.Duration
	}{
		"quick":   {after(500*time.Millisecond, 2, nil), nil, 2, 500 * time.Millisecond},
		"slow":    {after(3*time.Second, 2, nil), nil, 1, time.Second},
		"failing": {after(500*time.Millisecond, 0, errOutage), value(3), 3, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				storage := newBigcache(t)
				c := pastItsTTL(t, start(t, storage, cache.Options{}), waiting())
				service := peer(t, storage, cache.Options{})
				mine := newCache(t, service, "c", waiting())
				theirs := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", test.load) })
				synctest.Wait()
				if test.own == nil {
					test.own = unexpected[int](t)
				}
				got, took := timed(t.Context(), mine, test.own)
				if over := took - test.took; got.value != test.want || got.err != nil || over < 0 || over > 50*time.Millisecond {
					t.Errorf("got %+v after %v, want %v after %v", got, took, test.want, test.took)
				}
				<-theirs
				synctest.Wait()
			})
		})
	}
}

// Two loads that need each other end, however long StaleAfter is.
func TestStaleAfterInARing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, newBigcache(t), cache.Options{LockWait: time.Second})
		policy := waiting()
		policy.StaleAfter = time.Minute
		c := newCache(t, service, "c", policy)
		if err := errors.Join(c.Set(t.Context(), "k", 1), c.Set(t.Context(), "other", 10)); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute)
		got, took := timed(t.Context(), c, func(ctx context.Context) (int, error) {
			other, err := c.GetOrLoad(ctx, "other", func(ctx context.Context) (int, error) {
				v, err := c.GetOrLoad(ctx, "k", unexpected[int](t))
				return v + 20, err
			})
			return other, err
		})
		if got.err != nil || got.value < 10 || took > 2*time.Second {
			t.Errorf("got %+v after %v", got, took)
		}
		synctest.Wait()
	})
}

// hanging is a strategy whose reads hang if they are told to.
type hanging struct {
	table
	hangs atomic.Bool
}

func (s *hanging) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if s.hangs.Load() {
		<-ctx.Done()
		return nil, false, ctx.Err()
	}
	return s.table.Get(ctx, key)
}

// The wait includes reading the fresh value, and its end is no error of the storage.
func TestStaleAfterOnASlowStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := new(hanging)
		service := start(t, storage, cache.Options{Timeout: time.Minute})
		c := pastItsTTL(t, service, waiting())
		got, took := timed(t.Context(), c, func(context.Context) (int, error) {
			storage.hangs.Store(true)
			return 2, nil
		})
		if got.value != 1 || got.err != nil || took != time.Second {
			t.Errorf("got %+v after %v", got, took)
		}
		if stats := service.Stats(); stats.Errors != 0 || stats.StaleHits != 1 || stats.ShortCircuited != 0 {
			t.Errorf("%+v", stats)
		}
		storage.hangs.Store(false)
		mustGet(t, c, unexpected[int](t), 2)
	})
}
