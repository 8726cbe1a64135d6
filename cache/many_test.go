package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// batching makes a strategy a Batcher, and can fail single keys.
type batching struct {
	driver.Leaser
	fails map[string]error
	short bool // forgets the last answer
	slow  bool // until the deadline
	panic bool
}

func (s *batching) GetMany(ctx context.Context, keys, _ []string) []driver.Result {
	if s.panic {
		panic("bug")
	}
	if s.slow {
		<-ctx.Done()
	}
	results := make([]driver.Result, len(keys))
	for i, key := range keys {
		r := &results[i]
		if r.Err = errors.Join(s.fails[key], ctx.Err()); r.Err == nil {
			r.Value, r.Found, r.Err = s.Get(ctx, key)
		}
	}
	if s.short {
		return results[1:]
	}
	return results
}

func (s *batching) SetMany(ctx context.Context, items []driver.Item) []error {
	if s.panic {
		panic("bug")
	}
	if s.slow {
		<-ctx.Done()
	}
	failures := make([]error, len(items))
	for i, item := range items {
		if failures[i] = errors.Join(s.fails[item.Key], ctx.Err()); failures[i] == nil {
			failures[i] = s.Set(ctx, item.Key, item.Value, item.Options)
		}
	}
	if s.short {
		return failures[1:]
	}
	return failures
}

func (s *batching) Init(ctx context.Context, in driver.Injector) error {
	return s.Leaser.(driver.Initializer).Init(ctx, in)
}

func (s *batching) Destroy(ctx context.Context) error {
	return s.Leaser.(driver.Destroyer).Destroy(ctx)
}

// manyKinds are the strategies that GetMany and SetMany treat in different ways.
func manyKinds(t testing.TB) map[string]driver.Strategy {
	t.Helper()
	return map[string]driver.Strategy{
		"batches":       &batching{Leaser: newBigcache(t)},
		"one by one":    newBigcache(t),
		"behind fence":  new(table),
		"fenced batch":  fencedBatch{new(table)},
		"hashed by one": newBigcache(t),
	}
}

// fencedBatch is a Batcher without leases. The fence would not see the entries that its SetMany
// stores.
type fencedBatch struct{ *table }

func (s fencedBatch) GetMany(ctx context.Context, keys, _ []string) []driver.Result {
	results := make([]driver.Result, len(keys))
	for i, key := range keys {
		results[i].Value, results[i].Found, results[i].Err = s.Get(ctx, key)
	}
	return results
}

func (s fencedBatch) SetMany(context.Context, []driver.Item) []error { panic("must not be used") }

// GetMany and SetMany do what Get and Set do for one key after the other.
func TestMany(t *testing.T) {
	t.Parallel()
	for name, strategy := range manyKinds(t) {
		service := start(t, strategy, cache.Options{})
		ctx := t.Context()
		c := newCache(t, service, "c", cache.Policy[int]{
			Tags: []string{"all"}, TagsOf: func(v int) []string { return []string{fmt.Sprint("v", v)} },
			TTLOf:    func(v int) time.Duration { return time.Duration(v+1) * time.Hour },
			HashKeys: strings.HasPrefix(name, "hashed"),
		})
		if err := c.Set(ctx, "forbidden", 7); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"zero": 0, "one": 1, "two": 2}
		written := maps.Clone(want)
		written["forbidden"] = -1
		if err := c.SetMany(ctx, written); err != nil {
			t.Errorf("%s: SetMany: %v", name, err)
		}
		got, err := c.GetMany(ctx, "one", "missing", "zero", "two", "one", "forbidden")
		if !maps.Equal(got, want) || err != nil {
			t.Errorf("%s: GetMany = %v, %v, want %v", name, got, err, want)
		}
		stats := service.Stats()
		if stats.Hits != 3 || stats.Misses != 2 || stats.Sets != 4 || stats.Corrupt != 0 {
			t.Errorf("%s: %+v", name, stats)
		}
		if err := c.InvalidateTags(ctx, "v2"); err != nil {
			t.Fatal(err)
		}
		delete(want, "two")
		if got, err := c.GetMany(ctx, "zero", "one", "two"); !maps.Equal(got, want) || err != nil {
			t.Errorf("%s: GetMany after an invalidation = %v, %v, want %v", name, got, err, want)
		}
		if err := c.Delete(ctx, "zero", "one", "two"); err != nil {
			t.Fatal(err)
		}
		if got, err := c.GetMany(ctx, "zero", "one", "two"); len(got) != 0 || err != nil {
			t.Errorf("%s: GetMany after Delete = %v, %v", name, got, err)
		}
		if got, err := c.GetMany(ctx); got == nil || len(got) != 0 || err != nil {
			t.Errorf("%s: GetMany of no key = %v, %v", name, got, err)
		}
		if err := c.SetMany(ctx, nil); err != nil {
			t.Errorf("%s: SetMany of nothing: %v", name, err)
		}
	}
}

// A Batcher is asked once, and told the tags if they are known.
func TestManyIsOneOperation(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, &batching{Leaser: newBigcache(t)}, cache.Options{})
	ctx := t.Context()
	known := newCache(t, service, "known", cache.Policy[int]{Tags: []string{"a"}})
	untagged := newCache(t, service, "untagged", cache.Policy[int]{})
	learned := newCache(t, service, "learned", cache.Policy[int]{Tags: []string{"a"}, TagsOf: func(int) []string { return nil }})
	var hints [][]string
	for _, c := range []*cache.Cache[int]{known, untagged, learned} {
		recorder.Reset()
		if err := c.SetMany(ctx, map[string]int{"x": 1, "y": 2}); err != nil {
			t.Fatal(err)
		}
		if got, err := c.GetMany(ctx, "x", "y"); len(got) != 2 || err != nil {
			t.Error(got, err)
		}
		if err := c.Delete(ctx, "x", "y"); err != nil {
			t.Fatal(err)
		}
		operations := recorder.Operations()
		if len(operations) != 3 || operations[0].Name != drivertest.OpSetMany || operations[1].Name != drivertest.OpGetMany || operations[2].Name != drivertest.OpDelete {
			t.Fatalf("%+v", operations)
		}
		hints = append(hints, operations[1].Tags)
	}
	if !slices.Equal(hints[0], []string{"app:a"}) || hints[1] == nil || len(hints[1]) != 0 || hints[2] != nil {
		t.Errorf("hints %#v", hints)
	}
}

// If some keys fail, the others are returned. The error says which ones failed, but not in its
// text.
func TestManyPartialResults(t *testing.T) {
	t.Parallel()
	strategy := &batching{Leaser: newBigcache(t), fails: map[string]error{}}
	service := start(t, strategy, cache.Options{MaxKeyBytes: 64, MaxValueBytes: 64})
	ctx := t.Context()
	c := newCache(t, service, "c", cache.Policy[string]{})
	long := strings.Repeat("long-secret", 10)
	old := map[string]string{"good": "1", "secret-bad": "2", "secret-huge": "3"}
	if err := c.SetMany(ctx, old); err != nil {
		t.Fatal(err)
	}
	strategy.fails["app:c:secret-bad"] = errOutage
	check := func(op string, err error, of int, want map[string]error) {
		t.Helper()
		var wrapped *cache.Error
		var batch *cache.BatchError
		if !errors.As(err, &wrapped) || wrapped.Op != op || !errors.As(err, &batch) || batch.Of != of || len(batch.Failed) != len(want) {
			t.Fatalf("%s: %v", op, err)
		}
		for key, cause := range want {
			if !errors.Is(batch.Failed[key], cause) || !errors.Is(err, cause) {
				t.Errorf("%s: %q failed with %v, want %v", op, key, batch.Failed[key], cause)
			}
		}
		encoded, _ := json.Marshal(batch)
		for _, text := range []string{err.Error(), fmt.Sprintf("%v %+v %#v %s", batch, batch, batch, encoded), fmt.Sprintf("%#v", err)} {
			if strings.Contains(text, "secret") {
				t.Errorf("%s: a key is in %q", op, text)
			}
		}
		if want := fmt.Sprintf("%d of %d keys failed", len(want), of); !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q does not say %q", op, err, want)
		}
	}
	got, err := c.GetMany(ctx, "good", "secret-bad", long, "secret-huge", "")
	check("get", err, 5, map[string]error{"secret-bad": errOutage, long: cache.ErrInvalidKey, "": cache.ErrInvalidKey})
	if want := map[string]string{"good": "1", "secret-huge": "3"}; !maps.Equal(got, want) {
		t.Errorf("GetMany = %v, want %v", got, want)
	}
	before := service.Stats()
	err = c.SetMany(ctx, map[string]string{"good": "4", "secret-bad": "5", "secret-huge": strings.Repeat("x", 100), long: ""})
	check("set", err, 4, map[string]error{"secret-bad": errOutage, long: cache.ErrInvalidKey, "secret-huge": cache.ErrValueTooLarge})
	if stats := service.Stats(); stats.SetErrors-before.SetErrors != 3 || stats.Sets-before.Sets != 1 {
		t.Errorf("%+v", stats)
	}
	clear(strategy.fails)
	got, err = c.GetMany(ctx, "good", "secret-huge")
	if want := map[string]string{"good": "4"}; !maps.Equal(got, want) || err != nil {
		t.Errorf("GetMany = %v, %v, want %v: what is refused hides the old value", got, err, want)
	}
}

// A batch has the deadline of one operation, and the breaker counts it as one. If a strategy breaks
// its contract, the batch fails.
func TestManyFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*batching)
		cause  error
	}{
		"slow":  {func(s *batching) { s.slow = true }, cache.ErrUnavailable},
		"short": {func(s *batching) { s.short = true }, nil},
		"panic": {func(s *batching) { s.panic = true }, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			strategy := &batching{Leaser: newBigcache(t)}
			service := start(t, strategy, cache.Options{Timeout: 50 * time.Millisecond, BreakerFailures: 2, BreakerPause: time.Minute})
			c := newCache(t, service, "c", cache.Policy[int]{})
			test.change(strategy)
			for i := range 3 {
				if i > 0 {
					<-time.After(500 * time.Millisecond)
				}
				began := time.Now()
				got, err := c.GetMany(t.Context(), "a", "b")
				var batch *cache.BatchError
				if len(got) != 0 || !errors.As(err, &batch) || len(batch.Failed) != 2 || !errors.Is(err, test.cause) && test.cause != nil {
					t.Errorf("%s: GetMany = %v, %v", name, got, err)
				}
				want := time.Duration(0)
				if strategy.slow && i < 2 {
					want = 50 * time.Millisecond
				}
				if took := time.Since(began); took != want {
					t.Errorf("%s: time %d took %v, want %v", name, i, took, want)
				}
			}
			if n := service.Stats().ShortCircuited; n != 1 {
				t.Errorf("%s: the breaker stopped %d batches, want the third", name, n)
			}
			err := c.SetMany(t.Context(), map[string]int{"a": 1, "b": 2})
			var batch *cache.BatchError
			if !errors.As(err, &batch) || len(batch.Failed) != 2 {
				t.Errorf("%s: SetMany = %v", name, err)
			}
		})
	}
}

// If only some keys fail, the strategy has not failed.
func TestManyPartialFailureKeepsTheBreakerClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy := &batching{Leaser: newBigcache(t), fails: map[string]error{"app:c:a": errOutage}}
		service := start(t, strategy, cache.Options{BreakerFailures: 1})
		c := newCache(t, service, "c", cache.Policy[int]{})
		for range 5 {
			var batch *cache.BatchError
			if _, err := c.GetMany(t.Context(), "a", "b"); !errors.As(err, &batch) || len(batch.Failed) != 1 {
				t.Errorf("GetMany: %v", err)
			}
			<-time.After(time.Second)
		}
		if n := service.Stats().ShortCircuited; n != 0 {
			t.Errorf("the breaker stopped %d batches", n)
		}
	})
}

// While a revocation is pending, GetMany finds nothing, whichever way the strategy is asked.
func TestManyWhileRevocationsArePending(t *testing.T) {
	t.Parallel()
	for name, inner := range map[string]driver.Strategy{"batches": &batching{Leaser: newBigcache(t)}, "one by one": newBigcache(t)} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, inner, cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{})
			if err := c.SetMany(t.Context(), map[string]int{"a": 1, "b": 2}); err != nil {
				t.Fatal(err)
			}
			// each of the two keys tries it, too
			recorder.FailNext(drivertest.OpDelete, 3, errOutage)
			var pending *cache.PendingError
			if err := c.Delete(t.Context(), "a"); !errors.As(err, &pending) {
				t.Fatal(err)
			}
			if got, err := c.GetMany(t.Context(), "a", "b"); len(got) != 0 || !errors.Is(err, cache.ErrRevocationPending) {
				t.Errorf("%s: GetMany = %v, %v", name, got, err)
			}
			pass(5 * time.Second)
			if got, err := c.GetMany(t.Context(), "a", "b"); len(got) != 1 || got["b"] != 2 || err != nil {
				t.Errorf("%s: GetMany = %v, %v, want the other key", name, got, err)
			}
		})
	}
}

// GetMany does not return entries that are past their TTL, that do not exist, or that cannot be
// read.
func TestManyFindsOnlyWhatIsGood(t *testing.T) {
	t.Parallel()
	for name, strategy := range manyKinds(t) {
		if strings.HasPrefix(name, "hashed") {
			continue
		}
		service := start(t, strategy, cache.Options{})
		brief := remembered()
		brief.TTL, brief.StaleFor = time.Millisecond, time.Hour
		stale := newCache(t, peer(t, strategy, cache.Options{}), "c", brief)
		c := newCache(t, service, "c", remembered())
		if err := errors.Join(stale.SetMany(t.Context(), map[string]int{"stale": 1}), c.SetMany(t.Context(), map[string]int{"good": 2})); err != nil {
			t.Fatal(err)
		}
		if _, err := c.GetOrLoad(t.Context(), "absent", nothing); !errors.Is(err, cache.ErrNotFound) {
			t.Fatal(err)
		}
		if err := strategy.Set(t.Context(), "app:c:damaged", []byte{6, 0}, cache.SetOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Millisecond)
		before := service.Stats()
		got, err := c.GetMany(t.Context(), "stale", "good", "absent", "damaged")
		if !maps.Equal(got, map[string]int{"good": 2}) || err != nil {
			t.Errorf("%s: GetMany = %v, %v", name, got, err)
		}
		stats := service.Stats()
		if stats.Hits-before.Hits != 1 || stats.Misses-before.Misses != 2 || stats.NegativeHits-before.NegativeHits != 1 || stats.Corrupt != 1 {
			t.Errorf("%s: %+v after %+v", name, stats, before)
		}
		if _, found, _ := strategy.Get(t.Context(), "app:c:damaged"); found {
			t.Errorf("%s: the damaged entry is still there", name)
		}
	}
}

// Before Start and after Stop, GetMany and SetMany fail.
func TestManyNotStarted(t *testing.T) {
	t.Parallel()
	service := newService(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{})
	_, err := c.GetMany(t.Context(), "a")
	if err = errors.Join(err, c.SetMany(t.Context(), map[string]int{"a": 1})); strings.Count(fmt.Sprint(err), cache.ErrNotStarted.Error()) != 2 {
		t.Errorf("%v", err)
	}
}
