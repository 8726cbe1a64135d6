package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/cachetest"
)

// curious is a strategy that looks into the container in Init.
type curious struct {
	table
	look func(cache.Injector) error
}

func (s *curious) Init(_ context.Context, in cache.Injector) error { return s.look(in) }

// Without an Injector of the caller's, Init finds what ProvideTo promises.
func TestInitFindsTheServicesOwnTypes(t *testing.T) {
	t.Parallel()
	clock := cachetest.NewClock(cache.SystemClock{}.Now())
	strategy := new(curious)
	service := newService(t, strategy, cache.Options{Clock: clock, Namespace: "n"})
	strategy.look = func(in cache.Injector) error {
		s, err := cache.Resolve[*cache.Service](in)
		if err != nil || s != service {
			t.Errorf("*Service = %p, %v", s, err)
		}
		options, err := cache.Resolve[cache.Options](in)
		if err != nil || options.Namespace != "n" || options.MaxTags == 0 {
			t.Errorf("Options = %+v, %v", options, err)
		}
		c, err := cache.Resolve[cache.Clock](in)
		if err != nil || c != cache.Clock(clock) {
			t.Errorf("Clock = %v, %v", c, err)
		}
		logger, err := cache.Resolve[*slog.Logger](in)
		if err != nil || logger != options.Logger {
			t.Errorf("Logger = %v, %v", logger, err)
		}
		if meter, err := cache.Resolve[metric.Meter](in); err != nil || meter == nil {
			t.Errorf("Meter = %v, %v", meter, err)
		}
		_, err = cache.Resolve[*bytes.Buffer](in)
		return err
	}
	err := service.Start(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "*bytes.Buffer is not known") {
		t.Errorf("Start = %v", err)
	}
}

// The error for an unknown type names it and says how to export it.
func TestResolve(t *testing.T) {
	t.Parallel()
	container := dig.New()
	broken := errors.New("no such file")
	for _, constructor := range []any{
		func() *strings.Builder { return new(strings.Builder) },
		func() io.Reader { return strings.NewReader("r") },
		func() (*bytes.Buffer, error) { return nil, broken },
		func(*slog.Logger) *dig.Scope { return nil },
		func() *bytes.Reader { panic("constructor bug") },
	} {
		if err := container.Provide(constructor); err != nil {
			t.Fatal(err)
		}
	}
	for _, in := range []cache.Injector{container, container.Scope("strategy")} {
		if v, err := cache.Resolve[*strings.Builder](in); v == nil || err != nil {
			t.Errorf("a pointer: %v, %v", v, err)
		}
		if v, err := cache.Resolve[io.Reader](in); v == nil || err != nil {
			t.Errorf("an interface: %v, %v", v, err)
		}
	}
	_, unknown := cache.Resolve[*strings.Reader](container)
	for _, part := range []string{"*strings.Reader", "fxcache.Export[*strings.Reader]()"} {
		if unknown == nil || !strings.Contains(unknown.Error(), part) {
			t.Errorf("%q is missing in %v", part, unknown)
		}
	}
	if unknown != nil && strings.Contains(unknown.Error(), "\n") {
		t.Errorf("more than a line: %v", unknown)
	}
	_, err := cache.Resolve[*bytes.Buffer](container)
	if !errors.Is(err, broken) {
		t.Errorf("a failing constructor: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "is not known") {
		t.Errorf("the type is known, its constructor fails: %v", err)
	}
	if _, err := cache.Resolve[*dig.Scope](container); err == nil || !strings.Contains(err.Error(), "*slog.Logger") {
		t.Errorf("a missing dependency is not named: %v", err)
	}
	if v, err := cache.Resolve[*strings.Builder](nil); v != nil || err == nil || !strings.Contains(err.Error(), "*strings.Builder") {
		t.Errorf("no Injector: %v, %v", v, err)
	}
	if _, err := cache.Resolve[int](mute{}); err == nil {
		t.Error("an injector that does not call back is not noticed")
	}
}

type mute struct{}

func (mute) Invoke(any, ...dig.InvokeOption) error { return nil }

// A panic in a constructor of the application does not get through Start.
func TestConstructorPanics(t *testing.T) {
	t.Parallel()
	strategy := &curious{look: func(in cache.Injector) error { _, err := cache.Resolve[*bytes.Reader](in); return err }}
	service := newService(t, strategy, cache.Options{})
	container := dig.New()
	if err := container.Provide(func() *bytes.Reader { panic("constructor bug") }); err != nil {
		t.Fatal(err)
	}
	var broken *cache.PanicError
	if err := service.Start(t.Context(), container); !errors.As(err, &broken) {
		t.Errorf("Start = %v", err)
	}
}
