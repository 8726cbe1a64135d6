package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/cache/refreshing"
	"github.com/fxcache/fxcache/cache/requestscope"
)

// A transaction leaves nothing behind if its snapshot is older than a revocation, or if it is
// rolled back.
func TestReadThroughStoresNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		service, recorder, _ := record(t, kind.make(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{NegativeTTL: time.Minute})
		tx := cache.ReadThrough(t.Context())
		want(t, 1)(c.GetOrLoad(tx, "k", value(1)))
		want(t, 2)(c.GetOrLoad(tx, "k", value(2))) // no hit
		wantError[int](t, cache.ErrNotFound)(c.GetOrLoad(tx, "k", func(context.Context) (int, error) { return 0, cache.ErrNotFound }))
		for _, op := range []string{drivertest.OpGet, drivertest.OpGetOrLease, drivertest.OpLease, drivertest.OpFill, drivertest.OpSet} {
			if n := recorder.Count(op); n != 0 {
				t.Errorf("%s: %d times %s", kind.name, n, op)
			}
		}
		if stats := service.Stats(); stats.Loads != 3 || stats.LoadErrors+stats.NotFound != 1 {
			t.Errorf("%s: %+v", kind.name, stats)
		}
		want(t, 3)(c.GetOrLoad(t.Context(), "k", value(3)))
	}
}

// Within a transaction there are no hits, whichever method is called.
func TestReadThroughServesNoHit(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		service := start(t, kind.make(t), cache.Options{})
		c, tx := newCache(t, service, "c", cache.Policy[int]{}), cache.ReadThrough(t.Context())
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		if _, found, err := c.Get(tx, "k"); found || err != nil {
			t.Errorf("Get = %v, %v", found, err)
		}
		if got, err := c.GetMany(tx, "k"); len(got) != 0 || err != nil {
			t.Errorf("GetMany = %v, %v", got, err)
		}
		var got int
		if found, err := service.Get(tx, "c:k", &got); found || err != nil {
			t.Errorf("Service.Get = %v, %v", found, err)
		}
		want(t, 2)(c.GetOrLoad(tx, "k", value(2)))
		want(t, 3)(c.GetOrLoad(context.WithoutCancel(tx), "k", func(ctx context.Context) (int, error) {
			if !cache.ReadsThrough(ctx) || cache.ReadsThrough(t.Context()) {
				t.Error("a load does not know that it is within a transaction")
			}
			return 3, nil
		}))
		want(t, 1)(c.GetOrLoad(t.Context(), "k", unexpected[int](t))) // nor was the entry dropped
	}
}

// The load runs on the caller's goroutine, with its context, and is not shared.
func TestReadThroughLoadsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{})
		release := make(chan struct{})
		held := func(context.Context) (int, error) { <-release; return 1, nil }
		other := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", held) })
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), callerKey{}, 7))
		tx := cache.ReadThrough(ctx)
		want(t, 7)(c.GetOrLoad(tx, "k", func(ctx context.Context) (int, error) { return ctx.Value(callerKey{}).(int), nil }))
		ended := async(func() (int, error) {
			return c.GetOrLoad(tx, "k", func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, context.Cause(ctx) })
		})
		synctest.Wait()
		cancel(errOutage)
		if got := <-ended; got.err != errOutage { //nolint:errorlint // as it is
			t.Errorf("the load did not end with its caller: %+v", got)
		}
		close(release)
		if got := <-other; got.value != 1 || got.err != nil {
			t.Errorf("the unrelated caller got %+v", got)
		}
		wantError[int](t, cache.ErrRecursiveLoad)(c.GetOrLoad(cache.ReadThrough(t.Context()), "k", func(ctx context.Context) (int, error) {
			return c.GetOrLoad(ctx, "k", unexpected[int](t))
		}))
		var broken *cache.PanicError
		if _, err := c.GetOrLoad(cache.ReadThrough(t.Context()), "k", func(context.Context) (int, error) { panic("boom") }); !errors.As(err, &broken) {
			t.Errorf("a panic: %v", err)
		}
	})
}

// A value that is written within a transaction is not stored, because it may be rolled back. The
// stored entry is deleted.
func TestReadThroughWritesDelete(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for name, write := range map[string]func(context.Context, *cache.Service, *cache.Cache[int]) error{
			"Set": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Set(ctx, "k", 2) },
			"SetMany": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
				return c.SetMany(ctx, map[string]int{"k": 2, "other": 2})
			},
			"Service.Set": func(ctx context.Context, s *cache.Service, c *cache.Cache[int]) error {
				var got int
				if err := s.Set(ctx, "k", 2, cache.SetOptions{}); err != nil {
					return err
				}
				if found, err := s.Get(t.Context(), "k", &got); found || err != nil {
					t.Errorf("Service.Set: afterwards %v, %v", got, err)
				}
				return c.Delete(ctx, "k")
			},
			"Update": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
				got, err := c.Update(ctx, "k", func(ctx context.Context) (int, error) { return c.GetOrLoad(ctx, "k", value(2)) })
				if got != 2 {
					t.Errorf("Update = %v", got)
				}
				return err
			},
		} {
			service, recorder, _ := record(t, kind.make(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{})
			if err := c.SetMany(t.Context(), map[string]int{"k": 1, "other": 1}); err != nil {
				t.Fatal(err)
			}
			if err := service.Set(t.Context(), "k", 1, cache.SetOptions{}); err != nil {
				t.Fatal(err)
			}
			recorder.Reset()
			tx := cache.ReadThrough(t.Context())
			if err := write(tx, service, c); err != nil {
				t.Errorf("%s, %s: %v", kind.name, name, err)
			}
			if got, err := c.GetMany(t.Context(), "k"); len(got) != 0 || err != nil {
				t.Errorf("%s, %s: afterwards %v, %v", kind.name, name, got, err)
			}
			for _, op := range []string{drivertest.OpSet, drivertest.OpSetMany, drivertest.OpLease, drivertest.OpFill} {
				if n := recorder.Count(op); n != 0 {
					t.Errorf("%s, %s: %d times %s", kind.name, name, n, op)
				}
			}
			// If the entry cannot be deleted, the deletion is pending, as usual.
			recorder.FailNext(drivertest.OpDelete, 1, errOutage)
			if err := write(tx, service, c); !errors.Is(err, cache.ErrRevocationPending) {
				t.Errorf("%s, %s: in an outage %v", kind.name, name, err)
			}
		}
	}
}

// Revocations work as usual, and a write that has changed nothing leaves the entry.
func TestReadThroughRevokes(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		for _, how := range invalidations {
			service := start(t, kind.make(t), cache.Options{})
			c, tx := newCache(t, service, "c", tagged()), cache.ReadThrough(t.Context())
			want(t, 1)(c.GetOrLoad(t.Context(), "k", value(1)))
			if _, err := c.Update(tx, "k", func(context.Context) (int, error) { return 0, cache.ErrUnchanged }); !errors.Is(err, cache.ErrUnchanged) {
				t.Errorf("Update: %v", err)
			}
			want(t, 1)(c.GetOrLoad(t.Context(), "k", unexpected[int](t)))
			if err := how.revoke(tx, service, c); err != nil {
				t.Errorf("%s: %v", how.name, err)
			}
			if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
				t.Errorf("%s, %s: Get = %v, %v", kind.name, how.name, found, err)
			}
		}
	}
}

// A Service that is not started and a bad key cause the usual errors.
func TestReadThroughErrors(t *testing.T) {
	t.Parallel()
	tx, service := cache.ReadThrough(t.Context()), newService(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{})
	wantError[int](t, cache.ErrNotStarted)(c.GetOrLoad(tx, "k", unexpected[int](t)))
	wantError[int](t, cache.ErrInvalidKey)(c.GetOrLoad(tx, "", unexpected[int](t)))
	if _, _, err := c.Get(tx, "k"); !errors.Is(err, cache.ErrNotStarted) {
		t.Errorf("Get: %v", err)
	}
}

// A transaction does not use what the request has memoised, nor the other way round. A scope that
// is opened within the transaction belongs to it.
func TestReadThroughAndMemo(t *testing.T) {
	t.Parallel()
	ctx := requestscope.With(t.Context())
	want(t, 1)(requestscope.Memo(ctx, "k", value(1)))
	tx := cache.ReadThrough(ctx)
	want(t, 2)(requestscope.Memo(tx, "k", value(2)))
	want(t, 3)(requestscope.Memo(tx, "k", value(3)))
	want(t, 4)(requestscope.Memo(tx, "other", value(4)))
	want(t, 5)(requestscope.Memo(ctx, "other", value(5)))
	want(t, 1)(requestscope.Memo(ctx, "k", unexpected[int](t)))
	scoped := requestscope.With(tx)
	want(t, 6)(requestscope.Memo(scoped, "k", value(6)))
	want(t, 6)(requestscope.Memo(scoped, "k", unexpected[int](t)))
}

// The same holds for a refreshing.Value, and what is derived from it.
func TestReadThroughAndRefreshing(t *testing.T) {
	t.Parallel()
	loads := 0
	r := newRefreshing(t, func(context.Context) (int, error) { loads++; return loads, nil }, refreshing.Options{TTL: time.Hour})
	derive := func(ctx context.Context) (int, error) {
		return refreshing.Derive(ctx, r, "k", func(_ context.Context, v int) (int, error) { return 10 * v, nil })
	}
	want(t, 1)(r.Get(t.Context()))
	want(t, 10)(derive(t.Context()))
	tx := cache.ReadThrough(t.Context())
	want(t, 2)(r.Get(tx))
	want(t, 30)(derive(tx))
	want(t, 1)(r.Get(t.Context()))
	want(t, 10)(derive(t.Context()))
	// A Refresh there means that something has changed, so others load again.
	want(t, 4)(r.Refresh(tx))
	want(t, 5)(r.Get(t.Context()))
	want(t, 9)(r.RefreshWith(tx, value(9)))
	want(t, 6)(r.Get(t.Context()))
	wantError[int](t, errOutage)(r.RefreshWith(tx, func(context.Context) (int, error) { return 0, errOutage }))
	want(t, 7)(r.Get(t.Context()))
}
