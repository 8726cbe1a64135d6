package cache_test

import (
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

func TestOptionDefaults(t *testing.T) {
	t.Parallel()
	got := cache.Options{}.WithDefaults()
	if got.Namespace != "app" || got.DefaultTTL != 0 || got.MaxTTL != 720*time.Hour || got.MaxKeyBytes != driver.KiB ||
		got.MaxValueBytes != driver.MiB || got.MaxTags != 256 || got.Timeout != 50*time.Millisecond || got.LockWait != 2*time.Second ||
		got.MaxConcurrentLoads != 100 || got.MaxPendingRevocations != 10_000 || got.BreakerFailures != 10 || got.BreakerPause != time.Second {
		t.Errorf("%+v", got)
	}
	if got.Codec != (cache.JSON{}) || got.Clock != (driver.SystemClock{}) || got.Logger != slog.Default() || got.MeterProvider == nil {
		t.Errorf("%+v", got)
	}
	if err := got.Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
	want := cache.Options{
		Namespace: "n", DefaultTTL: 1, MaxTTL: 2, MaxKeyBytes: 3, MaxValueBytes: 4, MaxTags: 5, Timeout: 6, LockWait: 7,
		MaxConcurrentLoads: 8, MaxPendingRevocations: 9, BreakerFailures: 10, BreakerPause: 11, Handover: 12,
		StrategyName: "s", Codec: cache.JSON{}, Clock: driver.SystemClock{}, Logger: slog.New(slog.DiscardHandler), MeterProvider: got.MeterProvider,
	}
	if got := want.WithDefaults(); got != want {
		t.Errorf("what is set was replaced: %+v", got)
	}
}

func TestOptionErrors(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, tests := range map[string][]cache.Options{
		"namespace":       {{Namespace: strings.Repeat("n", 1025)}},
		"max_ttl":         {{MaxTTL: -1}, {MaxTTL: 300}},
		"default_ttl":     {{DefaultTTL: -1}, {DefaultTTL: 2 * ms, MaxTTL: ms}, {DefaultTTL: math.MaxInt64}, {DefaultTTL: 300}},
		"max_key_bytes":   {{MaxKeyBytes: -1}, {MaxKeyBytes: 32*driver.KiB + 1}},
		"max_value_bytes": {{MaxValueBytes: -1}, {MaxValueBytes: 512*driver.MiB + 1}},
		"max_tags":        {{MaxTags: -1}, {MaxTags: 4097}},
		"timeout":         {{Timeout: -1}, {Timeout: 50}},
		"lock_wait":       {{LockWait: -1}, {LockWait: ms - 1}},

		"max_concurrent_loads":    {{MaxConcurrentLoads: -1}, {MaxConcurrentLoads: 1<<20 + 1}},
		"max_pending_revocations": {{MaxPendingRevocations: -1}, {MaxPendingRevocations: 1<<20 + 1}},
		"breaker_failures":        {{BreakerFailures: -1}, {BreakerFailures: 1<<20 + 1}},
		"breaker_pause":           {{BreakerPause: -1}, {BreakerPause: 1}},
	} {
		for _, options := range tests {
			service, err := cache.NewService(new(table), options)
			var option *cache.OptionError
			if service != nil || !errors.As(err, &option) || option.Name != name || option.Reason == "" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// The zero Options, without defaults, are invalid. Every invalid field is reported.
	err := cache.Options{}.Validate()
	for _, name := range []string{"namespace", "max_ttl", "max_key_bytes", "max_value_bytes", "max_tags", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is missing in %v", name, err)
		}
	}
	for _, options := range []cache.Options{
		{Namespace: strings.Repeat("n", 1024)}, {MaxKeyBytes: 32 * driver.KiB}, {MaxValueBytes: 512 * driver.MiB}, {MaxTags: 4096},
		{DefaultTTL: time.Hour, MaxTTL: time.Hour}, {MaxTTL: ms}, {MaxTTL: math.MaxInt64}, {Timeout: ms, LockWait: ms, BreakerPause: ms},
	} {
		if _, err := cache.NewService(new(table), options); err != nil {
			t.Errorf("%+v: %v", options, err)
		}
	}
	if service, err := cache.NewService(nil, cache.Options{}); service != nil || err == nil {
		t.Errorf("NewService without a strategy = %v, %v", service, err)
	}
}

// A lock_wait of zero is the default, so not to wait has a value of its own.
func TestNoLockWait(t *testing.T) {
	t.Parallel()
	service, err := cache.NewService(new(table), cache.Options{LockWait: cache.NoLockWait})
	if err != nil || service.Options().LockWait != 0 {
		t.Errorf("%v", err)
	}
}
