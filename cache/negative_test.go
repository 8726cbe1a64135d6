package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

func remembered() cache.Policy[int] {
	return cache.Policy[int]{TTL: time.Hour, NegativeTTL: time.Minute, Tags: []string{"static"}, TagsOf: func(int) []string { return []string{"learned"} }}
}

// nothing is a loader that returns ErrNotFound.
func nothing(context.Context) (int, error) { return 0, fmt.Errorf("user: %w", cache.ErrNotFound) }

func mustFindNothing(t *testing.T, c *cache.Cache[int], load func(context.Context) (int, error)) {
	t.Helper()
	if got, err := c.GetOrLoad(t.Context(), "k", load); got != 0 || !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("GetOrLoad = %v, %v, want ErrNotFound", got, err)
	}
	if got, found, err := c.Get(t.Context(), "k"); got != 0 || found || err != nil {
		t.Errorf("Get = %v, %v, %v, want a miss", got, found, err)
	}
}

// ErrNotFound is remembered for NegativeTTL.
func TestNegativeTTL(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, kind.make(t), cache.Options{})
			c := newCache(t, service, "c", remembered())
			mustFindNothing(t, c, nothing)
			if !kind.stores {
				return
			}
			pass(time.Minute - time.Millisecond)
			mustFindNothing(t, c, unexpected[int](t))
			if stats := service.Stats(); stats.NegativeHits != 3 || stats.Hits != 0 || stats.Misses != 1 || stats.Filled != 1 || stats.Corrupt != 0 {
				t.Errorf("%s: %+v", kind.name, stats)
			}
			if n := recorder.Count(drivertest.OpDelete); n != 0 {
				t.Errorf("%d deletions", n)
			}
			if kind.name == "leases" { // the other storages here keep entries for ever
				pass(time.Millisecond)
				mustGet(t, c, value(1), 1)
			}
		})
	}
}

// Whatever ends or replaces an entry also ends a remembered ErrNotFound.
func TestNegativeEntryEnds(t *testing.T) {
	t.Parallel()
	ends := map[string]func(ctx context.Context, s *cache.Service, c *cache.Cache[int]) error{
		"Set": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Set(ctx, "k", 1) },
		"Update": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
			_, err := c.Update(ctx, "k", value(1))
			return err
		},
	}
	for _, how := range invalidations {
		if how.name != "learned tag" { // without a value there are no learned tags
			ends[how.name] = how.revoke
		}
	}
	for _, kind := range kinds[:2] {
		for name, end := range ends {
			service := start(t, kind.make(t), cache.Options{})
			c := newCache(t, service, "c", remembered())
			mustFindNothing(t, c, nothing)
			if err := end(t.Context(), service, c); err != nil {
				t.Fatal(err)
			}
			if got, err := c.GetOrLoad(t.Context(), "k", value(1)); got != 1 || err != nil {
				t.Errorf("%s, %s: GetOrLoad = %v, %v", kind.name, name, got, err)
			}
		}
	}
}

// A row is created and revoked while a loader finds nothing. The loader's ErrNotFound is not
// stored, and not given to callers that came after the revocation.
func TestCreationBeatsNegativeFill(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, how := range invalidations {
			if how.name == "learned tag" {
				continue
			}
			t.Run(kind.name+"/"+how.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					service := start(t, kind.make(t), cache.Options{})
					c := newCache(t, service, "c", remembered())
					release := make(chan struct{})
					old := async(func() (int, error) {
						return c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) { <-release; return nothing(ctx) })
					})
					synctest.Wait()
					if err := how.revoke(t.Context(), service, c); err != nil {
						t.Fatal(err)
					}
					late := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", value(2)) })
					synctest.Wait()
					close(release)
					if got := <-old; !errors.Is(got.err, cache.ErrNotFound) {
						t.Errorf("the caller from before got %+v", got)
					}
					if got := <-late; got.value != 2 || got.err != nil {
						t.Errorf("the caller from after got %+v", got)
					}
					if got, found, err := c.Get(t.Context(), "k"); found != kind.stores || found && got != 2 || err != nil {
						t.Errorf("Get = %v, %v, %v", got, found, err)
					}
				})
			})
		}
	}
}

// All callers that wait for a load that finds nothing get ErrNotFound, even if another process runs
// the load.
func TestNegativeFillIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, newBigcache(t), cache.Options{})
		c, other := newCache(t, service, "c", remembered()), newCache(t, service, "c", remembered())
		release := make(chan struct{})
		calls := []<-chan outcome[int]{async(func() (int, error) {
			return c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) { <-release; return nothing(ctx) })
		})}
		synctest.Wait()
		for _, node := range []*cache.Cache[int]{c, other, c, other} {
			calls = append(calls, async(func() (int, error) { return node.GetOrLoad(t.Context(), "k", unexpected[int](t)) }))
		}
		synctest.Wait()
		close(release)
		for _, call := range calls {
			if got := <-call; !errors.Is(got.err, cache.ErrNotFound) {
				t.Errorf("got %+v", got)
			}
		}
	})
}

// If an entry must be loaded again and its row is gone, the entry does not stay, even if
// ErrNotFound cannot be stored.
func TestNothingReplacesWhatIsNotFresh(t *testing.T) {
	t.Parallel()
	for _, failing := range []bool{false, true} {
		service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
		policy := remembered()
		policy.Fresh = func(v int) bool { return v > 1 }
		c := newCache(t, service, "c", policy)
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		if failing {
			recorder.FailNext(drivertest.OpFill, 1, errOutage)
		}
		if _, err := c.GetOrLoad(t.Context(), "k", nothing); !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("GetOrLoad = %v", err)
		}
		if _, found, _ := c.Get(t.Context(), "k"); found {
			t.Error("the entry is still there")
		}
		if _, found, _ := strategy.Get(t.Context(), "app:c:k"); found == failing {
			t.Errorf("storing fails: %v; something is stored: %v", failing, found)
		}
	}
}

// A process without NegativeTTL loads. It does not count the entry as damaged.
func TestNegativeEntryOfAnotherPolicy(t *testing.T) {
	t.Parallel()
	service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
	forgetful := remembered()
	forgetful.NegativeTTL = 0
	c, plain := newCache(t, service, "c", remembered()), newCache(t, peer(t, strategy, cache.Options{}), "c", forgetful)
	mustFindNothing(t, c, nothing)
	if got, found, err := plain.Get(t.Context(), "k"); found || err != nil {
		t.Errorf("Get = %v, %v, %v", got, found, err)
	}
	if n := recorder.Count(drivertest.OpDelete); n != 0 {
		t.Errorf("%d deletions", n)
	}
	if got, err := plain.GetOrLoad(t.Context(), "k", value(2)); got != 2 || err != nil {
		t.Errorf("GetOrLoad = %v, %v", got, err)
	}
	if got, err := c.GetOrLoad(t.Context(), "k", unexpected[int](t)); got != 2 || err != nil {
		t.Errorf("GetOrLoad = %v, %v", got, err)
	}
}
