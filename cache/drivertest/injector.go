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

// NewInjector returns a container with what a strategy's Init finds in an application's: opts (with
// its defaults, except that it logs and measures nothing unless opts says so), driver.Clock,
// *slog.Logger and metric.Meter. Each of more is added by its own type, and stands in for what the
// application would export. There is no *cache.Service: a strategy is older than its Service.
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

// constructorOf returns a func() T that returns value, a T that is known at run time only.
func constructorOf(value any) any {
	v := reflect.ValueOf(value)
	signature := reflect.FuncOf(nil, []reflect.Type{v.Type()}, false)
	return reflect.MakeFunc(signature, func([]reflect.Value) []reflect.Value { return []reflect.Value{v} }).Interface()
}
