package cache_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// invalidations are the ways to revoke the entry of key "k" of the cache "c" in staleness tests.
var invalidations = []struct {
	name   string
	revoke func(context.Context, *cache.Service, *cache.Cache[int]) error
}{
	{"Delete", func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Delete(ctx, "k") }},
	{"static tag", func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
		return c.InvalidateTags(ctx, "static")
	}},
	{"learned tag", func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
		return c.InvalidateTags(ctx, "other", "learned")
	}},
	{"Clear", func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error { return s.Clear(ctx) }},
}

func tagged() cache.Policy[int] {
	return cache.Policy[int]{Tags: []string{"static"}, TagsOf: func(int) []string { return []string{"learned"} }}
}

// V3 and G1 for shared loads: a value that was read before an invalidation is not stored after it,
// and not given to a caller that came after it.
func TestInvalidationBeatsHeldLoad(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, how := range invalidations {
			t.Run(kind.name+"/"+how.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					service := start(t, kind.make(t), cache.Options{})
					c := newCache(t, service, "c", tagged())
					var row atomic.Int32
					row.Store(1)
					read, release := make(chan struct{}), make(chan struct{})
					var once sync.Once
					load := func(context.Context) (int, error) {
						v := int(row.Load())
						once.Do(func() { close(read); <-release })
						return v, nil
					}
					old := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) })
					<-read
					row.Store(2)
					if err := how.revoke(t.Context(), service, c); err != nil {
						t.Fatal(err)
					}
					late := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) })
					synctest.Wait()
					close(release)
					if got := <-old; got.value != 1 || got.err != nil {
						t.Errorf("the caller from before got %+v", got)
					}
					if got := <-late; got.value != 2 || got.err != nil {
						t.Errorf("G1: the caller from after the invalidation got %+v, want version 2", got)
					}
					got, found, err := c.Get(t.Context(), "k")
					if err != nil || found != kind.stores || found && got != 2 {
						t.Errorf("V3: Get = %v, %v, %v", got, found, err)
					}
					if kind.stores && service.Stats().Refused != 1 {
						t.Errorf("%+v", service.Stats())
					}
				})
			})
		}
	}
}

// afterFill calls hook after a value was stored and before Fill returns.
type afterFill struct {
	driver.Leaser
	hook func()
}

func (s *afterFill) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts cache.SetOptions) (bool, error) {
	stored, err := s.Leaser.Fill(ctx, lease, value, opts)
	s.hook()
	return stored, err
}

func (s *afterFill) Clear(ctx context.Context) error { return s.Leaser.(driver.Clearer).Clear(ctx) }

func (s *afterFill) Init(ctx context.Context, in driver.Injector) error {
	return s.Leaser.(driver.Initializer).Init(ctx, in)
}

func (s *afterFill) Destroy(ctx context.Context) error {
	return s.Leaser.(driver.Destroyer).Destroy(ctx)
}

// G1: an invalidation comes after the fill and before the flight finishes. The value was stored
// correctly. Still, a caller that comes after the invalidation must not be given it.
func TestInvalidationBetweenFillAndFinish(t *testing.T) {
	t.Parallel()
	for _, how := range invalidations {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				strategy := &afterFill{Leaser: newBigcache(t)}
				service := start(t, strategy, cache.Options{})
				c := newCache(t, service, "c", tagged())
				var row atomic.Int32
				row.Store(1)
				load := func(context.Context) (int, error) { return int(row.Load()), nil }
				var late <-chan outcome[int]
				var hooked atomic.Bool
				strategy.hook = func() {
					if !hooked.CompareAndSwap(false, true) {
						return // of the late caller's own load
					}
					row.Store(2)
					if err := how.revoke(t.Context(), service, c); err != nil {
						t.Error(err)
					}
					late = async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) })
					synctest.Wait()
				}
				if got, err := c.GetOrLoad(t.Context(), "k", load); got != 1 || err != nil {
					t.Errorf("the caller from before got %v, %v", got, err)
				}
				if got := <-late; got.value != 2 || got.err != nil {
					t.Errorf("G1: the caller from after the invalidation got %+v, want version 2", got)
				}
			})
		})
	}
}

// Callers that came while the load ran get the value that it stored, without another read of the
// storage.
func TestLateCallersShareTheFill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		release := make(chan struct{})
		load := func(context.Context) (int, error) { <-release; return 1, nil }
		calls := []<-chan outcome[int]{async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", load) })}
		synctest.Wait()
		for range 10 {
			calls = append(calls, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", unexpected[int](t)) }))
		}
		synctest.Wait()
		close(release)
		for _, call := range calls {
			if got := <-call; got.value != 1 || got.err != nil {
				t.Errorf("got %+v", got)
			}
		}
		if n := recorder.Count(drivertest.OpGetOrLease); n != 1 {
			t.Errorf("%d looks at the storage, want 1", n)
		}
	})
}

// A caller that comes while a value is being stored gets the entry, and does not start another
// load.
func TestLateCallerIsServedByTheEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy := &afterFill{Leaser: newBigcache(t)}
		c := newCache(t, start(t, strategy, cache.Options{}), "c", cache.Policy[int]{})
		read := make(chan struct{})
		release := make(chan struct{})
		first := async(func() (int, error) {
			return c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) {
				close(read)
				<-release
				return 1, nil
			})
		})
		<-read
		beforeFill := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", unexpected[int](t)) })
		synctest.Wait()
		afterwards := make(chan (<-chan outcome[int]), 1)
		strategy.hook = func() {
			afterwards <- async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", unexpected[int](t)) })
			synctest.Wait()
		}
		close(release)
		for _, call := range []<-chan outcome[int]{first, beforeFill, <-afterwards} {
			if got := <-call; got.value != 1 || got.err != nil {
				t.Errorf("got %+v", got)
			}
		}
	})
}

// An entry that is not Fresh is loaded again, under a lease. ErrNotFound then deletes it. Any other
// failure leaves it.
func TestStaleEntry(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		synctest.Test(t, func(t *testing.T) {
			service := start(t, kind.make(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{Fresh: func(v int) bool { return v > 1 }})
			ctx := t.Context()
			for key, test := range map[string]struct {
				load  func(context.Context) (int, error)
				err   error
				found bool
				value int
			}{
				"newer":   {value(2), nil, true, 2},
				"gone":    {func(context.Context) (int, error) { return 0, cache.ErrNotFound }, cache.ErrNotFound, false, 0},
				"failing": {func(context.Context) (int, error) { return 0, errOutage }, errOutage, true, 1},
			} {
				if err := c.Set(ctx, key, 1); err != nil {
					t.Fatal(err)
				}
				if got, found, err := c.Get(ctx, key); got != 1 || !found || err != nil {
					t.Errorf("%s: Get returns stale entries all the same: %v, %v, %v", key, got, found, err)
				}
				if _, err := c.GetOrLoad(ctx, key, test.load); !errors.Is(err, test.err) {
					t.Errorf("%s: GetOrLoad: %v", key, err)
				}
				if got, found, err := c.Get(ctx, key); got != test.value || found != test.found || err != nil {
					t.Errorf("%s: then Get = %v, %v, %v", key, got, found, err)
				}
			}
			// A reload that an invalidation overtakes is not stored.
			if err := c.Set(ctx, "k", 1); err != nil {
				t.Fatal(err)
			}
			got, err := c.GetOrLoad(ctx, "k", func(ctx context.Context) (int, error) { return 3, c.Delete(ctx, "k") })
			if got != 3 || err != nil {
				t.Errorf("GetOrLoad = %v, %v", got, err)
			}
			if _, found, _ := c.Get(ctx, "k"); found {
				t.Errorf("%s: the reload was stored without a valid lease", kind.name)
			}
		})
	}
}
