package bigcache_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// opened is an initialised strategy with a clock that stands still.
type opened struct {
	testing.TB
	*bigcache.Strategy
	clock *drivertest.Clock
}

// start initialises a strategy as an application with those options would.
func start(t testing.TB, options bigcache.Options, service cache.Options) *opened {
	t.Helper()
	clock := drivertest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC))
	service.Clock = clock
	strategy, err := bigcache.New(options)
	if err != nil {
		t.Fatal(err)
	}
	o := &opened{t, strategy, clock}
	o.init(service)
	t.Cleanup(o.destroy)
	return o
}

func (o *opened) init(service cache.Options) {
	o.Helper()
	if err := o.Init(o.Context(), drivertest.NewInjector(o, service)); err != nil {
		o.Fatal(err)
	}
}

func (o *opened) destroy() {
	o.Helper()
	if err := o.Destroy(o.Context()); err != nil {
		o.Error(err)
	}
}

func (o *opened) set(key, value string, tags ...string) {
	o.Helper()
	if err := o.Set(o.Context(), key, []byte(value), driver.SetOptions{TTL: time.Hour, Tags: tags}); err != nil {
		o.Fatalf("Set of %d bytes: %v", len(value), err)
	}
}

// refused checks that Set fails with want.
func (o *opened) refused(want error, key string, value []byte, tags ...string) {
	o.Helper()
	if err := o.Set(o.Context(), key, value, driver.SetOptions{TTL: time.Hour, Tags: tags}); !errors.Is(err, want) {
		o.Errorf("Set: error %v, want %v", err, want)
	}
}

func (o *opened) get(key string) (string, bool) {
	o.Helper()
	value, found, err := o.Get(o.Context(), key)
	if err != nil {
		o.Fatalf("Get: %v", err)
	}
	return string(value), found
}

func (o *opened) hit(key, want string) {
	o.Helper()
	if got, found := o.get(key); !found || got != want {
		o.Errorf("Get: %d bytes, found %t; want a hit of %d bytes, the same", len(got), found, len(want))
	}
}

func (o *opened) miss(key string) {
	o.Helper()
	if got, found := o.get(key); found {
		o.Errorf("Get: a hit of %d bytes, want a miss", len(got))
	}
}

func (o *opened) invalidate(tags ...string) {
	o.Helper()
	if err := o.InvalidateTags(o.Context(), tags...); err != nil {
		o.Fatal(err)
	}
}

func (o *opened) lease(key string) *driver.Lease {
	o.Helper()
	lease, err := o.Lease(o.Context(), key)
	if err != nil || lease == nil {
		o.Fatalf("Lease: granted %t, error %v; want one", lease != nil, err)
	}
	return lease
}

func (o *opened) fill(lease *driver.Lease, value string, tags ...string) (stored bool) {
	o.Helper()
	stored, err := o.Fill(o.Context(), lease, []byte(value), driver.SetOptions{TTL: time.Hour, Tags: tags})
	if err != nil {
		o.Fatalf("Fill: %v", err)
	}
	return stored
}
