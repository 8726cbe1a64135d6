package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// placed places the cache "c" in the store "other".
var placed = cache.Caches{"c": {Store: "other"}}

// startStores returns a started Service over the store "default" and one named "other".
func startStores(t testing.TB, strategy, other driver.Strategy, options, its cache.Options, parts ...cache.Part) *cache.Service {
	t.Helper()
	service, err := cache.NewService(strategy, quiet(options), append(parts, placed, cache.Store{Name: "other", Strategy: other, Options: its})...)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Stop(context.Background()); err != nil && !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("Stop: %v", err)
		}
	})
	return service
}

func storeNamed(t testing.TB, service *cache.Service, name string) cache.StoreInfo {
	t.Helper()
	for _, store := range service.Stores() {
		if store.Name == name {
			return store
		}
	}
	t.Fatalf("there is no store %q", name)
	return cache.StoreInfo{}
}

// What cannot be a store, or a place for a cache, is an error that names it.
func TestStoresThatCannotBe(t *testing.T) {
	t.Parallel()
	var absent *table
	shop := cache.Options{Namespace: "shop"}
	for want, parts := range map[string][]cache.Part{
		`cache: the store "a" needs a strategy`:                                                                       {cache.Store{Name: "a"}},
		`cache: the store "b" needs a strategy`:                                                                       {cache.Store{Name: "b", Strategy: absent}},
		`cache: the store "": name: must not be empty`:                                                                {cache.Store{Strategy: new(table)}},
		`cache: the store "default": name: is given to two stores`:                                                    {cache.Store{Name: "default", Strategy: new(table)}},
		`cache: the store "a": name: is given to two stores`:                                                          {cache.Store{Name: "a", Strategy: new(table)}, cache.Store{Name: "a", Strategy: new(table)}},
		`cache: the store "a": max_tags: must be between`:                                                             {cache.Store{Name: "a", Strategy: new(table), Options: cache.Options{MaxTags: -1}}},
		`cache: the store "a": namespace: must differ from that of the store "default", which is in the same storage`: {cache.Store{Name: "a", Strategy: newShared("one")}},
		`caches.x.store: there is no such store; choose one of a, default`:                                            {cache.Store{Name: "a", Strategy: new(table)}, cache.Caches{"x": {Store: "b"}}},
		`caches.x.ttl: must be positive`:                                                                              {cache.Caches{"x": {TTL: new(time.Duration)}}},
	} {
		if _, err := cache.NewService(newShared("one"), quiet(shop), parts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	_, err := cache.NewService(new(table), quiet(cache.Options{}), cache.Store{Name: "a", Strategy: newShared("one")})
	var failed *cache.StoreError
	var option *cache.OptionError
	if !errors.As(err, &failed) || failed.Name != "a" || !errors.As(err, &option) || option.Name != "namespace" {
		t.Errorf("the default namespace in a shared storage: %v", err)
	}
	if _, err := cache.NewService(newShared("one"), quiet(shop), cache.Store{Name: "a", Strategy: newShared("two")},
		cache.Store{Name: "b", Strategy: newShared("one"), Options: cache.Options{Namespace: "b"}}, cache.Store{Name: "c", Strategy: new(table)}); err != nil {
		t.Errorf("another storage, or another namespace: %v", err)
	}
}

// lazy is a storage that knows its ID, or where it is, after Init alone.
type lazy struct {
	*shared
	known             bool
	id, where, before string
}

func (s *lazy) Init(context.Context, driver.Injector) error { s.known = true; return nil }
func (s *lazy) Destroy(context.Context) error               { s.known = false; return nil }

func (s *lazy) StorageID() string {
	if s.known {
		return s.id
	}
	return ""
}

func (s *lazy) Location() string {
	if s.known {
		return s.where
	}
	return s.before
}

// That two stores are one can be known before Init by their Location, and after it by their
// Location or StorageID. A Start that finds it leaves nothing open, and may be tried again.
func TestStoresOfOneStorage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		one, other lazy
		refused    string
	}{
		"one location":         {lazy{before: "a"}, lazy{before: "a"}, "new"},
		"one location at last": {lazy{before: "a", where: "a"}, lazy{before: "b", where: "a"}, "start"},
		"one ID":               {lazy{before: "a", where: "a", id: "x"}, lazy{before: "b", where: "b", id: "x"}, "start"},
		"nothing is known":     {lazy{}, lazy{}, ""},
		"two":                  {lazy{where: "a", id: "x"}, lazy{where: "b", id: "y"}, ""},
	} {
		test.one.shared, test.other.shared = newShared(""), newShared("")
		service, err := cache.NewService(&test.one, quiet(cache.Options{Namespace: "shop"}), cache.Store{Name: "other", Strategy: &test.other})
		when := "new"
		for range 2 {
			if service != nil {
				when, err = "start", service.Start(t.Context(), nil)
			}
			var store *cache.StoreError
			switch {
			case test.refused == "" && err != nil:
				t.Errorf("%s: %v", name, err)
			case test.refused != "" && (when != test.refused || !errors.As(err, &store) || store.Name != "other"):
				t.Errorf("%s: %s = %v", name, when, err)
			}
			if service != nil && test.refused == "" {
				if err := service.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if test.one.known || test.other.known {
				t.Errorf("%s: something is open", name)
			}
		}
	}
}

// Several stores need a container that can be a scope of each of them.
func TestStoresNeedAContainer(t *testing.T) {
	t.Parallel()
	service, err := cache.NewService(new(table), quiet(cache.Options{Namespace: "shop"}), cache.Store{Name: "other", Strategy: &lazy{shared: newShared("x")}})
	if err != nil {
		t.Fatal(err)
	}
	err = service.Start(t.Context(), injector{in(t, service, func() int { return 1 })})
	var failed *cache.Error
	if !errors.As(err, &failed) || failed.Store != "other" || !strings.Contains(err.Error(), "*dig.Container") {
		t.Errorf("Start = %v", err)
	}
}

// injector hides all of a container but Invoke.
type injector struct{ driver.Injector }

// A revocation that some stores do not take is pending there, and there alone: they serve no hits,
// and the others do. If several do not take it, the error ends with the last of them.
func TestRevocationsOfSeveralStores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := newFragile(t), newFragile(t)
		service := startStores(t, here, there, cache.Options{MaxTTL: time.Hour}, cache.Options{MaxTTL: 3 * time.Hour, StrategyName: "theirs"})
		c := newCache(t, service, "c", cache.Policy[int]{Tags: []string{"t"}})
		d := newCache(t, service, "d", cache.Policy[int]{Tags: []string{"t"}})
		for _, both := range []*cache.Cache[int]{c, d} {
			if err := both.Set(t.Context(), "k", 1); err != nil {
				t.Fatal(err)
			}
		}
		there.revocations.Store(true)
		err := service.InvalidateTags(t.Context(), "u")
		var failed *cache.Error
		if pending := pendingError(t, err); !errors.As(err, &failed) || failed.Store != "other" || failed.Strategy != "theirs" ||
			!pending.Until.After(time.Now().Add(3*time.Hour-time.Minute)) || !strings.HasPrefix(err.Error(), "cache invalidate (other: theirs): ") {
			t.Errorf("InvalidateTags = %v", err)
		}
		if _, _, err := c.Get(t.Context(), "k"); !errors.Is(err, cache.ErrUnavailable) && !errors.Is(err, cache.ErrRevocationPending) && !errors.Is(err, errOutage) {
			t.Errorf("a hit where a revocation is pending: %v", err)
		}
		if v, found, err := d.Get(t.Context(), "k"); v != 1 || !found || err != nil {
			t.Errorf("no hit in the other store: %v, %t, %v", v, found, err)
		}
		if a, b := storeNamed(t, service, "default").Stats.PendingRevocations, storeNamed(t, service, "other").Stats.PendingRevocations; a != 0 || b != 1 {
			t.Errorf("%d and %d are pending, want 0 and 1", a, b)
		}
		here.revocations.Store(true)
		for name, revoke := range map[string]func() error{
			"tags": func() error { return service.InvalidateTags(t.Context(), "t") }, "clear": func() error { return service.Clear(t.Context()) },
		} {
			err := revoke()
			if !errors.As(err, &failed) || failed.Store != "" || failed.Strategy != "" || !errors.Is(err, errOutage) {
				t.Errorf("%s, both: %v", name, err)
			}
			if until := pendingError(t, err).Until; !until.After(time.Now().Add(2 * time.Hour)) {
				t.Errorf("%s, both: until %v, and not when the last one ends", name, until)
			}
			for _, store := range []string{"(test)", "(other: theirs)"} {
				if !strings.Contains(err.Error(), store) {
					t.Errorf("%s, both: it does not name %s: %v", name, store, err)
				}
			}
		}
		here.revocations.Store(false)
		there.revocations.Store(false)
		<-time.After(time.Minute)
		wantPending(t, service, 0)
		for _, both := range []*cache.Cache[int]{c, d} {
			if _, found, err := both.Get(t.Context(), "k"); found || err != nil {
				t.Errorf("after both are back: %t, %v", found, err)
			}
		}
	})
}

// A store that hangs holds up a revocation in no other store, and a Clear that one store does not
// have is done in the others.
func TestRevocationsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow, recorder := drivertest.Record(newBigcache(t))
		quick, seen := drivertest.Record(newBigcache(t))
		service := startStores(t, slow, quick, cache.Options{Timeout: time.Second}, cache.Options{})
		recorder.DelayNext(drivertest.OpInvalidate, 1, 900*time.Millisecond)
		seen.DelayNext(drivertest.OpInvalidate, 1, 900*time.Millisecond)
		began := time.Now()
		if err := service.InvalidateTags(t.Context(), "t"); err != nil || time.Since(began) != 900*time.Millisecond {
			t.Errorf("%v after %v: one after the other", err, time.Since(began))
		}
		unclear := startStores(t, unclearable{new(table)}, newBigcache(t), cache.Options{}, cache.Options{})
		c := newCache(t, unclear, "c", cache.Policy[int]{})
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		err := unclear.Clear(t.Context())
		if _, found, _ := c.Get(t.Context(), "k"); found || !errors.Is(err, cache.ErrUnsupported) {
			t.Errorf("Clear = %v; found %t in the store that can", err, found)
		}
	})
}

// Each store has its own deadline, breaker, and places for loads.
func TestStoresHaveTheirOwnLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, hers := drivertest.Record(newBigcache(t))
		there, theirs := drivertest.Record(newBigcache(t))
		service := startStores(t, here, there, cache.Options{Timeout: 40 * time.Millisecond, MaxConcurrentLoads: 5, BreakerFailures: 3, BreakerPause: time.Minute},
			cache.Options{Timeout: 70 * time.Millisecond, MaxConcurrentLoads: 2})
		c := newCache(t, service, "c", cache.Policy[int]{})
		d := newCache(t, service, "d", cache.Policy[int]{})
		for want, one := range map[time.Duration]*cache.Cache[int]{40 * time.Millisecond: d, 70 * time.Millisecond: c} {
			hers.DelayNext(drivertest.OpGet, 1, time.Minute)
			theirs.DelayNext(drivertest.OpGet, 1, time.Minute)
			began := time.Now()
			if _, _, err := one.Get(t.Context(), "k"); !errors.Is(err, cache.ErrUnavailable) || time.Since(began) != want {
				t.Errorf("%v after %v, want %v", err, time.Since(began), want)
			}
		}
		// what was planned for the other one
		_, _, _ = c.Get(t.Context(), "k")
		_, _, _ = d.Get(t.Context(), "k")
		theirs.FailNext(drivertest.OpGet, 20, errOutage)
		for range 20 {
			_, _, _ = c.Get(t.Context(), "k")
			<-time.After(100 * time.Millisecond)
		}
		if _, _, err := c.Get(t.Context(), "k"); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("its breaker is not open: %v", err)
		}
		if _, _, err := d.Get(t.Context(), "k"); err != nil {
			t.Errorf("the breaker of the other store: %v", err)
		}
		if h := service.Health(t.Context()); h.Status != cache.Degraded || len(h.Reasons) != 1 || !strings.HasPrefix(h.Reasons[0], "store other: its circuit breaker is open") {
			t.Errorf("health is %+v", h)
		}
		gate, running := make(chan struct{}), make(chan string, 10)
		var calls []<-chan outcome[int]
		for i := range 5 {
			calls = append(calls, async(func() (int, error) {
				return c.GetOrLoad(t.Context(), fmt.Sprint(i), func(context.Context) (int, error) { running <- "c"; <-gate; return 1, nil })
			}))
		}
		synctest.Wait()
		if n := len(running); n != 2 {
			t.Errorf("%d loads of the store that is down, want its max_concurrent_loads of 2", n)
		}
		hers.FailNext(drivertest.OpGet, 5, errOutage)
		for i := range 5 {
			calls = append(calls, async(func() (int, error) {
				return d.GetOrLoad(t.Context(), fmt.Sprint(i), func(context.Context) (int, error) { running <- "d"; <-gate; return 1, nil })
			}))
		}
		synctest.Wait()
		if n := len(running); n != 7 {
			t.Errorf("%d loads, want 5 more of the other store", n)
		}
		close(gate)
		for _, call := range calls {
			if got := <-call; got.err != nil {
				t.Error(got.err)
			}
		}
	})
}

// The counts are those of each store, Stats is their sum, and metrics have the store as attribute.
func TestCountsOfStores(t *testing.T) {
	t.Parallel()
	meter := new(meter)
	service := startStores(t, newBigcache(t), newBigcache(t), cache.Options{MeterProvider: meter.provider(), StrategyName: "one"}, cache.Options{StrategyName: "two"})
	c := newCache(t, service, "c", cache.Policy[int]{})
	d := newCache(t, service, "d", cache.Policy[int]{})
	for i, one := range []*cache.Cache[int]{d, c} {
		for n := range 1 + i {
			if err := one.Set(t.Context(), fmt.Sprint(n), 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _, _ = d.Get(t.Context(), "0")
	_, _, _ = c.Get(t.Context(), "none")
	if err := service.InvalidateTags(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	here, there, sum := storeNamed(t, service, "default").Stats, storeNamed(t, service, "other").Stats, service.Stats()
	if here != (cache.Stats{Sets: 1, Hits: 1, Deletes: 1}) || there != (cache.Stats{Sets: 2, Misses: 1, Deletes: 1}) || sum != (cache.Stats{Sets: 3, Hits: 1, Misses: 1, Deletes: 2}) {
		t.Errorf("%+v\n%+v\n%+v", here, there, sum)
	}
	got := map[string]int64{}
	for _, m := range meter.collect(t) {
		store, _ := m.attributes.Value(attribute.Key("store"))
		strategy, _ := m.attributes.Value(attribute.Key("strategy"))
		outcome, _ := m.attributes.Value(attribute.Key("outcome"))
		got[strings.Join([]string{m.instrument, outcome.AsString(), store.AsString(), strategy.AsString()}, " ")] += m.value
	}
	for want, n := range map[string]int64{
		"fxcache.sets ok default one": 1, "fxcache.sets ok other two": 2, "fxcache.reads hit default one": 1, "fxcache.reads hit other two": 0,
		"fxcache.reads miss other two": 1, "fxcache.pending_revocations  default one": 0, "fxcache.pending_revocations  other two": 0,
	} {
		if value, there := got[want]; !there || value != n {
			t.Errorf("%q is %d, %t; want %d", want, value, there, n)
		}
	}
}

// One key of two stores is two entries: a load in one store, while that of the other is running,
// is no recursion.
func TestOneKeyInTwoStores(t *testing.T) {
	t.Parallel()
	service := startStores(t, newBigcache(t), newBigcache(t), cache.Options{}, cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{})
	d := newCache(t, service, "d", cache.Policy[int]{})
	v, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
		inner, err := d.GetOrLoad(ctx, "k", value(1))
		return inner + 1, err
	})
	if v != 2 || err != nil {
		t.Errorf("GetOrLoad = %v, %v", v, err)
	}
}
