package fxcache_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/noop"
)

// patience is how long a test waits for something that should take a moment.
var patience = flag.Duration("patience", 30*time.Second, "how long to wait for something that should take a moment")

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for deadline := time.After(*patience); !condition(); {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("does not happen: %s", what)
		}
	}
}

// numbered is a third party's strategy whose section has a number and a password. It records the
// numbers and passwords that were validated: a start calls New, and so does each reload.
type numbered struct {
	mu        sync.Mutex
	numbers   []int
	passwords []string
	gate      chan struct{} // New waits until it is closed; nil: it does not
	entered   chan int      // the numbers of those that wait
	inits     int
	follows   bool // FollowsSecrets
}

type numberedOptions struct {
	Number   int           `koanf:"number"`
	Password driver.Secret `koanf:"password"`
}

func (n *numbered) register() fx.Option {
	return fxcache.Register(driver.Factory{Name: "numbered", FollowsSecrets: n.follows, New: func(cfg driver.Decoder) (driver.Strategy, error) {
		var options numberedOptions
		if err := cfg.Decode(&options); err != nil {
			return nil, err
		}
		n.mu.Lock()
		n.numbers, n.passwords = append(n.numbers, options.Number), append(n.passwords, options.Password.Reveal())
		gate := n.gate
		n.mu.Unlock()
		if options.Number == 666 {
			panic("666")
		}
		if gate != nil {
			n.entered <- options.Number
			<-gate
		}
		return counted{n: n}, nil
	}})
}

// counted counts the calls of Init.
type counted struct {
	noop.Strategy
	n *numbered
}

func (c counted) Init(context.Context, driver.Injector) error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.n.inits++
	return nil
}

func (n *numbered) seen() []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.numbers)
}

func (n *numbered) saw(number int) func() bool {
	return func() bool { return slices.Contains(n.seen(), number) }
}

// close makes New wait. The returned function lets it go on, now and later.
func (n *numbered) close() (open func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	gate := make(chan struct{})
	n.gate, n.entered = gate, make(chan int, 100)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.gate = nil
		close(gate)
	}
}

// watched is an application whose configuration may be reloaded.
type watched struct {
	*numbered
	app      *fx.App
	reloader *fxcache.Reloader
	path     string // of its file
	log      logged
	meter    *instruments
}

// quick is Watch for tests on real files: only notifications can wake it.
var quick = fxcache.Watch(fxcache.WatchPoll(time.Hour), fxcache.WatchSettle(20*time.Millisecond))

// newWatched starts an application with the file at path. If that does not exist, it has number 0.
func newWatched(t *testing.T, path string, options ...fx.Option) *watched {
	t.Helper()
	w := &watched{numbered: &numbered{}, path: path, meter: &instruments{}}
	if _, err := os.Stat(path); err != nil {
		put(t, path, number(0))
	}
	w.app = newApp(fx.Options(options...), w.register(), fxcache.ConfigFile(path), fx.Populate(&w.reloader),
		fx.Supply(slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		fx.Provide(func() metric.MeterProvider { return meters{meter: w.meter} }))
	start(t, w.app)
	t.Cleanup(func() { // the test's context has ended by then
		if err := w.app.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return w
}

// startWatched is newWatched with a watch that has found out that nothing has changed since the
// application was built.
func startWatched(t *testing.T, path string, options ...fx.Option) *watched {
	t.Helper()
	w := newWatched(t, path, append(options, quick)...)
	eventually(t, "the first look", func() bool { return w.meter.value("fxcache.reloads", "unchanged") == 1 })
	return w
}

func (w *watched) write(t *testing.T, text string) { put(t, w.path, text) }

// number is a configuration.
func number(n int) string {
	return "cache:\n  strategy: numbered\n  numbered:\n    number: " + string(rune('0'+n)) + "\n"
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// instruments is a Meter that tells what the instruments of reloads measure. The SDK of
// OpenTelemetry would become a requirement of every user of this module; the tests of app use it.
type instruments struct {
	metricnoop.Meter
	mu        sync.Mutex
	callbacks []metric.Callback
}

type meters struct {
	metricnoop.MeterProvider
	meter *instruments
}

func (m meters) Meter(string, ...metric.MeterOption) metric.Meter { return m.meter }

type titled interface{ title() string }

type counterOf struct {
	metricnoop.Int64ObservableCounter
	name string
}

type gaugeOf struct {
	metricnoop.Int64ObservableGauge
	name string
}

type floatGaugeOf struct {
	metricnoop.Float64ObservableGauge
	name string
}

func (c counterOf) title() string    { return c.name }
func (g gaugeOf) title() string      { return g.name }
func (g floatGaugeOf) title() string { return g.name }

func (m *instruments) Int64ObservableCounter(name string, _ ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	return counterOf{name: name}, nil
}

func (m *instruments) Int64ObservableGauge(name string, _ ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	return gaugeOf{name: name}, nil
}

func (m *instruments) Float64ObservableGauge(name string, _ ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	return floatGaugeOf{name: name}, nil
}

func (m *instruments) RegisterCallback(f metric.Callback, _ ...metric.Observable) (metric.Registration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.callbacks = append(m.callbacks, f)
	return metricnoop.Registration{}, nil
}

// observation collects what callbacks observe of one instrument and outcome.
type observation struct {
	metricnoop.Observer
	name, outcome string
	value         float64
}

func (o *observation) take(of metric.Observable, value float64, attributes attribute.Set) {
	outcome, _ := attributes.Value("outcome")
	if n, ok := of.(titled); ok && n.title() == o.name && outcome.AsString() == o.outcome {
		o.value = value
	}
}

func (o *observation) ObserveInt64(of metric.Int64Observable, value int64, options ...metric.ObserveOption) {
	config := metric.NewObserveConfig(options)
	o.take(of, float64(value), config.Attributes())
}

func (o *observation) ObserveFloat64(of metric.Float64Observable, value float64, options ...metric.ObserveOption) {
	config := metric.NewObserveConfig(options)
	o.take(of, value, config.Attributes())
}

// value returns what an instrument measures now.
func (m *instruments) value(name, outcome string) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := &observation{name: name, outcome: outcome, value: -1}
	for _, callback := range m.callbacks {
		_ = callback(context.Background(), o)
	}
	return o.value
}
