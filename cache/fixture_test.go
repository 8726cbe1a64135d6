package cache_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/noop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errOutage = errors.New("connection refused")

// table is the simplest kind of Strategy. It has no leases, so Service puts its fence around it.
type table struct {
	mu   sync.Mutex
	rows map[string]tableRow
}

type tableRow struct {
	value []byte
	tags  []string
	ttl   time.Duration
}

func (s *table) Get(_ context.Context, key string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, found := s.rows[key]
	return slices.Clone(row.value), found, nil
}

func (s *table) Set(_ context.Context, key string, value []byte, opts cache.SetOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = map[string]tableRow{}
	}
	s.rows[key] = tableRow{slices.Clone(value), slices.Clone(opts.Tags), opts.TTL}
	return nil
}

func (s *table) Delete(_ context.Context, keys ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.rows, key)
	}
	return nil
}

func (s *table) InvalidateTags(_ context.Context, tags ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.rows, func(_ string, row tableRow) bool {
		return slices.ContainsFunc(row.tags, func(tag string) bool { return slices.Contains(tags, tag) })
	})
	return nil
}

// Cancellable implements driver.Cancellable: nothing here ever waits.
func (s *table) Cancellable() {}

func (s *table) Clear(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.rows)
	return nil
}

// row returns the bytes that are stored under a physical key.
func (s *table) row(key string) (tableRow, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, found := s.rows[key]
	return row, found
}

// unclearable hides all methods but the four that a Strategy must have.
type unclearable struct{ driver.Strategy }

func newBigcache(t testing.TB) *bigcache.Strategy {
	t.Helper()
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 16 * driver.MiB, Shards: 16})
	if err != nil {
		t.Fatal(err)
	}
	return strategy
}

// kinds are strategies whose fills Service protects in different ways.
var kinds = []struct {
	name   string
	make   func(testing.TB) driver.Strategy
	stores bool
}{
	{"leases", func(t testing.TB) driver.Strategy { return newBigcache(t) }, true},
	{"fence", func(testing.TB) driver.Strategy { return new(table) }, true},
	{"noop", func(testing.TB) driver.Strategy { return noop.Strategy{} }, false},
}

// quiet replaces the global defaults, which no test should use.
func quiet(options cache.Options) cache.Options {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.MeterProvider == nil {
		options.MeterProvider = metricnoop.NewMeterProvider()
	}
	if options.MaxValueBytes == 0 {
		options.MaxValueBytes = 64 * driver.KiB
	}
	if options.StrategyName == "" {
		options.StrategyName = "test"
	}
	// A busy machine may take longer than the default. In a bubble of synctest, where the year is
	// 2000, nothing does.
	if options.Timeout == 0 && time.Now().Year() > 2000 {
		options.Timeout = 5 * time.Second
	}
	return options
}

func newService(t testing.TB, strategy driver.Strategy, options cache.Options) *cache.Service {
	t.Helper()
	service, err := cache.NewService(strategy, quiet(options))
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// start returns a started Service, which is stopped at the end of the test.
func start(t testing.TB, strategy driver.Strategy, options cache.Options) *cache.Service {
	t.Helper()
	service := newService(t, strategy, options)
	if err := service.Start(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return service
}

// record is start over a Recorder around strategy.
func record(t testing.TB, strategy driver.Strategy, options cache.Options) (*cache.Service, *drivertest.Recorder, driver.Strategy) {
	t.Helper()
	recorded, recorder := drivertest.Record(strategy)
	return start(t, recorded, options), recorder, recorded
}

// peer is a started Service of another process, on a storage that one has started already.
func peer(t testing.TB, storage driver.Strategy, options cache.Options) *cache.Service {
	t.Helper()
	options.Timeout = time.Minute // Service does not see that the storage is Local
	if leaser := driver.FeaturesOf(storage).Leaser; leaser != nil {
		return start(t, struct{ driver.Leaser }{leaser}, options)
	}
	return start(t, struct{ driver.Strategy }{storage}, options)
}

func newCache[T any](t testing.TB, service *cache.Service, name string, policy cache.Policy[T]) *cache.Cache[T] {
	t.Helper()
	c, err := cache.New(service, name, policy)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// value is a loader or write that returns v.
func value[T any](v T) func(context.Context) (T, error) {
	return func(context.Context) (T, error) { return v, nil }
}

// unexpected is a loader that must not run.
func unexpected[T any](t testing.TB) func(context.Context) (T, error) {
	return func(context.Context) (v T, err error) {
		t.Error("the loader ran")
		return v, errors.New("the loader ran")
	}
}

// outcome is what one call returned, to be sent through a channel.
type outcome[T any] struct {
	value T
	err   error
}

// async runs call in a goroutine of its own, and returns the channel of its outcome.
func async[T any](call func() (T, error)) <-chan outcome[T] {
	done := make(chan outcome[T], 1)
	go func() {
		v, err := call()
		done <- outcome[T]{v, err}
	}()
	return done
}

func mustSet(t testing.TB, service *cache.Service, key string, value any, opts cache.SetOptions) {
	t.Helper()
	if err := service.Set(context.Background(), key, value, opts); err != nil {
		t.Fatalf("Set: %v", err)
	}
}

func mustMiss(t testing.TB, service *cache.Service, key string) {
	t.Helper()
	var target any
	if found, err := service.Get(context.Background(), key, &target); found || err != nil {
		t.Errorf("Get = %v, %v; want a miss", found, err)
	}
}
