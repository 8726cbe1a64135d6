package cachetest_test

import (
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/cachetest"
)

func TestClock(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := cachetest.NewClock(start)
	clock.Advance(90 * time.Second)
	clock.Advance(-time.Second)
	if got, want := clock.Now(), start.Add(89*time.Second); !got.Equal(want) {
		t.Errorf("Now = %v, want %v", got, want)
	}
}

func TestNewInjector(t *testing.T) {
	t.Parallel()
	type database struct{ name string }
	clock := cachetest.NewClock(time.Unix(0, 0))
	in := cachetest.NewInjector(t, cache.Options{Namespace: "shop", Clock: clock}, &database{"shop"})

	if options := resolve[cache.Options](t, in); options.Namespace != "shop" || options.MaxTTL == 0 {
		t.Errorf("cache.Options has namespace %q and MaxTTL %v, want those of the caller and the default", options.Namespace, options.MaxTTL)
	}
	if got := resolve[cache.Clock](t, in); got != clock {
		t.Errorf("cache.Clock is %T, want that of the Options", got)
	}
	if db := resolve[*database](t, in); db.name != "shop" {
		t.Errorf("the extra value is %+v", db)
	}
	resolve[*slog.Logger](t, in).Error("not shown")
	if _, err := resolve[metric.Meter](t, in).Int64Counter("count"); err != nil {
		t.Errorf("the meter: %v", err)
	}
	if _, err := cache.Resolve[*cache.Service](in); err == nil {
		t.Error("a *cache.Service came from nowhere")
	}
}

func resolve[T any](t *testing.T, in cache.Injector) T {
	t.Helper()
	value, err := cache.Resolve[T](in)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
