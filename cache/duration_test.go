package cache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/cache/refreshing"
)

// A duration without a unit is one of nanoseconds, which nobody means.
func TestDurationsBelowAMillisecond(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{})
	policy := func(p cache.Policy[int]) error {
		_, err := cache.New(service, "c", p)
		return err
	}
	refreshed := func(o refreshing.Options) error {
		_, err := refreshing.New(value(1), o)
		return err
	}
	computed := newCache(t, service, "computed", cache.Policy[int]{TTLOf: func(v int) time.Duration { return time.Duration(v) }})
	for what, err := range map[string]error{
		"Policy.TTL":         policy(cache.Policy[int]{TTL: 300}),
		"Policy.StaleFor":    policy(cache.Policy[int]{StaleFor: 300}),
		"Policy.StaleAfter":  policy(cache.Policy[int]{StaleFor: time.Hour, StaleAfter: 300}),
		"Policy.NegativeTTL": policy(cache.Policy[int]{NegativeTTL: 300}),
		"SetOptions.TTL":     service.Set(t.Context(), "k", 1, cache.SetOptions{TTL: 300}),
		"TTL of TTLOf":       computed.Set(t.Context(), "k", 300),

		"refreshing.TTL":        refreshed(refreshing.Options{TTL: 300}),
		"refreshing.MaxAge":     refreshed(refreshing.Options{TTL: time.Hour, MaxAge: 300}),
		"refreshing.Timeout":    refreshed(refreshing.Options{TTL: time.Hour, Timeout: 300}),
		"refreshing.Backoff":    refreshed(refreshing.Options{TTL: time.Hour, Backoff: 300}),
		"refreshing.MaxBackoff": refreshed(refreshing.Options{TTL: time.Hour, MaxBackoff: 300}),
	} {
		name := what[strings.LastIndexAny(what, ". ")+1:]
		if name == "TTLOf" {
			name = "TTL"
		}
		var option *cache.OptionError
		if !errors.As(err, &option) || option.Name != name || option.Reason != "300ns is less than a millisecond; did you mean 300*time.Second?" {
			t.Errorf("%s: %v", what, err)
		}
		if strings.Contains(what, " ") || what == "SetOptions.TTL" {
			if !errors.Is(err, cache.ErrInvalidTTL) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	for _, err := range []error{
		policy(cache.Policy[int]{TTL: time.Millisecond, NegativeTTL: time.Millisecond, StaleFor: time.Millisecond, StaleAfter: time.Millisecond}),
		service.Set(t.Context(), "k", 1, cache.SetOptions{TTL: time.Millisecond}),
		refreshed(refreshing.Options{TTL: time.Millisecond}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	mustMiss(t, service, "absent")
}

// A refused TTL hides the previous value, as every refused Set does.
func TestTooShortTTLHidesThePreviousValue(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{})
	mustSet(t, service, "k", 1, cache.SetOptions{})
	if err := service.Set(t.Context(), "k", 2, cache.SetOptions{TTL: 300}); !errors.Is(err, cache.ErrInvalidTTL) {
		t.Error(err)
	}
	mustMiss(t, service, "k")
}

// A TTL that is computed from the end of something is zero at the end. That is not the default TTL.
func TestComputedEnd(t *testing.T) {
	t.Parallel()
	type coupon struct{ Ends time.Time }
	clock := drivertest.NewClock(time.Unix(1_000_000, 0))
	for _, kind := range kinds {
		service := start(t, kind.make(t), cache.Options{Clock: clock})
		coupons := newCache(t, service, "coupon", cache.Policy[coupon]{
			TTL:   time.Hour,
			TTLOf: func(c coupon) time.Duration { return c.Ends.Sub(clock.Now()).Truncate(time.Second) },
		})
		for _, left := range []time.Duration{400 * time.Millisecond, 0, -time.Hour} {
			ends := clock.Now().Add(left)
			got, err := coupons.GetOrLoad(t.Context(), "1", func(context.Context) (coupon, error) { return coupon{ends}, nil })
			if err != nil || !got.Ends.Equal(ends) {
				t.Errorf("%s, %v: GetOrLoad = %v, %v", kind.name, left, got, err)
			}
			if c, found, err := coupons.Get(t.Context(), "1"); found || err != nil {
				t.Errorf("%s, %v: Get = %v, %v, %v", kind.name, left, c, found, err)
			}
		}
		if stats := service.Stats(); stats.Unfilled != 0 {
			t.Errorf("%s: %+v", kind.name, stats)
		}
	}
}
