package cache_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// readBacks are the ways in which a write reads the row that it has written. find is the cached
// read of it.
var readBacks = slices.Concat(detours, []struct {
	name string
	find func(t testing.TB, ctx context.Context, service *cache.Service, find loader) (int, error)
}{
	{"a load beside it", func(t testing.TB, ctx context.Context, service *cache.Service, find loader) (int, error) {
		c := newCache(t, service, "c", cache.Policy[int]{})
		if _, err := c.GetOrLoad(ctx, "other", find); err != nil {
			return 0, err
		}
		return find(ctx)
	}},
	{"an Update within it", func(t testing.TB, ctx context.Context, service *cache.Service, find loader) (int, error) {
		return newCache(t, service, "c", cache.Policy[int]{}).Update(ctx, "k", find)
	}},
	{"a load that writes", func(t testing.TB, ctx context.Context, service *cache.Service, find loader) (int, error) {
		c := newCache(t, service, "c", cache.Policy[int]{})
		return c.GetOrLoad(ctx, "other", func(ctx context.Context) (int, error) { return c.Update(ctx, "k", find) })
	}},
	{"Get, and then the database", func(t testing.TB, ctx context.Context, service *cache.Service, find loader) (int, error) {
		c := newCache(t, service, "c", cache.Policy[int]{})
		if got, found, err := c.Get(ctx, "k"); found || err != nil {
			return got, err
		}
		var got int
		if found, err := service.Get(ctx, "c:k", &got); found || err != nil {
			return got, err
		}
		if got, err := c.GetMany(ctx, "k", "nothing"); len(got) > 0 || err != nil {
			return got["k"], err
		}
		return find(ctx)
	}},
})

// A write that reads the row back through the cache does not wait, and the written value is stored.
func TestWriteReadsBack(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, readBack := range readBacks {
			for _, warm := range []bool{true, false} {
				t.Run(kind.name+"/"+readBack.name, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { writeReadsBack(t, kind.make(t), readBack.find, warm) })
				})
			}
		}
	}
}

func writeReadsBack(t *testing.T, strategy driver.Strategy, readBack func(testing.TB, context.Context, *cache.Service, loader) (int, error), warm bool) {
	service := start(t, strategy, cache.Options{})
	c, again := newCache(t, service, "c", cache.Policy[int]{}), newCache(t, service, "c", cache.Policy[int]{})
	row := 1
	find := func(ctx context.Context) (int, error) {
		return again.GetOrLoad(ctx, "k", func(context.Context) (int, error) { return row, nil })
	}
	if warm {
		want(t, 1)(find(t.Context()))
	}
	began := time.Now()
	want(t, 2)(c.Update(t.Context(), "k", func(ctx context.Context) (int, error) {
		row = 2
		return readBack(t, ctx, service, find)
	}))
	if got, found, err := c.Get(t.Context(), "k"); found && got != 2 || err != nil {
		t.Errorf("Get = %v, %v, %v", got, found, err)
	}
	want(t, 2)(find(t.Context()))
	if took := time.Since(began); took != 0 {
		t.Errorf("it took %v", took)
	}
}

// The Update stores the value that was read back.
func TestReadBackIsStored(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{})
	want(t, 2)(c.Update(t.Context(), "k", func(ctx context.Context) (int, error) { return c.GetOrLoad(ctx, "k", value(2)) }))
	if got, found, err := c.Get(t.Context(), "k"); got != 2 || !found || err != nil {
		t.Errorf("Get = %v, %v, %v", got, found, err)
	}
	if n := recorder.Count(drivertest.OpFill); n != 1 {
		t.Errorf("%d fills", n)
	}
}

// If one Update of a key runs within another one, neither waits. The entry of before does not stay,
// whichever of them fails.
func TestUpdateWithinUpdate(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, failures := range [][2]error{{nil, nil}, {errOutage, nil}, {nil, errOutage}, {cache.ErrUnchanged, nil}, {nil, cache.ErrUnchanged}} {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, start(t, kind.make(t), cache.Options{}), "c", cache.Policy[int]{})
				if err := c.Set(t.Context(), "k", 1); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err := c.Update(t.Context(), "k", func(ctx context.Context) (int, error) {
					if _, err := c.Update(ctx, "k", func(context.Context) (int, error) { return 2, failures[1] }); !errors.Is(err, failures[1]) {
						t.Errorf("the inner one: %v", err)
					}
					return 3, failures[0]
				})
				if !errors.Is(err, failures[0]) {
					t.Errorf("the outer one: %v", err)
				}
				got, found, err := c.Get(t.Context(), "k")
				if err != nil || found && (got != 3 || failures[0] != nil) {
					t.Errorf("%s, %v: Get = %v, %v, %v", kind.name, failures, got, found, err)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("it took %v", took)
				}
			})
		}
	}
}

// A loader that creates a missing row and reads it back gets the row that it created.
func TestLoaderWritesWhatItDoesNotFind(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			c := newCache(t, start(t, kind.make(t), cache.Options{}), "c", cache.Policy[int]{})
			began, row := time.Now(), 0
			var find loader
			find = func(ctx context.Context) (int, error) {
				return c.GetOrLoad(ctx, "k", func(ctx context.Context) (int, error) {
					if row > 0 {
						return row, nil
					}
					return c.Update(ctx, "k", func(ctx context.Context) (int, error) { row = 1; return find(ctx) })
				})
			}
			want(t, 1)(find(t.Context()))
			row = 2
			if err := c.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			want(t, 2)(find(t.Context()))
			if took := time.Since(began); took != 0 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A loader that creates it again and again gets an error before its stack overflows.
func TestLoaderWritesWithoutEnd(t *testing.T) {
	t.Parallel()
	c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{})
	writes := 0
	var find loader
	find = func(ctx context.Context) (int, error) {
		return c.GetOrLoad(ctx, "k", func(ctx context.Context) (int, error) {
			writes++
			return c.Update(ctx, "k", find)
		})
	}
	wantError[int](t, cache.ErrRecursiveLoad)(find(t.Context()))
	if writes != 2 {
		t.Errorf("%d writes", writes)
	}
	want(t, 1)(c.GetOrLoad(t.Context(), "k", value(1)))
}

// A write of one key reads other keys as any caller does.
func TestWriteReadsAnotherKey(t *testing.T) {
	t.Parallel()
	c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{})
	if err := c.Set(t.Context(), "other", 1); err != nil {
		t.Fatal(err)
	}
	want(t, 1)(c.Update(t.Context(), "k", func(ctx context.Context) (int, error) {
		if got, err := c.GetMany(ctx, "other"); got["other"] != 1 || err != nil {
			t.Errorf("GetMany = %v, %v", got, err)
		}
		return c.GetOrLoad(ctx, "other", unexpected[int](t))
	}))
}
