package drivertest

import (
	"log/slog"
	"reflect"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// NewInjector returns a container like the one that a strategy's Init gets in an application. It
// holds the driver.Limits, a driver.Clock, a *slog.Logger and a metric.Meter, all as opts says.
// Zero fields of opts mean their defaults, except that nothing is logged or measured by default.
// Each value of more is added by its dynamic type, in place of what an application would export.
// The container has no *cache.Service, because the suite tests a strategy without one.
func NewInjector(t testing.TB, opts cache.Options, more ...any) *dig.Container {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.MeterProvider == nil {
		opts.MeterProvider = noop.NewMeterProvider()
	}
	opts = opts.WithDefaults()
	container := dig.New()
	constructors := []any{
		opts.Limits,
		func() driver.Clock { return opts.Clock },
		func() *slog.Logger { return opts.Logger },
		func() metric.Meter { return opts.MeterProvider.Meter("github.com/fxcache/fxcache") },
	}
	for _, value := range more {
		constructors = append(constructors, constructorOf(value))
	}
	for _, constructor := range constructors {
		if err := container.Provide(constructor); err != nil {
			t.Fatalf("drivertest: cannot provide %T: %v", constructor, err)
		}
	}
	return container
}

// constructorOf returns a func() T that returns value. T is the dynamic type of value.
func constructorOf(value any) any {
	v := reflect.ValueOf(value)
	signature := reflect.FuncOf(nil, []reflect.Type{v.Type()}, false)
	return reflect.MakeFunc(signature, func([]reflect.Value) []reflect.Value { return []reflect.Value{v} }).Interface()
}
