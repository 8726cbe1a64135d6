package schedules_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// table is a Strategy without leases: Service puts its fence around it.
type table struct {
	mu   sync.Mutex
	rows map[string]tableRow
}

type tableRow struct {
	value []byte
	tags  []string
}

func newTable() *table { return &table{rows: map[string]tableRow{}} }

func (s *table) Get(_ context.Context, key string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, found := s.rows[key]
	return slices.Clone(row.value), found, nil
}

func (s *table) Set(_ context.Context, key string, value []byte, opts cache.SetOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[key] = tableRow{slices.Clone(value), slices.Clone(opts.Tags)}
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

func (s *table) Clear(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.rows)
	return nil
}

// valueLimit is the greatest length of a value in these tests.
const valueLimit = 4 * driver.KiB

// leaseTTL is the lease_ttl of these tests.
const leaseTTL = time.Second

func newBigcache(t testing.TB) *bigcache.Strategy {
	t.Helper()
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 16 * driver.MiB, Shards: 16, LeaseTTL: leaseTTL})
	if err != nil {
		t.Fatal(err)
	}
	return strategy
}

// held is bigcache with a pause before and after each Fill.
type held struct {
	*bigcache.Strategy
	playing *actor // the schedule of the moment
}

func (s *held) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts cache.SetOptions) (bool, error) {
	s.playing.pause("is about to fill %s", value[len(value)-1:])
	stored, err := s.Strategy.Fill(ctx, lease, value, opts)
	s.playing.pause("has filled: %t", stored)
	return stored, err
}

// storages are the strategies whose fills are protected in different ways. at hands the schedule
// over that is played next.
var storages = []struct {
	name string
	make func(t testing.TB) (strategy driver.Strategy, at func(*schedule))
}{
	{"bigcache", func(t testing.TB) (driver.Strategy, func(*schedule)) {
		strategy := &held{Strategy: newBigcache(t)}
		return strategy, func(s *schedule) { strategy.playing = &actor{s, "the flight"} }
	}},
	{"without leases", func(testing.TB) (driver.Strategy, func(*schedule)) { return newTable(), func(*schedule) {} }},
}

// start returns a started Service. It is stopped when the test ends.
func start(t testing.TB, strategy driver.Strategy, options cache.Options) *cache.Service {
	t.Helper()
	options.Logger, options.MeterProvider = slog.New(slog.DiscardHandler), metricnoop.NewMeterProvider()
	options.MaxValueBytes = valueLimit
	service, err := cache.NewService(strategy, options)
	must(t, err)
	must(t, service.Start(context.Background(), nil))
	t.Cleanup(func() { must(t, service.Stop(context.Background())) })
	return service
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
