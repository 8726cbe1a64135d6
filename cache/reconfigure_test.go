package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// An Init that fails, panics or hangs changes nothing, and leaves nothing open: not in another
// store either.
func TestInitOfTheNewStorageFails(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(context.Context) error{
		"fails":  func(context.Context) error { return errOutage },
		"panics": func(context.Context) error { panic("bug") },
		"hangs": func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, other := watch(newServer(t, "a")), watch(newServer(t, "other"))
				service := startStores(t, a.strategy, other.strategy, shop, cache.Options{})
				next, broken := watch(newServer(t, "b")), watch(newServer(t, "c"))
				broken.begin = begin
				changed := shop
				changed.DefaultTTL = time.Minute
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := service.Reconfigure(ctx, nil, cache.Store{Strategy: next.strategy, Options: quiet(changed)},
					cache.Store{Name: "other", Strategy: broken.strategy}, placed)
				if err == nil || !strings.Contains(err.Error(), "other") {
					t.Errorf("%v, want an error that names the store", err)
				}
				if n, m := next.destroyed.Load(), broken.destroyed.Load(); n != 1 || m != 1 {
					t.Errorf("the new strategies are destroyed %d and %d times", n, m)
				}
				if got := service.Options().DefaultTTL; got != 0 {
					t.Errorf("default_ttl is %v", got)
				}
				pass(3 * handover)
				next.Reset()
				mustSet(t, service, "k", 1, cache.SetOptions{})
				if err := service.Delete(t.Context(), "k"); err != nil || len(next.Operations()) > 0 || a.destroyed.Load() > 0 {
					t.Errorf("%v, the new storage is asked %v, and the old strategy destroyed %d times", err, names(next.Recorder), a.destroyed.Load())
				}
			})
		})
	}
}

// Stop ends an Init that hangs, and does not wait for more.
func TestStopEndsAReconfigure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
		s := newSwapping(t, a.strategy, shop)
		b.begin = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		done := async(func() (int, error) { return 0, reconfigure(s.service, b.strategy, shop) })
		synctest.Wait()
		began := time.Now()
		if err := s.service.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if d := <-done; !errors.Is(d.err, context.Canceled) || time.Since(began) > time.Second {
			t.Errorf("Reconfigure = %v after %v", d.err, time.Since(began))
		}
		if n, m := a.destroyed.Load(), b.destroyed.Load(); n != 1 || m != 1 {
			t.Errorf("destroyed %d and %d times", n, m)
		}
	})
}

// limited is a strategy that takes other limits, up to some.
type limited struct {
	*table
	most driver.Size
	mu   sync.Mutex
	in   []driver.Limits
}

func (s *limited) CheckLimits(limits driver.Limits) error {
	if limits.MaxValueBytes > s.most {
		return &driver.OptionError{Name: "max_value_bytes", Reason: "is too much"}
	}
	return nil
}

func (s *limited) SetLimits(limits driver.Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in = append(s.in, limits)
}

// What cannot change while the application runs is an error that says so, and changes nothing.
func TestReconfigureRefuses(t *testing.T) {
	t.Parallel()
	service := startStores(t, new(table), &limited{table: new(table), most: driver.MiB}, shop, cache.Options{Namespace: "other"})
	newCache(t, service, "c", cache.Policy[int]{})
	newCache(t, service, "fresh", cache.Policy[int]{Fresh: func(int) bool { return true }})
	other := cache.Store{Name: "other", Options: cache.Options{Namespace: "other"}}
	change := func(change func(*cache.Options)) cache.Options {
		options := quiet(shop)
		change(&options)
		return options
	}
	same := quiet(shop)
	for want, test := range map[string]struct {
		options cache.Options
		parts   []cache.Part
	}{
		`the store "new": a store cannot be added`:                        {same, []cache.Part{other, placed, cache.Store{Name: "new", Strategy: new(table)}}},
		`the store "other": a store cannot be removed`:                    {same, []cache.Part{placed}},
		"caches.c.store: cannot change while the application runs":        {same, []cache.Part{other}},
		"caches.c.codec: cannot change while the application runs":        {same, []cache.Part{other, cache.Caches{"c": {Store: "other", Codec: cache.JSON{}}}}},
		"caches.d.store: there is no such store":                          {same, []cache.Part{other, cache.Caches{"c": {Store: "other"}, "d": {Store: "x"}}}},
		"caches.c.ttl: must be positive":                                  {same, []cache.Part{other, cache.Caches{"c": {Store: "other", TTL: new(time.Duration)}}}},
		"namespace: cannot change without a new storage":                  {change(func(o *cache.Options) { o.Namespace = "x" }), []cache.Part{other, placed}},
		"max_value_bytes: cannot be raised":                               {change(func(o *cache.Options) { o.MaxValueBytes = driver.MiB }), []cache.Part{other, placed}},
		"max_ttl: cannot be raised":                                       {change(func(o *cache.Options) { o.MaxTTL = 1e4 * time.Hour }), []cache.Part{other, placed}},
		"max_tags: cannot be raised":                                      {change(func(o *cache.Options) { o.MaxTags = 1e3 }), []cache.Part{other, placed}},
		"max_key_bytes: cannot be raised":                                 {change(func(o *cache.Options) { o.MaxKeyBytes = 2 * driver.KiB }), []cache.Part{other, placed}},
		"timeout: must be positive":                                       {change(func(o *cache.Options) { o.Timeout = -1 }), []cache.Part{other, placed}},
		"handover: must be positive":                                      {change(func(o *cache.Options) { o.Handover = 2 * time.Hour }), []cache.Part{other, placed}},
		`the store "other": max_value_bytes: is too much`:                 {same, []cache.Part{cache.Store{Name: "other", Options: cache.Options{Namespace: "other", MaxValueBytes: 2 * driver.MiB}}, placed}},
		`the store "other": namespace: cannot change without a new stora`: {same, []cache.Part{cache.Store{Name: "other", Options: cache.Options{Namespace: "x"}}, placed}},
	} {
		err := service.Reconfigure(t.Context(), nil, cache.Store{Options: test.options}, test.parts...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	if got := service.Options(); got.MaxValueBytes != shop.MaxValueBytes || got.Namespace != shop.Namespace || got.Timeout != shop.Timeout {
		t.Errorf("the options have changed: %+v", got)
	}
	if err := service.Reconfigure(t.Context(), nil, cache.Store{Options: same}, other, placed); err != nil {
		t.Errorf("what is the same: %v", err)
	}
	unstarted := newService(t, new(table), shop)
	if err := reconfigure(unstarted, nil, shop); !errors.Is(err, cache.ErrNotStarted) {
		t.Errorf("before Start: %v", err)
	}
}

// Options apply at once, to what is done from then on.
func TestOptionsInPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := &limited{table: new(table), most: driver.MiB}
		strategy, recorder := drivertest.Record(storage)
		s := newSwapping(t, strategy, shop)
		options := shop
		options.Timeout, options.DefaultTTL, options.MaxValueBytes, options.MaxTTL = 2*time.Second, time.Minute, 100, time.Hour
		options.BreakerFailures, options.BreakerPause = 1, time.Hour
		options.MaxPendingRevocations = 2
		if err := reconfigure(s.service, nil, options, cache.Caches{"c": {TTL: ptr(30 * time.Second)}}); err != nil {
			t.Fatal(err)
		}
		if len(storage.in) != 1 || storage.in[0].MaxValueBytes != 100 || storage.in[0].KeyPrefix != "shop:" || storage.in[0].Timeout != 2*time.Second {
			t.Errorf("the strategy got %+v", storage.in)
		}
		mustSet(t, s.service, "k", 1, cache.SetOptions{})
		if row, _ := storage.row("shop::k"); row.ttl != time.Minute {
			t.Errorf("default_ttl: %v", row.ttl)
		}
		if err := s.Set(t.Context(), "k", 1); err != nil {
			t.Error(err)
		}
		if row, _ := storage.row("shop:c:k"); row.ttl != 30*time.Second {
			t.Errorf("the ttl of the cache: %v", row.ttl)
		}
		if err := s.service.Set(t.Context(), "k", strings.Repeat("x", 200), cache.SetOptions{}); !errors.Is(err, cache.ErrValueTooLarge) {
			t.Errorf("max_value_bytes: %v", err)
		}
		recorder.DelayNext(drivertest.OpDelete, 1, time.Hour)
		began := time.Now()
		pending(t, s.Delete(t.Context(), "k"))
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("timeout: %v", took)
		}
		pass(time.Minute)
		release := recorder.Block(drivertest.OpDelete)
		recorder.FailNext(drivertest.OpClear, 1e6, errOutage)
		for i := range 3 {
			pending(t, s.Delete(t.Context(), fmt.Sprint(i)))
		}
		wantPending(t, s.service, 1) // a Clear
		release()
	})
}

// Revocations stay pending for as long as entries may live that were stored before max_ttl was
// lowered.
func TestLowerMaxTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy, recorder := drivertest.Record(newServerClient(t))
		s := newSwapping(t, strategy, shop)
		s.load(1, 1) // for 720h
		options := shop
		options.MaxTTL = time.Minute
		if err := reconfigure(s.service, nil, options); err != nil {
			t.Fatal(err)
		}
		release := recorder.Block(drivertest.OpDelete)
		pending(t, s.Delete(t.Context(), "k"))
		pass(time.Hour)
		wantPending(t, s.service, 1)
		release()
		pass(time.Minute)
		s.load(2, 2)
	})
}

func newServerClient(t *testing.T) driver.Strategy { return &client{server: newServer(t, "a")} }

// max_concurrent_loads can be raised and lowered while loads run and wait.
func TestMaxConcurrentLoadsInPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy, recorder := drivertest.Record(new(table))
		recorder.FailNext(drivertest.OpGet, 1e6, errOutage)
		options := shop
		options.MaxConcurrentLoads, options.BreakerFailures = 2, 1<<20
		s := newSwapping(t, strategy, options)
		resize := func(places int) {
			t.Helper()
			options.MaxConcurrentLoads = places
			if err := reconfigure(s.service, nil, options); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		var mu sync.Mutex
		running := 0
		gate := make(chan struct{})
		var all []<-chan outcome[int]
		load := func(n int) {
			for range n {
				key := fmt.Sprint("k", len(all))
				all = append(all, async(func() (int, error) {
					return s.GetOrLoad(t.Context(), key, func(context.Context) (int, error) {
						mu.Lock()
						running++
						mu.Unlock()
						<-gate
						mu.Lock()
						running--
						mu.Unlock()
						return 1, nil
					})
				}))
			}
			synctest.Wait()
		}
		want := func(n int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if running != n {
				t.Errorf("%d loads run, want %d", running, n)
			}
		}
		load(6)
		want(2)
		resize(4)
		want(4)
		resize(1)
		want(4)
		for _, n := range []int{3, 2, 1, 1, 1} { // two still wait
			gate <- struct{}{}
			want(n)
		}
		resize(3)
		load(3)
		want(3)
		close(gate)
		for _, one := range all {
			if got := <-one; got.err != nil {
				t.Error(got.err)
			}
		}
	})
}

// What a further store does not say is as in the new options of the store "default", not in the old
// ones.
func TestReconfiguredStoresInherit(t *testing.T) {
	t.Parallel()
	service, err := cache.NewService(newBigcache(t), cache.Options{MaxTTL: time.Hour}, cache.Store{Name: "other", Strategy: newBigcache(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(t.Context(), nil); err == nil {
		t.Cleanup(func() { _ = service.Stop(context.Background()) })
	} else {
		t.Fatal(err)
	}
	other := cache.Store{Name: "other", Options: cache.Options{DefaultTTL: 2 * time.Minute}}
	err = service.Reconfigure(t.Context(), nil, cache.Store{Options: cache.Options{MaxTTL: time.Minute}}, other)
	var option *cache.OptionError
	if !errors.As(err, &option) || option.Name != "default_ttl" {
		t.Errorf("a default_ttl above the max_ttl that is inherited: %v", err)
	}
}
