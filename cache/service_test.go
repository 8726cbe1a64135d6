package cache_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// operations are all operations of a Service and its caches.
var operations = map[string]func(context.Context, *cache.Service, *cache.Cache[int]) error{
	"Service.Get": func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error {
		_, err := s.Get(ctx, "k", new(int))
		return err
	},
	"Service.Set": func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error {
		return s.Set(ctx, "k", 1, cache.SetOptions{})
	},
	"Service.Delete": func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error { return s.Delete(ctx, "k") },
	"Service.InvalidateTags": func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error {
		return s.InvalidateTags(ctx, "t")
	},
	"Service.Clear": func(ctx context.Context, s *cache.Service, _ *cache.Cache[int]) error { return s.Clear(ctx) },
	"Cache.Get": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
		_, _, err := c.Get(ctx, "k")
		return err
	},
	"Cache.Set":    func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Set(ctx, "k", 1) },
	"Cache.Delete": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error { return c.Delete(ctx, "k") },
	"Cache.InvalidateTags": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
		return c.InvalidateTags(ctx, "t")
	},
	"Cache.GetOrLoad": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
		_, err := c.GetOrLoad(ctx, "k", value(1))
		return err
	},
	"Cache.Update": func(ctx context.Context, _ *cache.Service, c *cache.Cache[int]) error {
		_, err := c.Update(ctx, "k", value(1))
		return err
	},
}

func TestPhases(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		service := newService(t, kind.make(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		expect := func(phase string, want error) {
			t.Helper()
			for name, operation := range operations {
				err := operation(t.Context(), service, c)
				var wrapped *cache.Error
				if !errors.Is(err, want) || want != nil && (!errors.As(err, &wrapped) || wrapped.Strategy != "test") {
					t.Errorf("%s, %s: %s = %v, want %v", kind.name, phase, name, err, want)
				}
			}
		}
		expect("before Start", cache.ErrNotStarted)
		if err := service.Stop(t.Context()); err != nil {
			t.Errorf("Stop before Start: %v", err)
		}
		expect("Stop before Start does nothing", cache.ErrNotStarted)
		for range 2 {
			if err := service.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			expect("started", nil)
			if err := service.Start(t.Context(), nil); err == nil {
				t.Error("a second Start succeeded")
			}
			expect("a refused Start changes nothing", nil)
			for range 2 {
				if err := service.Stop(t.Context()); err != nil {
					t.Errorf("Stop: %v", err)
				}
				expect("stopped", cache.ErrClosed)
			}
		}
	}
}

// lifecycle is a strategy that counts Init and Destroy, and fails when told to.
type lifecycle struct {
	table
	inits, destroys      int
	initError, initPanic error
	destroyError         error
}

func (s *lifecycle) Init(context.Context, driver.Injector) error {
	s.inits++
	if s.initPanic != nil {
		panic(s.initPanic)
	}
	return s.initError
}

func (s *lifecycle) Destroy(context.Context) error {
	s.destroys++
	return s.destroyError
}

// A failed Init releases what it opened, and Start may be tried again.
func TestInitFails(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*lifecycle){
		"error":                 func(s *lifecycle) { s.initError = errOutage },
		"panic":                 func(s *lifecycle) { s.initPanic = errOutage },
		"error, Destroy failed": func(s *lifecycle) { s.initError, s.destroyError = errOutage, errors.New("stuck") },
	} {
		strategy := new(lifecycle)
		breakIt(strategy)
		service := newService(t, strategy, cache.Options{})
		err := service.Start(t.Context(), nil)
		var wrapped *cache.Error
		if !errors.Is(err, errOutage) || !errors.As(err, &wrapped) || wrapped.Op != "start" {
			t.Errorf("%s: Start = %v", name, err)
		}
		if err != nil && strings.Count(err.Error(), "cache start") != 1 {
			t.Errorf("%s: wrapped more than once: %v", name, err)
		}
		if strategy.destroys != 1 {
			t.Errorf("%s: Destroy was called %d times, want once", name, strategy.destroys)
		}
		if err := service.Set(t.Context(), "k", 1, cache.SetOptions{}); !errors.Is(err, cache.ErrNotStarted) {
			t.Errorf("%s: then Set = %v", name, err)
		}
		strategy.initError, strategy.initPanic, strategy.destroyError = nil, nil, nil
		if err := service.Start(t.Context(), nil); err != nil {
			t.Errorf("%s: Start again = %v", name, err)
		}
		mustSet(t, service, "k", 1, cache.SetOptions{})
		if err := service.Stop(t.Context()); err != nil || strategy.destroys != 2 || strategy.inits != 2 {
			t.Errorf("%s: Stop = %v, %d inits, %d destroys", name, err, strategy.inits, strategy.destroys)
		}
	}
}

func TestDestroyFails(t *testing.T) {
	t.Parallel()
	strategy := &lifecycle{destroyError: errOutage}
	service := newService(t, strategy, cache.Options{})
	if err := service.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	err := service.Stop(t.Context())
	var wrapped *cache.Error
	if !errors.Is(err, errOutage) || !errors.As(err, &wrapped) || wrapped.Op != "stop" {
		t.Errorf("Stop = %v", err)
	}
	if err := service.Stop(t.Context()); err != nil || strategy.destroys != 1 {
		t.Errorf("the second Stop: %v, %d destroys", err, strategy.destroys)
	}
}

// A panic of foreign code does not leave the API. Everything still works after it.
func TestPanicsStayInside(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for operation, call := range operations {
			service, recorder, _ := record(t, kind.make(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{})
			all := []string{
				drivertest.OpGet, drivertest.OpSet, drivertest.OpDelete, drivertest.OpInvalidate, drivertest.OpGetOrLease,
				drivertest.OpLease, drivertest.OpFill, drivertest.OpRelease, drivertest.OpClear,
			}
			for _, name := range all {
				recorder.Before(name, func(context.Context, string) { panic(errOutage) })
			}
			err := call(t.Context(), service, c)
			if failsOpen := operation == "Cache.GetOrLoad"; failsOpen != (err == nil) || !failsOpen && !errors.Is(err, errOutage) {
				t.Errorf("%s over %s = %v", operation, kind.name, err)
			}
			for _, name := range all {
				recorder.Before(name, nil)
			}
			for name, call := range operations {
				if err := call(t.Context(), service, c); err != nil {
					t.Errorf("%s after a panic in %s over %s = %v", name, operation, kind.name, err)
				}
			}
		}
	}
}

// A panic of a Strategy without leases does not keep its key leased.
func TestPanicInFencedGetReleasesTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, new(table), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		calls := 0
		recorder.Before(drivertest.OpGet, func(context.Context, string) {
			if calls++; calls == 2 { // the read under the lease
				panic("driver bug")
			}
		})
		if got, err := c.GetOrLoad(t.Context(), "k", value(1)); got != 1 || err != nil {
			t.Errorf("GetOrLoad = %v, %v", got, err)
		}
		began := time.Now()
		if got, err := c.GetOrLoad(t.Context(), "k", value(2)); got != 2 || err != nil || time.Since(began) != 0 {
			t.Errorf("the next GetOrLoad = %v, %v after %v", got, err, time.Since(began))
		}
	})
}

type point struct{ X, Y int }

// V1: zero values are hits with every codec, and come back unchanged.
func TestEveryValueIsAHit(t *testing.T) {
	t.Parallel()
	for _, name := range codec.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chosen, err := codec.ByName(name)
			if err != nil {
				t.Fatal(err)
			}
			service := start(t, newBigcache(t), cache.Options{Codec: chosen})
			hits(t, service, 0, -1, 1<<62)
			hits(t, service, false, true)
			hits(t, service, "", "a", "ein Ärger: 100 %")
			hits(t, service, 0.0, 1.5)
			hits(t, service, []string{}, []string{"", "a"})
			hits(t, service, []byte{}, []byte{0})
			hits(t, service, map[string]int{}, map[string]int{"": 0})
			hits(t, service, (*int)(nil), new(int))
			hits(t, service, (*point)(nil), &point{}, &point{1, 0})
			hits(t, service, point{}, point{0, 2})
			hits(t, service, [2]bool{})
			hits(t, service, time.Duration(0), time.Second)
			hits(t, service, struct{}{})
			// These types encode themselves, whatever the codec.
			hits(t, service, byValue{}, byValue{"v"})
			hits(t, service, &byValue{}, &byValue{"v"})
			hits(t, service, byPointer{}, byPointer{"p"})
			hits(t, service, &byPointer{}, &byPointer{"p"})
			hits(t, service, owning{}, owning{[]byte("o")})
			hits(t, service, &owning{}, &owning{[]byte("o")})
			hits(t, service, time.Unix(1, 999999999).UTC(), time.Time{})
		})
	}
}

// hits stores each value in turn, through a Cache and through the Service, and reads it back.
func hits[T any](t *testing.T, service *cache.Service, values ...T) {
	t.Helper()
	c := newCache(t, service, fmt.Sprintf("%T", *new(T)), cache.Policy[T]{})
	ctx := t.Context()
	for i, want := range values {
		key := fmt.Sprintf("%T.%d", want, i)
		loaded, err := c.GetOrLoad(ctx, "loaded"+key, value(want))
		again, againErr := c.GetOrLoad(ctx, "loaded"+key, unexpected[T](t))
		if err != nil || againErr != nil || !same(loaded, want) || !same(again, want) {
			t.Errorf("%T: GetOrLoad = %#v, %v, then %#v, %v; want %#v", want, loaded, err, again, againErr, want)
		}
		if err := c.Set(ctx, key, want); err != nil {
			t.Errorf("%T: Set(%#v) = %v", want, want, err)
		}
		if got, found, err := c.Get(ctx, key); !found || err != nil || !same(got, want) {
			t.Errorf("%T: Get = %#v, %v, %v; want %#v", want, got, found, err, want)
		}
		if err := service.Set(ctx, key, want, cache.SetOptions{}); err != nil {
			t.Errorf("%T: Service.Set(%#v) = %v", want, want, err)
		}
		var got T
		if found, err := service.Get(ctx, key, &got); !found || err != nil || !same(got, want) {
			t.Errorf("%T: Service.Get = %#v, %v, %v; want %#v", want, got, found, err, want)
		}
	}
}

// same is reflect.DeepEqual, except that it compares times with Equal.
func same[T any](got, want T) bool {
	if wanted, ok := any(want).(time.Time); ok {
		return wanted.Equal(any(got).(time.Time))
	}
	return reflect.DeepEqual(got, want)
}

type byValue struct{ text string }

func (v byValue) AppendBinary(dst []byte) ([]byte, error) { return append(dst, v.text...), nil }
func (v *byValue) UnmarshalBinary(data []byte) error {
	v.text = string(data)
	return nil
}

type byPointer struct{ text string }

func (v *byPointer) AppendBinary(dst []byte) ([]byte, error) { return append(dst, v.text...), nil }
func (v *byPointer) UnmarshalBinary(data []byte) error {
	v.text = string(data)
	return nil
}

// owning keeps the bytes from which it is decoded.
type owning struct{ bytes []byte }

func (v *owning) AppendBinary(dst []byte) ([]byte, error) { return append(dst, v.bytes...), nil }
func (v *owning) UnmarshalOwned(data []byte) error {
	if len(data) > 0 {
		v.bytes = data
	}
	return nil
}

// V1 for pointers to types that encode themselves: nil is a value like any other.
func TestNilOfSelfEncodingTypeIsAHit(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{})
	hits[*byValue](t, service, nil)
	hits[*byPointer](t, service, nil)
	hits[*owning](t, service, nil)
	hits[*time.Time](t, service, nil)
}

func TestGetNeedsAPointer(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{})
	mustSet(t, service, "k", 1, cache.SetOptions{})
	for _, target := range []any{nil, 1, (*int)(nil), point{}} {
		if found, err := service.Get(t.Context(), "k", target); found || !errors.Is(err, cache.ErrEncoding) {
			t.Errorf("Get into %T = %v, %v", target, found, err)
		}
	}
	target := 7
	if found, err := service.Get(t.Context(), "missing", &target); found || err != nil || target != 7 {
		t.Errorf("a miss = %v, %v, and left %d", found, err, target)
	}
}

func TestClearUnsupported(t *testing.T) {
	t.Parallel()
	for _, strategy := range []driver.Strategy{unclearable{new(table)}, struct{ driver.Leaser }{newBigcache(t)}} {
		service := newService(t, strategy, cache.Options{})
		if leaser, ok := strategy.(struct{ driver.Leaser }); ok {
			if err := leaser.Leaser.(driver.Initializer).Init(t.Context(), drivertest.NewInjector(t, service.Options())); err != nil {
				t.Fatal(err)
			}
		}
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		mustSet(t, service, "k", 1, cache.SetOptions{})
		if err := service.Clear(t.Context()); !errors.Is(err, cache.ErrUnsupported) {
			t.Errorf("Clear = %v", err)
		}
		if found, err := service.Get(t.Context(), "k", new(int)); !found || err != nil {
			t.Errorf("Get = %v, %v", found, err)
		}
		if err := service.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	service := start(t, new(table), cache.Options{})
	mustSet(t, service, "k", 1, cache.SetOptions{})
	if err := service.Clear(t.Context()); err != nil {
		t.Errorf("Clear = %v", err)
	}
	mustMiss(t, service, "k")
}
