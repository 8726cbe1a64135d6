package cache_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// V10: a refused Set is a typed error, and the previous value is gone.
func TestRefusedSetHidesThePreviousValue(t *testing.T) {
	t.Parallel()
	options := cache.Options{MaxKeyBytes: 64, MaxValueBytes: 100, MaxTags: 2}
	long := strings.Repeat("x", 65)
	for name, test := range map[string]struct {
		value any
		opts  cache.SetOptions
		want  error
	}{
		"negative TTL":    {1, cache.SetOptions{TTL: -1}, cache.ErrInvalidTTL},
		"TTL -1500ms":     {1, cache.SetOptions{TTL: -1500 * time.Millisecond}, cache.ErrInvalidTTL},
		"lowest TTL":      {1, cache.SetOptions{TTL: math.MinInt64}, cache.ErrInvalidTTL},
		"empty tag":       {1, cache.SetOptions{Tags: []string{"a", ""}}, cache.ErrInvalidKey},
		"long tag":        {1, cache.SetOptions{Tags: []string{long}}, cache.ErrInvalidKey},
		"too many tags":   {1, cache.SetOptions{Tags: []string{"a", "b", "c"}}, cache.ErrTooManyTags},
		"too large":       {strings.Repeat("x", 99), cache.SetOptions{}, cache.ErrValueTooLarge},
		"not encodable":   {make(chan int), cache.SetOptions{}, cache.ErrEncoding},
		"encoding panics": {panics{}, cache.SetOptions{}, nil},
	} {
		for _, kind := range kinds[:2] {
			service := start(t, kind.make(t), options)
			mustSet(t, service, "k", "old", cache.SetOptions{})
			err := service.Set(t.Context(), "k", test.value, test.opts)
			var wrapped *cache.Error
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !errors.As(err, &wrapped) || wrapped.Op != "set" {
				t.Errorf("%s over %s: Set = %v, want %v", name, kind.name, err, test.want)
			}
			mustMiss(t, service, "k")
			if stats := service.Stats(); stats.SetErrors != 1 || stats.Sets != 1 {
				t.Errorf("%s: %+v", name, stats)
			}
		}
	}
}

// The limits are inclusive.
func TestLimitsAreInclusive(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{MaxKeyBytes: 64, MaxValueBytes: 100, MaxTags: 2})
	key := strings.Repeat("k", 64)
	mustSet(t, service, key, strings.Repeat("x", 98), cache.SetOptions{Tags: []string{key, "b"}})
	if found, err := service.Get(t.Context(), key, new(string)); !found || err != nil {
		t.Errorf("Get = %v, %v", found, err)
	}
}

type panics struct{}

func (panics) AppendBinary([]byte) ([]byte, error) { panic("bug") }
func (*panics) UnmarshalBinary([]byte) error       { panic("bug") }

func TestInvalidKeys(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, newBigcache(t), cache.Options{MaxKeyBytes: 16})
	c := newCache(t, service, "c", cache.Policy[int]{})
	ctx := context.Background()
	for _, key := range []string{"", strings.Repeat("x", 17)} {
		_, getErr := service.Get(ctx, key, new(int))
		_, _, cacheGetErr := c.Get(ctx, key)
		_, loadErr := c.GetOrLoad(ctx, key, unexpected[int](t))
		_, updateErr := c.Update(ctx, key, unexpected[int](t))
		for op, err := range map[string]error{
			"get": getErr, "set": service.Set(ctx, key, 1, cache.SetOptions{}), "delete": service.Delete(ctx, "fine", key),
			"invalidate": service.InvalidateTags(ctx, "fine", key), "load": loadErr, "update": updateErr,
		} {
			var wrapped *cache.Error
			if !errors.Is(err, cache.ErrInvalidKey) || !errors.As(err, &wrapped) || wrapped.Op != op {
				t.Errorf("%s of %q: %v", op, key, err)
			}
		}
		for name, err := range map[string]error{"Get": cacheGetErr, "Set": c.Set(ctx, key, 1), "Delete": c.Delete(ctx, "fine", key)} {
			if !errors.Is(err, cache.ErrInvalidKey) {
				t.Errorf("Cache.%s of %q: %v", name, key, err)
			}
		}
	}
	for _, operation := range recorder.Operations() {
		for _, name := range append(operation.Keys, operation.Tags...) {
			if !strings.HasSuffix(name, ":fine") {
				t.Errorf("the strategy saw %v", operation)
			}
		}
	}
}

// The strategy's keys are never longer than promised: max_key_bytes after the namespace.
func TestPhysicalKeysKeepToTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 40
	for _, hashed := range []bool{false, true} {
		for _, name := range []string{"c", "::::::::", "%%%%%%%%%%%%%%%%%%%%"} {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{MaxKeyBytes: limit})
			c, err := cache.New(service, name, cache.Policy[int]{HashKeys: hashed})
			if err != nil {
				continue // New may refuse the name instead
			}
			for _, key := range []string{"k", strings.Repeat("k", limit/2), strings.Repeat("k", limit)} {
				_ = c.Set(t.Context(), key, 1) // may be refused
			}
			for _, o := range recorder.Operations() {
				for _, key := range o.Keys {
					if n := len(strings.TrimPrefix(key, "app:")); n > limit {
						t.Errorf("name %q, HashKeys %v: the strategy got a key of %d bytes", name, hashed, n)
					}
				}
			}
			if len(recorder.Operations()) == 0 {
				t.Errorf("name %q, HashKeys %v: New accepts a name with which no key is possible", name, hashed)
			}
		}
	}
}

// A TTL of zero means default_ttl, which is max_ttl unless it is set. max_ttl caps every TTL.
func TestTTL(t *testing.T) {
	t.Parallel()
	const h = time.Hour
	for _, test := range []struct{ defaultTTL, maxTTL, ttl, want time.Duration }{
		{0, 0, 0, 720 * h},
		{0, 10 * h, 0, 10 * h},
		{h, 10 * h, 0, h},
		{h, 10 * h, 2 * h, 2 * h},
		{h, 10 * h, 10 * h, 10 * h},
		{h, 10 * h, 11 * h, 10 * h},
		{h, 10 * h, math.MaxInt64, 10 * h},
		{h, 10 * h, time.Millisecond, time.Millisecond},
		{h, 10 * h, 499 * time.Millisecond, 499 * time.Millisecond}, // V11
	} {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{DefaultTTL: test.defaultTTL, MaxTTL: test.maxTTL})
		mustSet(t, service, "k", 1, cache.SetOptions{TTL: test.ttl})
		byPolicy := newCache(t, service, "policy", cache.Policy[int]{TTL: test.ttl})
		byValue := newCache(t, service, "value", cache.Policy[int]{TTL: time.Minute, TTLOf: func(int) time.Duration { return test.ttl }})
		stored := 0
		for _, c := range []*cache.Cache[int]{byPolicy, byValue} {
			if err := c.Set(t.Context(), "k", 1); err != nil {
				t.Fatal(err)
			}
			if _, err := c.GetOrLoad(t.Context(), "loaded", value(1)); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range recorder.Operations() {
			if o.Name != drivertest.OpSet && o.Name != drivertest.OpFill {
				continue
			}
			if stored++; o.TTL != test.want {
				t.Errorf("%+v: %s of %s has TTL %v", test, o.Name, o.Keys[0], o.TTL)
			}
		}
		if want := 5; stored != want && (test.ttl > 0 || stored != want-2) { // TTLOf of zero stores nothing
			t.Errorf("%+v: %d values are stored", test, stored)
		}
	}
}

// V5 and V6: a new Set replaces the tags and the TTL, whether the new TTL is longer or shorter.
func TestSetReplacesWhole(t *testing.T) {
	t.Parallel()
	clock := drivertest.NewClock(time.Unix(1_000_000, 0))
	service := start(t, newBigcache(t), cache.Options{Clock: clock})
	mustSet(t, service, "longer", 1, cache.SetOptions{TTL: time.Second, Tags: []string{"old"}})
	mustSet(t, service, "longer", 2, cache.SetOptions{TTL: time.Hour, Tags: []string{"new"}})
	mustSet(t, service, "shorter", 1, cache.SetOptions{TTL: time.Hour})
	mustSet(t, service, "shorter", 2, cache.SetOptions{TTL: time.Second})
	clock.Advance(time.Second)
	mustMiss(t, service, "shorter")
	if err := service.InvalidateTags(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	var got int
	if found, err := service.Get(t.Context(), "longer", &got); !found || err != nil || got != 2 {
		t.Errorf("Get = %v, %v, %v", got, found, err)
	}
	if err := service.InvalidateTags(t.Context(), "unknown", "new"); err != nil {
		t.Fatal(err)
	}
	mustMiss(t, service, "longer")
}

// Whatever bytes they hold, no two triples of namespace, name and key share a physical key, and no
// two pairs of namespace and tag share a physical tag.
func TestNamesAreInjective(t *testing.T) {
	t.Parallel()
	parts := []string{"a", ":", "%", "a:", ":a", "a:a", "%3A", "%25", "%253A", "a%3A", "::", "%:", ":%", "\x00", "\xff:", "app", "é"}
	shared := new(table)
	seen := map[string][]string{}
	for _, namespace := range parts {
		recorded, recorder := drivertest.Record(shared)
		service := start(t, recorded, cache.Options{Namespace: namespace})
		note := func(what ...string) {
			operations := recorder.Operations()
			physical := operations[len(operations)-1]
			name := slices.Concat(physical.Keys, physical.Tags)[0]
			if other, taken := seen[what[0]+name]; taken {
				t.Errorf("%q and %q are both %q", what, other, name)
			}
			seen[what[0]+name] = what
			if !strings.HasSuffix(name, what[len(what)-1]) {
				t.Errorf("%q became %q", what, name)
			}
		}
		for _, name := range parts {
			c := newCache(t, service, name, cache.Policy[[]byte]{})
			for _, key := range parts {
				if err := c.Set(t.Context(), key, []byte(namespace+"|"+name+"|"+key)); err != nil {
					t.Fatal(err)
				}
				note("key", namespace, name, key)
			}
			if err := service.InvalidateTags(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			note("tag", namespace, name)
		}
	}
	for _, namespace := range parts {
		service := start(t, shared, cache.Options{Namespace: namespace})
		for _, name := range parts {
			c := newCache(t, service, name, cache.Policy[[]byte]{})
			for _, key := range parts {
				if got, found, err := c.Get(t.Context(), key); string(got) != namespace+"|"+name+"|"+key || !found || err != nil {
					t.Fatalf("%q, %q, %q: %q, %v, %v", namespace, name, key, got, found, err)
				}
			}
		}
	}
}

// Two Services with different namespaces on one storage do not see each other's entries, and do not
// invalidate each other's tags.
func TestNamespacesAreApart(t *testing.T) {
	t.Parallel()
	shared := new(table)
	a, b := start(t, shared, cache.Options{Namespace: "a"}), start(t, shared, cache.Options{Namespace: "a:b"})
	mustSet(t, a, "b:k", 1, cache.SetOptions{Tags: []string{"b:t"}})
	mustSet(t, b, "k", 2, cache.SetOptions{Tags: []string{"t"}})
	if err := b.InvalidateTags(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	mustMiss(t, b, "k")
	var got int
	if found, err := a.Get(t.Context(), "b:k", &got); !found || err != nil || got != 1 {
		t.Errorf("Get = %v, %v, %v", got, found, err)
	}
}

// The longest names and values that the options allow fit into the embedded strategy.
func TestLargestEntryFits(t *testing.T) {
	t.Parallel()
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 3 * driver.MiB})
	if err != nil {
		t.Fatal(err)
	}
	service := start(t, strategy, cache.Options{
		Namespace: strings.Repeat(":", 1024), MaxKeyBytes: 32 * driver.KiB, MaxValueBytes: 400 * driver.KiB, MaxTags: 4096,
	})
	key := strings.Repeat("k", 32<<10)
	for _, n := range []int{0, 4096} {
		var tags []string
		for i := range n {
			tags = append(tags, strings.Repeat("t", i+1))
		}
		mustSet(t, service, key, strings.Repeat("x", 400<<10-2), cache.SetOptions{Tags: tags})
		if found, err := service.Get(t.Context(), key, new(string)); !found || err != nil {
			t.Errorf("%d tags: Get = %v, %v", n, found, err)
		}
	}
}
