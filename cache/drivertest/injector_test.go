package drivertest_test

import (
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

func TestClock(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := drivertest.NewClock(start)
	clock.Advance(90 * time.Second)
	clock.Advance(-time.Second)
	if got, want := clock.Now(), start.Add(89*time.Second); !got.Equal(want) {
		t.Errorf("Now = %v, want %v", got, want)
	}
}

func TestNewInjector(t *testing.T) {
	t.Parallel()
	type database struct{ name string }
	clock := drivertest.NewClock(time.Unix(0, 0))
	in := drivertest.NewInjector(t, cache.Options{Namespace: "shop", Clock: clock}, &database{"shop"})

	if limits := resolve[driver.Limits](t, in); limits.KeyPrefix != "shop:" || limits.MaxTTL == 0 {
		t.Errorf("driver.Limits has the prefix %q and MaxTTL %v, want those of the caller and the default", limits.KeyPrefix, limits.MaxTTL)
	}
	if got := resolve[driver.Clock](t, in); got != clock {
		t.Errorf("cache.Clock is %T, want that of the Options", got)
	}
	if db := resolve[*database](t, in); db.name != "shop" {
		t.Errorf("the extra value is %+v", db)
	}
	resolve[*slog.Logger](t, in).Error("not shown")
	if _, err := resolve[metric.Meter](t, in).Int64Counter("count"); err != nil {
		t.Errorf("the meter: %v", err)
	}
	if _, err := driver.Resolve[*cache.Service](in); err == nil {
		t.Error("a *cache.Service came from nowhere")
	}
}

func resolve[T any](t *testing.T, in driver.Injector) T {
	t.Helper()
	value, err := driver.Resolve[T](in)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
