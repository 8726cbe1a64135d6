package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/cache/refreshing"
)

// configured returns a started Service whose operator says options about the cache "c", with a
// clock and a recorder.
func configured(t testing.TB, options cache.CacheOptions) (*cache.Service, *drivertest.Recorder, *drivertest.Clock) {
	t.Helper()
	clock := drivertest.NewClock(time.Now().Truncate(time.Millisecond))
	service, recorder := configuredOn(t, newBigcache(t), cache.Options{Clock: clock, MaxTTL: 24 * time.Hour}, options)
	return service, recorder, clock
}

// configuredOn is configured over a strategy.
func configuredOn(t testing.TB, strategy driver.Strategy, its cache.Options, options cache.CacheOptions) (*cache.Service, *drivertest.Recorder) {
	t.Helper()
	recorded, recorder := drivertest.Record(strategy)
	its.Timeout = 10 * time.Second
	service, err := cache.NewService(recorded, quiet(its), cache.Caches{"c": options})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return service, recorder
}

// For each option that an operator may set: what he says wins over the code, also zero, and what he
// does not say leaves the code alone.
func TestTheOperatorsWordWins(t *testing.T) {
	t.Parallel()
	no, zero, none := false, time.Duration(0), 0.0
	stored := func(t testing.TB, c *cache.Cache[int], recorder *drivertest.Recorder) time.Duration {
		t.Helper()
		recorder.Reset()
		if err := c.Set(t.Context(), "k", 3600); err != nil {
			t.Fatal(err)
		}
		for _, o := range recorder.Operations() {
			if o.Name == drivertest.OpSet {
				return o.TTL.Round(time.Second)
			}
		}
		return 0
	}
	all := cache.Policy[int]{TTL: time.Hour, StaleFor: time.Hour, NegativeTTL: time.Minute}
	seconds := func(v int) time.Duration { return time.Duration(v) * time.Second }
	for name, test := range map[string]struct {
		options cache.CacheOptions
		code    cache.Policy[int]
		want    time.Duration // of the storage
	}{
		"nothing":                        {cache.CacheOptions{}, cache.Policy[int]{TTL: time.Minute}, time.Minute},
		"ttl, shorter":                   {cache.CacheOptions{TTL: ptr(time.Second)}, cache.Policy[int]{TTL: time.Minute}, time.Second},
		"ttl, longer":                    {cache.CacheOptions{TTL: ptr(time.Hour)}, cache.Policy[int]{TTL: time.Minute}, time.Hour},
		"ttl, over max_ttl":              {cache.CacheOptions{TTL: ptr(1000 * time.Hour)}, cache.Policy[int]{TTL: time.Minute}, 24 * time.Hour},
		"ttl, the code has none":         {cache.CacheOptions{TTL: ptr(time.Minute)}, cache.Policy[int]{}, time.Minute},
		"ttl caps TTLOf":                 {cache.CacheOptions{TTL: ptr(time.Minute)}, cache.Policy[int]{TTLOf: seconds}, time.Minute},
		"ttl does not stretch TTLOf":     {cache.CacheOptions{TTL: ptr(2 * time.Hour)}, cache.Policy[int]{TTLOf: seconds}, time.Hour},
		"TTLOf that keeps nothing":       {cache.CacheOptions{TTL: ptr(time.Hour)}, cache.Policy[int]{TTLOf: func(int) time.Duration { return 0 }}, 0},
		"stale_for":                      {cache.CacheOptions{StaleFor: ptr(time.Minute)}, cache.Policy[int]{TTL: time.Hour}, time.Hour + time.Minute},
		"stale_for: 0s":                  {cache.CacheOptions{StaleFor: &zero}, all, time.Hour},
		"stale_for of the code":          {cache.CacheOptions{TTL: ptr(time.Minute)}, all, time.Hour + time.Minute},
		"jitter of 1":                    {cache.CacheOptions{Jitter: ptr(1.0)}, cache.Policy[int]{TTL: time.Hour}, 30 * time.Minute},
		"jitter: 0":                      {cache.CacheOptions{Jitter: &none}, cache.Policy[int]{TTL: time.Hour, Jitter: 1}, time.Hour},
		"jitter of the code":             {cache.CacheOptions{}, cache.Policy[int]{TTL: time.Hour, Jitter: 0.5}, 45 * time.Minute},
		"jitter on the operator's ttl":   {cache.CacheOptions{TTL: ptr(time.Minute)}, cache.Policy[int]{TTL: time.Hour, Jitter: 0.5}, 45 * time.Second},
		"enabled: false stores nothing":  {cache.CacheOptions{Enabled: &no}, cache.Policy[int]{TTL: time.Hour}, 0},
		"enabled: true is as before":     {cache.CacheOptions{Enabled: ptr(true)}, cache.Policy[int]{TTL: time.Hour}, time.Hour},
		"all of it":                      {cache.CacheOptions{TTL: ptr(time.Minute), StaleFor: ptr(time.Minute), Jitter: ptr(1.0)}, all, 90 * time.Second},
		"one that cannot combine, zeros": {cache.CacheOptions{StaleFor: &zero, EarlyRefresh: &none}, cache.Policy[int]{TTL: time.Hour, Fresh: func(int) bool { return true }}, time.Hour},
	} {
		service, recorder, _ := configured(t, test.options)
		c := newCache(t, service, "c", test.code)
		c.SetRandom(func() float64 { return 0.5 })
		if got := stored(t, c, recorder); got != test.want {
			t.Errorf("%s: the TTL in the storage is %v, want %v", name, got, test.want)
		}
		// a cache that is not named
		other := newCache(t, service, "other", cache.Policy[int]{TTL: time.Minute})
		if got := stored(t, other, recorder); got != time.Minute {
			t.Errorf("%s: the TTL of another cache is %v", name, got)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// NegativeTTL and EarlyRefresh of the operator, over those of the code.
func TestTheOperatorsNegativeTTLAndEarlyRefresh(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context) (int, error) { return 0, cache.ErrNotFound }
	for name, test := range map[string]struct {
		options cache.CacheOptions
		code    time.Duration
		want    uint64 // loads of three
	}{
		"of the code": {cache.CacheOptions{}, time.Minute, 1}, "switched on": {cache.CacheOptions{NegativeTTL: ptr(time.Minute)}, 0, 1},
		"switched off": {cache.CacheOptions{NegativeTTL: ptr(time.Duration(0))}, time.Minute, 3}, "neither": {cache.CacheOptions{}, 0, 3},
		"too short": {cache.CacheOptions{NegativeTTL: ptr(time.Second)}, time.Hour, 3},
	} {
		service, _, clock := configured(t, test.options)
		c := newCache(t, service, "c", cache.Policy[int]{NegativeTTL: test.code})
		for range 3 {
			if _, err := c.GetOrLoad(t.Context(), "k", nothing); !errors.Is(err, cache.ErrNotFound) {
				t.Error(err)
			}
			clock.Advance(2 * time.Second)
		}
		if n := service.Stats().Loads; n != test.want {
			t.Errorf("%s: %d loads, want %d", name, n, test.want)
		}
	}
	for name, test := range map[string]struct {
		options cache.CacheOptions
		code    float64
		want    bool
	}{
		"of the code": {cache.CacheOptions{}, 1, true}, "switched on": {cache.CacheOptions{EarlyRefresh: ptr(1.0)}, 0, true},
		"switched off": {cache.CacheOptions{EarlyRefresh: ptr(0.0)}, 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			service, _ := configuredOn(t, newBigcache(t), cache.Options{}, test.options)
			c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute, EarlyRefresh: test.code})
			c.SetRandom(func() float64 { return 0.99 }) // early
			slow := func(context.Context) (int, error) { <-time.After(time.Second); return 1, nil }
			if _, err := c.GetOrLoad(t.Context(), "k", slow); err != nil {
				t.Fatal(err)
			}
			<-time.After(58 * time.Second)
			if v, err := c.GetOrLoad(t.Context(), "k", value(2)); v != 1 || err != nil {
				t.Errorf("%s: %v, %v", name, v, err)
			}
			synctest.Wait()
			if n := service.Stats().Refreshes; (n == 1) != test.want {
				t.Errorf("%s: %d refreshes", name, n)
			}
		})
	}
}

// A cache that is switched off loads every time and stores nothing. What it deletes is deleted in
// the storage, and what was stored before is not served.
func TestDisabledCache(t *testing.T) {
	t.Parallel()
	no := false
	before := cache.Policy[int]{Tags: []string{"t"}, NegativeTTL: time.Minute}
	for name, test := range map[string]struct {
		do   func(c *cache.Cache[int]) error
		want string // of the storage
	}{
		"Get": {func(c *cache.Cache[int]) error {
			_, found, err := c.Get(t.Context(), "k")
			return errors.Join(err, must(!found, "a hit"))
		}, ""},
		"GetMany": {func(c *cache.Cache[int]) error {
			found, err := c.GetMany(t.Context(), "k", "l")
			return errors.Join(err, must(len(found) == 0, "a hit"))
		}, ""},
		"GetOrLoad": {func(c *cache.Cache[int]) error {
			v, err := c.GetOrLoad(t.Context(), "k", value(7))
			return errors.Join(err, must(v == 7, "not loaded"))
		}, ""},
		"GetOrLoad of nothing": {func(c *cache.Cache[int]) error {
			_, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { return 0, cache.ErrNotFound })
			return must(errors.Is(err, cache.ErrNotFound), "not loaded")
		}, ""},
		"Update": {func(c *cache.Cache[int]) error {
			v, err := c.Update(t.Context(), "k", value(7))
			return errors.Join(err, must(v == 7, "not written"))
		}, "delete"},
		"Update that fails": {func(c *cache.Cache[int]) error {
			_, err := c.Update(t.Context(), "k", func(context.Context) (int, error) { return 0, errOutage })
			return must(errors.Is(err, errOutage), "not written")
		}, "delete"},
		"Set":            {func(c *cache.Cache[int]) error { return c.Set(t.Context(), "k", 7) }, "delete"},
		"SetMany":        {func(c *cache.Cache[int]) error { return c.SetMany(t.Context(), map[string]int{"k": 7, "l": 8}) }, "delete"},
		"Delete":         {func(c *cache.Cache[int]) error { return c.Delete(t.Context(), "k") }, "delete"},
		"InvalidateTags": {func(c *cache.Cache[int]) error { return c.InvalidateTags(t.Context(), "t") }, "invalidate"},
	} {
		storage := newBigcache(t)
		service, recorder := configuredOn(t, storage, cache.Options{}, cache.CacheOptions{Enabled: &no})
		// another process, which has it switched on
		if err := newCache(t, peer(t, storage, cache.Options{}), "c", before).Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		c := newCache(t, service, "c", before)
		recorder.Reset()
		if err := test.do(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := strings.Join(names(recorder), " "); got != test.want {
			t.Errorf("%s: the storage saw %q, want %q", name, got, test.want)
		}
	}
}

// must returns an error unless it is so.
func must(so bool, otherwise string) error {
	if so {
		return nil
	}
	return errors.New(otherwise)
}

// A loader of a disabled cache that needs itself gets an error, and does not call itself for ever.
// A write that reads its key gets what the loader returns.
func TestDisabledCacheWithinItself(t *testing.T) {
	t.Parallel()
	no := false
	service, _, _ := configured(t, cache.CacheOptions{Enabled: &no})
	c := newCache(t, service, "c", cache.Policy[int]{})
	depth := 0
	var load func(ctx context.Context) (int, error)
	load = func(ctx context.Context) (int, error) {
		if depth++; depth > 10 {
			return 0, errors.New("for ever")
		}
		return c.GetOrLoad(ctx, "k", load)
	}
	if _, err := c.GetOrLoad(t.Context(), "k", load); !errors.Is(err, cache.ErrRecursiveLoad) || depth != 1 {
		t.Errorf("%v at depth %d", err, depth)
	}
	v, err := c.Update(t.Context(), "k", func(ctx context.Context) (int, error) { return c.GetOrLoad(ctx, "k", value(3)) })
	if v != 3 || err != nil {
		t.Errorf("Update = %v, %v", v, err)
	}
	derived, err := refreshing.New(func(ctx context.Context) (int, error) { return c.GetOrLoad(ctx, "k", value(4)) }, refreshing.Options{TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := derived.Get(t.Context()); v != 4 || err != nil {
		t.Errorf("refreshing: %v, %v", v, err)
	}
}

// What the operator may not say about a cache is an error with the path, when the cache is made.
func TestTheOperatorCannotServeStale(t *testing.T) {
	t.Parallel()
	for path, options := range map[string]cache.CacheOptions{
		"caches.c.stale_for": {StaleFor: ptr(time.Minute)}, "caches.c.early_refresh": {EarlyRefresh: ptr(1.0)},
	} {
		service, _, _ := configured(t, options)
		_, err := cache.New(service, "c", cache.Policy[int]{Fresh: func(int) bool { return true }})
		var option *cache.OptionError
		if !errors.As(err, &option) || option.Name != path {
			t.Errorf("%v, want %s", err, path)
		}
	}
}

// Validate names each unusable value, by the key of the configuration.
func TestUnusableCacheOptions(t *testing.T) {
	t.Parallel()
	for want, options := range map[string]cache.CacheOptions{
		"ttl: must not be negative": {TTL: ptr(-time.Second)}, "ttl: must be positive": {TTL: ptr(time.Duration(0))},
		"stale_for: must not be negative": {StaleFor: ptr(-time.Second)}, "negative_ttl: must not be negative": {NegativeTTL: ptr(-time.Second)},
		"jitter: must be between 0 and 1": {Jitter: ptr(math.NaN())}, "early_refresh: must be between 0 and 100": {EarlyRefresh: ptr(math.Inf(1))},
		"stale_for: ": {StaleFor: ptr(time.Microsecond)},
	} {
		if err := options.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		err := cache.Caches{"x": options, "y": {}}.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "caches.x."+want) {
			t.Errorf("%v, want caches.x.%s", err, want)
		}
	}
	if err := (cache.CacheOptions{TTL: ptr(time.Hour), StaleFor: ptr(time.Duration(0)), Jitter: ptr(1.0), EarlyRefresh: ptr(100.0)}).Validate(); err != nil {
		t.Error(err)
	}
}

// The operator chooses the codec of a cache, and no other cache has it.
func TestCodecOfACache(t *testing.T) {
	t.Parallel()
	cbor, err := codec.ByName("cbor")
	if err != nil {
		t.Fatal(err)
	}
	service, _, _ := configured(t, cache.CacheOptions{Codec: cbor})
	type pair struct{ A any }
	if err := newCache(t, service, "c", cache.Policy[pair]{}).Set(t.Context(), "k", pair{int64(1)}); err != nil {
		t.Error(err)
	}
	if err := newCache(t, service, "d", cache.Policy[pair]{}).Set(t.Context(), "k", pair{int64(1)}); !errors.Is(err, cache.ErrEncoding) {
		t.Errorf("JSON took it: %v", err)
	}
	unused, used := service.UnusedCaches()
	if got := fmt.Sprint(unused, used); got != "[] [c d]" {
		t.Error(got)
	}
}
