package cache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/noop"
)

// leasing is a strategy that is a BatchLeaser.
type leasing struct{ *bigcache.Strategy }

func (s leasing) GetOrLeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	results := make([]driver.LeaseResult, len(keys))
	for i, key := range keys {
		r := &results[i]
		r.Value, r.Found, r.Lease, r.Err = s.GetOrLease(ctx, key)
	}
	return results
}

func (s leasing) LeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	results := make([]driver.LeaseResult, len(keys))
	for i, key := range keys {
		results[i].Lease, results[i].Err = s.Lease(ctx, key)
	}
	return results
}

func (s leasing) ExtendMany(ctx context.Context, leases []*driver.Lease) []driver.HoldResult {
	results := make([]driver.HoldResult, len(leases))
	for i, lease := range leases {
		results[i].Held, results[i].Err = s.Extend(ctx, lease)
	}
	return results
}

func (s leasing) FillMany(ctx context.Context, fills []driver.Fill) []driver.FillResult {
	results := make([]driver.FillResult, len(fills))
	for i, fill := range fills {
		results[i].Stored, results[i].Err = s.Fill(ctx, fill.Lease, fill.Value, fill.Options)
	}
	return results
}

func (s leasing) ReleaseMany(ctx context.Context, leases []*driver.Lease) []error {
	failures := make([]error, len(leases))
	for i, lease := range leases {
		failures[i] = s.Release(ctx, lease)
	}
	return failures
}

func (s leasing) GetMany(ctx context.Context, keys, _ []string) []driver.Result {
	results := make([]driver.Result, len(keys))
	for i, key := range keys {
		results[i].Value, results[i].Found, results[i].Err = s.Get(ctx, key)
	}
	return results
}

func (s leasing) SetMany(ctx context.Context, items []driver.Item) []error {
	failures := make([]error, len(items))
	for i, item := range items {
		failures[i] = s.Set(ctx, item.Key, item.Value, item.Options)
	}
	return failures
}

// loadManyKinds are strategies that treat many keys in different ways.
var loadManyKinds = []struct {
	name   string
	make   func(testing.TB) driver.Strategy
	stores bool
}{
	{"batches", func(t testing.TB) driver.Strategy { return leasing{newBigcache(t)} }, true},
	{"leases", func(t testing.TB) driver.Strategy { return newBigcache(t) }, true},
	{"fence", func(testing.TB) driver.Strategy { return new(table) }, true},
	{"noop", func(testing.TB) driver.Strategy { return noop.Strategy{} }, false},
}

type loadMany = func(ctx context.Context, missing []string) (map[string]int, error)

// database is a loader of many, which counts. The value of a key is its length.
type database struct {
	mu    sync.Mutex
	asked [][]string // sorted
	// during is called within each load, and may fail it.
	during func(ctx context.Context, missing []string) error
	absent []string
}

func (d *database) load(ctx context.Context, missing []string) (map[string]int, error) {
	d.mu.Lock()
	d.asked = append(d.asked, slices.Sorted(slices.Values(missing)))
	d.mu.Unlock()
	if d.during != nil {
		if err := d.during(ctx, missing); err != nil {
			return nil, err
		}
	}
	values := map[string]int{"nobody asked": 99}
	for _, key := range missing {
		if !slices.Contains(d.absent, key) {
			values[key] = len(key)
		}
	}
	return values, nil
}

// loads checks what was asked for since the last call.
func (d *database) loads(t testing.TB, want ...[]string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.EqualFunc(d.asked, want, slices.Equal[[]string]) {
		t.Errorf("loads of %q, want %q", d.asked, want)
	}
	d.asked = nil
}

// mustLoad checks that all keys, and no others, are returned.
func mustLoad(t testing.TB, c *cache.Cache[int], load loadMany, keys ...string) {
	t.Helper()
	values, err := c.GetOrLoadMany(context.Background(), keys, load)
	if err != nil {
		t.Errorf("GetOrLoadMany: %v", err)
	}
	hasLengths(t, values, keys...)
}

func hasLengths(t testing.TB, values map[string]int, keys ...string) {
	t.Helper()
	want := map[string]int{}
	for _, key := range keys {
		want[key] = len(key)
	}
	if !maps.Equal(values, want) {
		t.Errorf("values %v, want %v", values, want)
	}
}

// failedOnly checks that err is a BatchError of these keys, each with a cause.
func failedOnly(t testing.TB, err, cause error, keys ...string) {
	t.Helper()
	var failed *cache.BatchError
	if !errors.As(err, &failed) {
		t.Fatalf("error %v, want a BatchError", err)
	}
	if got := slices.Sorted(maps.Keys(failed.Failed)); !slices.Equal(got, slices.Sorted(slices.Values(keys))) {
		t.Errorf("failed: %q, want %q", got, keys)
	}
	for key, err := range failed.Failed {
		if cause != nil && !errors.Is(err, cause) {
			t.Errorf("%s failed with %v, want %v", key, err, cause)
		}
	}
}

func numbered(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("k%03d", i))
	}
	return keys
}
