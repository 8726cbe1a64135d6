package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// copying is a strategy with copies in front of its storage, which is a bigcache. A copy is what
// the test makes one of, and may differ from the entry.
type copying struct {
	*bigcache.Strategy

	mu      sync.Mutex
	copies  map[string][]byte
	asked   []driver.CopyOptions // of the reads from the storage
	failing error                // of all of those, and of revocations
}

// Features implements driver.Featured. The strategy leaves the process, as others do.
func (s *copying) Features() driver.Features {
	f := driver.FeaturesOf(s.Strategy)
	f.Leaser, f.Near, f.Batcher = s, s, s
	f.Local, f.Immediate, f.Cancellable = false, false, true
	return f
}

func (s *copying) GetNear(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, found := s.copies[key]
	return value, found
}

func (s *copying) GetFar(ctx context.Context, key string, _ []string, copies driver.CopyOptions) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, copies)
	if s.failing != nil {
		return nil, false, s.failing
	}
	return s.Get(ctx, key)
}

func (s *copying) GetManyFar(ctx context.Context, keys, tags []string, copies driver.CopyOptions) []driver.Result {
	results := make([]driver.Result, len(keys))
	for i, key := range keys {
		r := &results[i]
		r.Value, r.Found, r.Err = s.GetFar(ctx, key, tags, copies)
	}
	return results
}

func (s *copying) GetMany(ctx context.Context, keys, tags []string) []driver.Result {
	return s.GetManyFar(ctx, keys, tags, driver.CopyOptions{})
}

func (s *copying) SetMany(ctx context.Context, items []driver.Item) []error {
	errs := make([]error, len(items))
	for i, item := range items {
		errs[i] = s.Set(ctx, item.Key, item.Value, item.Options)
	}
	return errs
}

func (s *copying) Delete(ctx context.Context, keys ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return s.failing
	}
	return s.Strategy.Delete(ctx, keys...)
}

// copyAll makes copies of keys, as they are stored now.
func (s *copying) copyAll(t *testing.T, keys ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		value, found, err := s.Get(t.Context(), key)
		if err != nil || !found {
			t.Fatalf("%v, %v", found, err)
		}
		s.copies[key] = value
	}
}

func (s *copying) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
}

// reads returns how the storage was asked since the last call.
func (s *copying) reads() []driver.CopyOptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// near returns a Service on copying, with the caches "a" and "b", whose key "k" is 1. There are
// copies of both.
func near(t *testing.T, options cache.Options, a cache.CacheOptions) (*copying, *cache.Service, *cache.Cache[int], *cache.Cache[int]) {
	t.Helper()
	s := &copying{Strategy: newBigcache(t), copies: map[string][]byte{}}
	service, err := cache.NewService(s, quiet(options), cache.Caches{"a": a})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop(context.Background()) })
	var made []*cache.Cache[int]
	for _, name := range []string{"a", "b"} {
		c, err := cache.New(service, name, cache.Policy[int]{TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		put(t, c)
		s.copyAll(t, "app:"+name+":k")
		made = append(made, c)
	}
	return s, service, made[0], made[1]
}

func wants(t *testing.T, c *cache.Cache[int], want int) {
	t.Helper()
	if got, found, err := c.Get(t.Context(), "k"); got != want || !found || err != nil {
		t.Errorf("Get = %v, %v, %v, want %v", got, found, err, want)
	}
}

// A copy is served without asking the storage, also while that fails, and however many are read.
func TestCopiesAreServed(t *testing.T) {
	t.Parallel()
	s, service, a, _ := near(t, cache.Options{}, cache.CacheOptions{})
	s.fail(errOutage)
	for range 100 { // more than open the breaker
		if _, _, err := a.Get(t.Context(), "other"); err == nil {
			t.Fatal("the storage does not fail")
		}
		wants(t, a, 1)
	}
	s.reads()
	before := service.Stats()
	wants(t, a, 1)
	got, err := a.GetMany(t.Context(), "k", "other")
	var partly *cache.BatchError
	if got["k"] != 1 || !errors.As(err, &partly) {
		t.Errorf("GetMany = %v, %v", got, err)
	}
	if got, err = a.GetMany(t.Context(), "k"); got["k"] != 1 || err != nil {
		t.Errorf("GetMany = %v, %v", got, err)
	}
	if after := service.Stats(); after.CopyHits-before.CopyHits != 3 || after.Hits-before.Hits != 3 {
		t.Errorf("%d copies and %d hits, want 3 of each", after.CopyHits-before.CopyHits, after.Hits-before.Hits)
	}
	s.fail(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := a.Get(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get of a dead request = %v", err)
	}
}

// The operator says for each cache whether copies are served, and how long.
func TestCopiesOfACache(t *testing.T) {
	t.Parallel()
	off, ttl := false, 3*time.Second
	s, _, a, b := near(t, cache.Options{}, cache.CacheOptions{L1: &off})
	s.reads()
	wants(t, a, 1)
	if _, err := a.GetMany(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	if asked := s.reads(); len(asked) != 2 || !asked[0].Off || !asked[1].Off {
		t.Errorf("the storage was asked %+v, want twice, without copies", asked)
	}
	if wants(t, b, 1); len(s.reads()) > 0 {
		t.Error("the storage was asked although there is a copy")
	}
	s, _, a, _ = near(t, cache.Options{}, cache.CacheOptions{L1TTL: &ttl})
	s.reads()
	if _, _, err := a.Get(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	if asked := s.reads(); len(asked) == 0 || asked[0] != (driver.CopyOptions{TTL: ttl}) {
		t.Errorf("the storage was asked %+v", asked)
	}
}

// While a revocation is pending, no copy is served: it may be of what was revoked.
func TestNoCopiesWhilePending(t *testing.T) {
	t.Parallel()
	s, _, a, b := near(t, cache.Options{}, cache.CacheOptions{})
	s.fail(errOutage)
	if err := a.Delete(t.Context(), "k"); !errors.Is(err, cache.ErrRevocationPending) {
		t.Fatalf("Delete = %v", err)
	}
	for _, c := range []*cache.Cache[int]{a, b} {
		if _, found, err := c.Get(t.Context(), "k"); found || !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("Get = %v, %v", found, err)
		}
	}
	s.fail(nil)
}

// What a loader sees as the previous value, and may keep, is what the storage holds under the
// lease. A copy may be of an entry that is being revoked.
func TestPreviousIsNoCopy(t *testing.T) {
	t.Parallel()
	s, service, _, _ := near(t, cache.Options{}, cache.CacheOptions{})
	stale := cache.Policy[int]{TTL: time.Hour, Fresh: func(v int) bool { return v == 3 }}
	c, err := cache.New(service, "c", stale)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c)
	s.copyAll(t, "app:c:k")
	if err := c.Set(t.Context(), "k", 2); err != nil { // the copy is not of that yet
		t.Fatal(err)
	}
	got, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
		if v, ok := cache.Previous[int](ctx); v != 2 || !ok {
			t.Errorf("Previous = %v, %v, want 2", v, ok)
		}
		return 3, nil
	})
	if got != 3 || err != nil {
		t.Errorf("GetOrLoad = %v, %v", got, err)
	}
}
