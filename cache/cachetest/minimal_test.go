package cachetest_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/cachetest"
)

// Minimal is the smallest useful strategy: a map. It does not evict, and has no leases, so that
// Service fences fills within the process.
type Minimal struct {
	clock   cache.Clock
	mu      sync.Mutex
	entries map[string]minimalEntry
}

type minimalEntry struct {
	value   []byte
	tags    []string
	expires time.Time
}

// Init takes the clock, so that tests can set it.
func (m *Minimal) Init(_ context.Context, in cache.Injector) (err error) {
	m.clock, err = cache.Resolve[cache.Clock](in)
	return err
}

// Get implements cache.Strategy.
func (m *Minimal) Get(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if !ok || !m.clock.Now().Before(e.expires) {
		delete(m.entries, key)
		return nil, false, nil
	}
	return slices.Clone(e.value), true, nil // the caller may change its bytes, not ours
}

// Set implements cache.Strategy.
func (m *Minimal) Set(_ context.Context, key string, value []byte, opts cache.SetOptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, key) // a refused Set hides the previous value, too
	if opts.TTL <= 0 {
		return cache.ErrInvalidTTL
	}
	if m.entries == nil {
		m.entries = make(map[string]minimalEntry)
	}
	ttl := max(opts.TTL, time.Millisecond)
	m.entries[key] = minimalEntry{slices.Clone(value), slices.Clone(opts.Tags), m.clock.Now().Add(ttl)}
	return nil
}

// Delete implements cache.Strategy.
func (m *Minimal) Delete(_ context.Context, keys ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.entries, key)
	}
	return nil
}

// InvalidateTags implements cache.Strategy. A better one would not look at every entry.
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
	cachetest.Run(t, func(testing.TB) cache.Strategy { return new(Minimal) },
		cachetest.NoLeases(), cachetest.NoEviction())
}
