package cache_test

import (
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
)

// meter is a MeterProvider and its only Meter. A test can ask it what the instruments measure. It
// is used instead of the SDK of OpenTelemetry, which would become a requirement of every user of
// this module. The tests of app use the SDK. Like the SDK, a meter measures only what a callback
// observes of the instruments that it was registered with.
type meter struct {
	metricnoop.Meter

	mu        sync.Mutex
	callbacks []*callback
}

type meterProvider struct {
	metricnoop.MeterProvider
	meter *meter
}

// callback is what RegisterCallback was given.
type callback struct {
	metricnoop.Registration
	meter       *meter
	observe     metric.Callback
	instruments []metric.Observable
}

type counter struct {
	metricnoop.Int64ObservableCounter
	name string
}

type gauge struct {
	metricnoop.Int64ObservableGauge
	name string
}

// measurement is one observation of an instrument.
type measurement struct {
	instrument string
	attributes attribute.Set
	value      int64
}

// measurements is what one callback observes.
type measurements struct {
	metricnoop.Observer
	t    *testing.T
	from *callback
	all  []measurement
}

func (m *meter) provider() metric.MeterProvider { return meterProvider{meter: m} }

func (p meterProvider) Meter(string, ...metric.MeterOption) metric.Meter { return p.meter }

func (m *meter) Int64ObservableCounter(name string, _ ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	return &counter{name: name}, nil
}

func (m *meter) Int64ObservableGauge(name string, _ ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	return &gauge{name: name}, nil
}

func (m *meter) RegisterCallback(observe metric.Callback, instruments ...metric.Observable) (metric.Registration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &callback{meter: m, observe: observe, instruments: instruments}
	m.callbacks = append(m.callbacks, c)
	return c, nil
}

func (c *callback) Unregister() error {
	c.meter.mu.Lock()
	defer c.meter.mu.Unlock()
	c.meter.callbacks = slices.DeleteFunc(c.meter.callbacks, func(registered *callback) bool { return registered == c })
	return nil
}

func (m *measurements) ObserveInt64(instrument metric.Int64Observable, value int64, options ...metric.ObserveOption) {
	if !slices.Contains(m.from.instruments, metric.Observable(instrument)) {
		m.t.Errorf("%T: observed by a callback that was not registered with it", instrument)
	}
	config := metric.NewObserveConfig(options)
	one := measurement{attributes: config.Attributes(), value: value}
	switch instrument := instrument.(type) {
	case *counter:
		one.instrument = instrument.name
	case *gauge:
		one.instrument = instrument.name
	default:
		m.t.Errorf("%T: an instrument of another meter", instrument)
	}
	m.all = append(m.all, one)
}

// collect calls every callback.
func (m *meter) collect(t *testing.T) (all []measurement) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.callbacks {
		observed := &measurements{t: t, from: c}
		if err := c.observe(t.Context(), observed); err != nil {
			t.Fatal(err)
		}
		all = append(all, observed.all...)
	}
	return all
}
