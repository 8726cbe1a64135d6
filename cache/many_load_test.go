package cache_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// forMany runs a test with each of loadManyKinds, in a bubble.
func forMany(t *testing.T, test func(t *testing.T, strategy driver.Strategy, stores bool)) {
	t.Helper()
	for _, kind := range loadManyKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(t, kind.make(t), kind.stores) })
		})
	}
}

// What is there is not asked for. The rest is one load. A key that the load leaves out is no error,
// and what nobody asked for is ignored.
func TestLoadMany(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
		service := start(t, strategy, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		d := &database{absent: []string{"gone"}}
		if err := c.Set(t.Context(), "there", 5); err != nil {
			t.Fatal(err)
		}
		values, err := c.GetOrLoadMany(t.Context(), []string{"a", "there", "bb", "a", "gone", ""}, d.load)
		failedOnly(t, err, cache.ErrInvalidKey, "")
		hasLengths(t, values, "a", "bb", "there")
		if !stores {
			d.loads(t, []string{"a", "bb", "gone", "there"})
			return
		}
		d.loads(t, []string{"a", "bb", "gone"})
		mustLoad(t, c, d.load, "bb", "there", "a")
		d.loads(t)
		if stats := service.Stats(); stats.Loads != 1 || stats.NotFound != 1 || stats.Filled != 2 || stats.Hits != 4 || stats.Misses != 3 {
			t.Errorf("%+v", stats)
		}
		if values, err := c.GetOrLoadMany(t.Context(), nil, d.load); len(values) != 0 || err != nil {
			t.Errorf("of no keys: %v, %v", values, err)
		}
		d.loads(t)
	})
}

// A BatchLeaser is asked once for each step, however many keys there are.
func TestLoadManyTakesOneOperationEach(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, leasing{newBigcache(t)}, cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{})
	d, keys := new(database), numbered(100)
	mustLoad(t, c, d.load, keys...)
	d.loads(t, keys)
	var names []string
	for _, o := range recorder.Operations() {
		names = append(names, o.Name)
		if len(o.Keys) != 100 {
			t.Errorf("%s of %d keys", o.Name, len(o.Keys))
		}
	}
	if want := []string{drivertest.OpGetMany, drivertest.OpGetOrLeaseMany, drivertest.OpFillMany}; !slices.Equal(names, want) {
		t.Errorf("operations %q, want %q", names, want)
	}
	recorder.Reset()
	d.during = func(context.Context, []string) error { return errOutage }
	_, err := c.GetOrLoadMany(t.Context(), []string{"x", "y"}, d.load)
	failedOnly(t, err, errOutage, "x", "y")
	if n := recorder.Count(drivertest.OpReleaseMany); n != 1 || len(recorder.Operations()) != 3 {
		t.Errorf("after a failed load: %+v", recorder.Operations())
	}
}

// A load that fails fails the keys that it was asked for, however it fails. The others are
// returned, and the leases are free again.
func TestLoadManyFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]struct {
		fail  func() error
		cause error
	}{
		"error":  {func() error { return errOutage }, errOutage},
		"panic":  {func() error { panic("boom") }, nil},
		"Goexit": {func() error { runtime.Goexit(); return nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
				c := newCache(t, start(t, strategy, cache.Options{}), "c", cache.Policy[int]{})
				d := new(database)
				if err := c.Set(t.Context(), "there", 5); err != nil {
					t.Fatal(err)
				}
				d.during = func(context.Context, []string) error { return fail.fail() }
				values, err := c.GetOrLoadMany(t.Context(), []string{"a", "there", "b"}, d.load)
				if stores {
					failedOnly(t, err, fail.cause, "a", "b")
					hasLengths(t, values, "there")
				}
				var panicked *cache.PanicError
				if fail.cause == nil && !errors.As(err, &panicked) {
					t.Errorf("error %v, want a PanicError", err)
				}
				d.during, d.asked = nil, nil
				began := time.Now()
				mustLoad(t, c, d.load, "a", "b")
				d.loads(t, []string{"a", "b"})
				if took := time.Since(began); took > 0 {
					t.Errorf("the next load waited for %v: a lease was not released", took)
				}
			})
		})
	}
	c := newCache(t, start(t, new(table), cache.Options{}), "c", cache.Policy[int]{})
	if _, err := c.GetOrLoadMany(t.Context(), []string{"a"}, nil); err == nil {
		t.Error("a nil load: no error")
	}
	d := &database{during: func(context.Context, []string) error { return cache.ErrNotFound }}
	if values, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, d.load); len(values) != 0 || err != nil {
		t.Errorf("a load that finds nothing at all: %v, %v", values, err)
	}
}

// heldLoads returns a database whose loads wait until they are let on.
func heldLoads() (d *database, open func()) {
	gate := make(chan struct{})
	return &database{during: func(ctx context.Context, _ []string) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}, func() { close(gate) }
}

// Callers whose keys overlap, in whatever order, load each key once. So does one that wants one
// key.
func TestLoadManyShares(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
		service := start(t, strategy, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		first, open := heldLoads()
		second, openSecond := heldLoads()
		one := async(func() (map[string]int, error) {
			return c.GetOrLoadMany(t.Context(), []string{"a", "bb", "ccc"}, first.load)
		})
		synctest.Wait()
		two := async(func() (map[string]int, error) {
			return c.GetOrLoadMany(t.Context(), []string{"dddd", "ccc", "bb"}, second.load)
		})
		synctest.Wait()
		single := async(func() (int, error) { return c.GetOrLoad(t.Context(), "bb", unexpected[int](t)) })
		synctest.Wait()
		first.loads(t, []string{"a", "bb", "ccc"})
		second.loads(t, []string{"dddd"})
		if !stores {
			openSecond()
			open()
			<-one
			<-two
			return
		}
		openSecond()
		synctest.Wait()
		open()
		if got := <-one; got.err != nil {
			t.Errorf("the first: %v", got.err)
		} else {
			hasLengths(t, got.value, "a", "bb", "ccc")
		}
		if got := <-two; got.err != nil {
			t.Errorf("the second: %v", got.err)
		} else {
			hasLengths(t, got.value, "bb", "ccc", "dddd")
		}
		if got := <-single; got.value != 2 || got.err != nil {
			t.Errorf("the single one: %+v", got)
		}
		if n := service.Stats().SharedLoads; n != 3 {
			t.Errorf("%d shared loads, want 3", n)
		}
	})
}

// A caller whose context ends returns at once. The load goes on for those who wait for any of its
// keys, and is cancelled when nobody does.
func TestLoadManyCallerLeaves(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
		c := newCache(t, start(t, strategy, cache.Options{}), "c", cache.Policy[int]{})
		d, open := heldLoads()
		var ended context.Context
		during := d.during
		d.during = func(ctx context.Context, missing []string) error { ended = ctx; return during(ctx, missing) }
		ctx, leave := context.WithCancel(t.Context())
		one := async(func() (map[string]int, error) { return c.GetOrLoadMany(ctx, []string{"a", "bb"}, d.load) })
		synctest.Wait()
		other, leaveToo := context.WithCancel(t.Context())
		two := async(func() (int, error) { return c.GetOrLoad(other, "bb", value(2)) })
		synctest.Wait()
		leave()
		got := <-one
		failedOnly(t, got.err, context.Canceled, "a", "bb")
		synctest.Wait()
		if ended.Err() != nil {
			t.Fatal("the load was cancelled although somebody waits for one of its keys")
		}
		if stores {
			open()
			if got := <-two; got.value != 2 || got.err != nil {
				t.Errorf("the other: %+v", got)
			}
		}
		leaveToo()
		synctest.Wait()
		if ended.Err() == nil && !stores {
			t.Error("the load goes on although nobody waits")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, leasing{newBigcache(t)}, cache.Options{}), "c", cache.Policy[int]{})
		d, _ := heldLoads()
		ctx, leave := context.WithCancel(t.Context())
		one := async(func() (map[string]int, error) { return c.GetOrLoadMany(ctx, []string{"a", "bb"}, d.load) })
		synctest.Wait()
		leave()
		<-one
		synctest.Wait() // the load has ended, and its leases are free
		began := time.Now()
		mustLoad(t, c, new(database).load, "a", "bb")
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// If a load fails after its caller has left, the others go on with their own: one load for all keys
// of a caller.
func TestLoadManyOfADeadRequest(t *testing.T) {
	t.Parallel()
	forMany(t, func(t *testing.T, strategy driver.Strategy, stores bool) {
		if !stores {
			t.Skip("whoever comes after the load has begun needs another one")
		}
		c := newCache(t, start(t, strategy, cache.Options{}), "c", cache.Policy[int]{})
		request, leave := context.WithCancel(t.Context())
		dying := &database{during: func(context.Context, []string) error { <-request.Done(); return request.Err() }}
		one := async(func() (map[string]int, error) {
			return c.GetOrLoadMany(request, []string{"a", "bb", "ccc"}, dying.load)
		})
		synctest.Wait()
		d := new(database)
		two := async(func() (map[string]int, error) {
			return c.GetOrLoadMany(t.Context(), []string{"ccc", "bb", "dddd"}, d.load)
		})
		synctest.Wait()
		d.loads(t, []string{"dddd"})
		leave()
		<-one
		if got := <-two; got.err != nil {
			t.Errorf("the other: %v", got.err)
		} else {
			hasLengths(t, got.value, "bb", "ccc", "dddd")
		}
		d.loads(t, []string{"bb", "ccc"})
	})
}

// A caller that has left before its load begins leaves it to the next one.
func TestLoadManyOwnerLeavesBeforeTheLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, leasing{newBigcache(t)}, cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		release := recorder.Block(drivertest.OpGetOrLeaseMany)
		ctx, leave := context.WithCancel(t.Context())
		gone, d := new(database), new(database)
		one := async(func() (map[string]int, error) { return c.GetOrLoadMany(ctx, []string{"a", "bb"}, gone.load) })
		synctest.Wait()
		two := async(func() (map[string]int, error) { return c.GetOrLoadMany(t.Context(), []string{"bb", "a"}, d.load) })
		synctest.Wait()
		leave()
		<-one
		release()
		if got := <-two; got.err != nil {
			t.Error(got.err)
		} else {
			hasLengths(t, got.value, "a", "bb")
		}
		gone.loads(t)
		d.loads(t, []string{"a", "bb"})
	})
}
