package cache_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// revocations are all calls that revoke several names. Each revokes what is stored under name "a"
// and "b".
var revocationsOfMany = map[string]func(t *testing.T, s *cache.Service, c *cache.Cache[int], names ...string) error{
	"Service.Delete": func(t *testing.T, s *cache.Service, _ *cache.Cache[int], names ...string) error {
		return s.Delete(t.Context(), names...)
	},
	"Service.InvalidateTags": func(t *testing.T, s *cache.Service, _ *cache.Cache[int], names ...string) error {
		return s.InvalidateTags(t.Context(), names...)
	},
	"Cache.Delete": func(t *testing.T, _ *cache.Service, c *cache.Cache[int], names ...string) error {
		return c.Delete(t.Context(), names...)
	},
	"Cache.InvalidateTags": func(t *testing.T, _ *cache.Service, c *cache.Cache[int], names ...string) error {
		return c.InvalidateTags(t.Context(), names...)
	},
}

// TestOneBadNameStopsNoRevocation: the valid names are revoked, or pending, and the error says
// which ones are not valid.
func TestOneBadNameStopsNoRevocation(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("secret", 10)
	for name, revoke := range revocationsOfMany {
		for _, kind := range kinds[:2] {
			for _, fails := range []bool{false, true} {
				service, recorder, _ := record(t, kind.make(t), cache.Options{MaxKeyBytes: 32})
				c := newCache(t, service, "c", cache.Policy[int]{TagsOf: func(v int) []string { return []string{string(rune('a' + v))} }})
				for i, key := range []string{"a", "b"} {
					mustSet(t, service, key, i, cache.SetOptions{Tags: []string{key}})
					if err := c.Set(t.Context(), key, i); err != nil {
						t.Fatal(err)
					}
				}
				if fails {
					recorder.FailNext(drivertest.OpDelete, 1, errOutage)
					recorder.FailNext(drivertest.OpInvalidate, 1, errOutage)
				}
				err := revoke(t, service, c, "a", "", "b", long)
				var invalid *cache.InvalidKeysError
				if !errors.As(err, &invalid) || !slices.Equal(invalid.Indexes, []int{1, 3}) || invalid.Of != 4 || invalid.Limit != 32 {
					t.Fatalf("%s: %v", name, err)
				}
				var pending *cache.PendingError
				if errors.As(err, &pending) != fails || !errors.Is(err, cache.ErrInvalidKey) {
					t.Errorf("%s, the storage fails %t: %v", name, fails, err)
				}
				if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "secret") ||
					!strings.Contains(err.Error(), "(32): 2 of 4 are not usable, at index 1, 3") {
					t.Errorf("%s: %s", name, text)
				}
				for _, key := range []string{"a", "b"} {
					byCache, byService := false, false
					if strings.HasPrefix(name, "Service.D") {
						byService, _ = service.Get(t.Context(), key, new(int))
					} else {
						_, byCache, _ = c.Get(t.Context(), key)
					}
					if byCache || byService {
						t.Errorf("%s: %s is still served", name, key)
					}
				}
				if stats := service.Stats(); stats.Deletes != 0 || stats.DeleteErrors != 1 {
					t.Errorf("%s: %+v", name, stats)
				}
			}
		}
	}
}

// If no name is valid, the storage is not asked. If nothing is named, that is no error.
func TestOnlyBadNames(t *testing.T) {
	t.Parallel()
	for name, revoke := range revocationsOfMany {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		if err := revoke(t, service, c, slices.Repeat([]string{""}, 12)...); !errors.Is(err, cache.ErrInvalidKey) ||
			!strings.HasSuffix(err.Error(), "12 of 12 are not usable, at index 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and more") {
			t.Errorf("%s: %v", name, err)
		}
		if got := recorder.Operations(); len(got) != 0 {
			t.Errorf("%s: the strategy saw %v", name, got)
		}
		if err := revoke(t, service, c); err != nil {
			t.Errorf("%s of nothing: %v", name, err)
		}
	}
}

// describable is a value that says what may be logged about it.
type describable struct{ Text, Secret string }

func (d describable) LogValue() slog.Value { return slog.StringValue("row " + d.Text[:1]) }

// TestUnstorableIsNamed: one line for each cache and cause names the cache, what the value says of
// itself, and the limit and the size. It is an outcome of its own.
func TestUnstorableIsNamed(t *testing.T) {
	t.Parallel()
	log := new(logBook)
	service := start(t, newBigcache(t), cache.Options{MaxValueBytes: 64, MaxTags: 2, MaxKeyBytes: 16, Logger: log.logger()})
	policies := map[string]cache.Policy[describable]{
		"large": {}, "tags": {TagsOf: func(describable) []string { return []string{"a", "b", "c"} }},
		"tag": {TagsOf: func(describable) []string { return []string{"a", strings.Repeat("secret", 9)} }},
		"ttl": {TTLOf: func(describable) time.Duration { panic("secret") }},
	}
	for name, policy := range policies {
		c := newCache(t, service, name, policy)
		for range 3 {
			if _, err := c.GetOrLoad(t.Context(), "k", value(describable{"7" + strings.Repeat("x", 100), "secret"})); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Update(t.Context(), "k", value(describable{"7" + strings.Repeat("x", 100), "secret"})); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"large": "it has 130 bytes, and max_value_bytes is 64", "tags": "there are 3, and max_tags is 2",
		"tag": "(16): 1 of 2 are not usable, at index 1", "ttl": "panicked with a string",
	} {
		lines := 0
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, want) && strings.Contains(line, "cache="+name+" ") && strings.Contains(line, `value="row 7"`) {
				lines++
			}
		}
		if lines != 1 {
			t.Errorf("%s: %d lines, want 1:\n%s", name, lines, log)
		}
	}
	if log.count("cannot be stored") != 4 || log.count("secret") != 0 {
		t.Errorf("the log:\n%s", log)
	}
	if stats := service.Stats(); stats.Unstorable != 16 || stats.Unfilled != 0 {
		t.Errorf("%+v", stats)
	}
}
