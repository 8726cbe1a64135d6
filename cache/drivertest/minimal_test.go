package drivertest_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// Minimal is the smallest useful strategy: a map. It does not evict. It has no leases, so the
// Service fences fills within the process.
type Minimal struct {
	clock   driver.Clock
	mu      sync.Mutex
	entries map[string]minimalEntry
}

type minimalEntry struct {
	value   []byte
	tags    []string
	expires time.Time
}

// Init takes the clock, so that tests can set it.
func (m *Minimal) Init(_ context.Context, in driver.Injector) (err error) {
	m.clock, err = driver.Resolve[driver.Clock](in)
	return err
}

// Get implements driver.Strategy.
func (m *Minimal) Get(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if !ok || !m.clock.Now().Before(e.expires) {
		delete(m.entries, key)
		return nil, false, nil
	}
	return slices.Clone(e.value), true, nil // the caller may change the bytes that it gets
}

// Set implements driver.Strategy.
func (m *Minimal) Set(_ context.Context, key string, value []byte, opts driver.SetOptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, key) // a refused Set hides the previous value, too
	if opts.TTL <= 0 {
		return driver.ErrInvalidTTL
	}
	if m.entries == nil {
		m.entries = make(map[string]minimalEntry)
	}
	ttl := max(opts.TTL, time.Millisecond)
	m.entries[key] = minimalEntry{slices.Clone(value), slices.Clone(opts.Tags), m.clock.Now().Add(ttl)}
	return nil
}

// Delete implements driver.Strategy.
func (m *Minimal) Delete(_ context.Context, keys ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.entries, key)
	}
	return nil
}

// InvalidateTags implements driver.Strategy. A real strategy should not visit every entry.
func (m *Minimal) InvalidateTags(_ context.Context, tags ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.entries, func(_ string, e minimalEntry) bool {
		return slices.ContainsFunc(e.tags, func(tag string) bool { return slices.Contains(tags, tag) })
	})
	return nil
}

func TestMinimal(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, func(testing.TB) driver.Strategy { return new(Minimal) },
		drivertest.NoLeases(), drivertest.NoEviction())
}
