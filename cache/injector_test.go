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
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// curious is a strategy that resolves types from the container in Init.
type curious struct {
	table
	look func(driver.Injector) error
}

func (s *curious) Init(_ context.Context, in driver.Injector) error { return s.look(in) }

// If Start gets no Injector, Init finds what ProvideTo promises.
func TestInitFindsTheServicesOwnTypes(t *testing.T) {
	t.Parallel()
	clock := drivertest.NewClock(driver.SystemClock{}.Now())
	strategy := new(curious)
	service := newService(t, strategy, cache.Options{Clock: clock, Namespace: "n"})
	strategy.look = func(in driver.Injector) error {
		s, err := driver.Resolve[*cache.Service](in)
		if err != nil || s != service {
			t.Errorf("*Service = %p, %v", s, err)
		}
		limits, err := driver.Resolve[driver.Limits](in)
		if err != nil || limits.KeyPrefix != "n:" || limits != service.Options().Limits() {
			t.Errorf("Limits = %+v, %v", limits, err)
		}
		c, err := driver.Resolve[driver.Clock](in)
		if err != nil || c != driver.Clock(clock) {
			t.Errorf("Clock = %v, %v", c, err)
		}
		logger, err := driver.Resolve[*slog.Logger](in)
		if err != nil || logger != service.Options().Logger {
			t.Errorf("Logger = %v, %v", logger, err)
		}
		if meter, err := driver.Resolve[metric.Meter](in); err != nil || meter == nil {
			t.Errorf("Meter = %v, %v", meter, err)
		}
		_, err = driver.Resolve[*bytes.Buffer](in)
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
	for _, in := range []driver.Injector{container, container.Scope("strategy")} {
		if v, err := driver.Resolve[*strings.Builder](in); v == nil || err != nil {
			t.Errorf("a pointer: %v, %v", v, err)
		}
		if v, err := driver.Resolve[io.Reader](in); v == nil || err != nil {
			t.Errorf("an interface: %v, %v", v, err)
		}
	}
	_, unknown := driver.Resolve[*strings.Reader](container)
	for _, part := range []string{"*strings.Reader", "fxcache.Export[*strings.Reader]()"} {
		if unknown == nil || !strings.Contains(unknown.Error(), part) {
			t.Errorf("%q is missing in %v", part, unknown)
		}
	}
	if unknown != nil && strings.Contains(unknown.Error(), "\n") {
		t.Errorf("more than a line: %v", unknown)
	}
	_, err := driver.Resolve[*bytes.Buffer](container)
	if !errors.Is(err, broken) {
		t.Errorf("a failing constructor: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "is not known") {
		t.Errorf("the type is known, its constructor fails: %v", err)
	}
	if _, err := driver.Resolve[*dig.Scope](container); err == nil || !strings.Contains(err.Error(), "*slog.Logger") {
		t.Errorf("a missing dependency is not named: %v", err)
	}
	if v, err := driver.Resolve[*strings.Builder](nil); v != nil || err == nil || !strings.Contains(err.Error(), "*strings.Builder") {
		t.Errorf("no Injector: %v, %v", v, err)
	}
	if _, err := driver.Resolve[int](mute{}); err == nil {
		t.Error("an injector that does not call back is not noticed")
	}
}

type mute struct{}

func (mute) Invoke(any, ...dig.InvokeOption) error { return nil }

// A panic in a constructor of the application does not get through Start.
func TestConstructorPanics(t *testing.T) {
	t.Parallel()
	strategy := &curious{look: func(in driver.Injector) error { _, err := driver.Resolve[*bytes.Reader](in); return err }}
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
