package tiered_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/redis"
	"github.com/fxcache/fxcache/strategies/tiered"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	if got, want := (tiered.Options{}).WithDefaults(), (tiered.Options{Coherence: tiered.Strict, Lag: 25 * time.Millisecond, L1TTL: time.Minute}); got != want {
		t.Errorf("defaults %+v, want %+v", got, want)
	}
	if err := (tiered.Options{}).WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
	for _, test := range []struct {
		options tiered.Options
		name    string
	}{
		{tiered.Options{Coherence: "strong"}, "coherence"},
		{tiered.Options{Lag: time.Second}, "lag"},
		{tiered.Options{Lag: 4 * time.Millisecond}, "lag"},
		{tiered.Options{Lag: -time.Millisecond}, "lag"},
		{tiered.Options{L1TTL: 30}, "l1_ttl"},
		{tiered.Options{L1TTL: -time.Second}, "l1_ttl"},
	} {
		err := test.options.WithDefaults().Validate()
		var option *driver.OptionError
		if !errors.As(err, &option) || option.Name != test.name {
			t.Errorf("%+v: %v, want an error about %s", test.options, err, test.name)
		}
	}
}

// The strategy is made of three sections, and each is checked.
func TestFactory(t *testing.T) {
	t.Parallel()
	if got := tiered.Factory().Uses; len(got) != 2 || got[0] != bigcache.Name || got[1] != redis.Name {
		t.Errorf("Uses = %q", got)
	}
	if _, err := tiered.Factory().New(config.Section{}); err == nil {
		t.Error("New has no sections beside its own, and succeeds")
	}
	if s, err := tiered.New(tiered.Options{}, nil, nil); s != nil || err == nil {
		t.Error("New has no tiers, and succeeds")
	}
}

// Nothing hangs or panics before Init and after Destroy.
func TestNotInitialised(t *testing.T) {
	t.Parallel()
	s := made(t, tiered.Options{}, redis.Options{}).Strategy
	if _, _, err := s.Get(t.Context(), "shop:k"); !errors.Is(err, driver.ErrClosed) {
		t.Errorf("Get: %v", err)
	}
	if _, found := s.GetNear("shop:k"); found {
		t.Error("GetNear has found something")
	}
	if got := s.Stats(); got.Hits+got.Misses != 0 {
		t.Errorf("Stats = %+v", got)
	}
	for range 2 {
		if err := s.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
