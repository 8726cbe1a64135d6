package cache_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// fullPolicy sets every field in which two caches of one name must agree.
func fullPolicy() cache.Policy[int] {
	return cache.Policy[int]{
		TTL: time.Hour, Jitter: 0.5, NegativeTTL: time.Minute, StaleFor: time.Hour, StaleAfter: time.Second, EarlyRefresh: 1, HashKeys: true, Version: "1",
		Tags: []string{"SECRET", "b", "b"}, TagsOf: func(int) []string { return nil }, TTLOf: func(int) time.Duration { return 0 },
	}
}

// A second cache of the same name must be the same as the first, because an application may make
// its caches at every start.
func TestOneNameOneCache(t *testing.T) {
	t.Parallel()
	type other struct{ A int }
	with := func(change func(*cache.Policy[int])) func(*cache.Service) error {
		return func(service *cache.Service) error {
			policy := fullPolicy()
			if change != nil {
				change(&policy)
			}
			_, err := cache.New(service, "c", policy)
			return err
		}
	}
	for name, test := range map[string]struct {
		make    func(*cache.Service) error
		differs []string
	}{
		"the same":            {with(nil), nil},
		"tags in other words": {with(func(p *cache.Policy[int]) { p.Tags = []string{"b", "SECRET"} }), nil},
		"another function":    {with(func(p *cache.Policy[int]) { p.TagsOf = func(int) []string { return []string{"x"} } }), nil},
		"TTL":                 {with(func(p *cache.Policy[int]) { p.TTL++ }), []string{"TTL"}},
		"Jitter":              {with(func(p *cache.Policy[int]) { p.Jitter = 0 }), []string{"Jitter"}},
		"StaleFor":            {with(func(p *cache.Policy[int]) { p.StaleFor++ }), []string{"StaleFor"}},
		"StaleAfter":          {with(func(p *cache.Policy[int]) { p.StaleAfter = 0 }), []string{"StaleAfter"}},
		"EarlyRefresh":        {with(func(p *cache.Policy[int]) { p.EarlyRefresh = 2 }), []string{"EarlyRefresh"}},
		"NegativeTTL":         {with(func(p *cache.Policy[int]) { p.NegativeTTL = 0 }), []string{"NegativeTTL"}},
		"HashKeys":            {with(func(p *cache.Policy[int]) { p.HashKeys = false }), []string{"HashKeys"}},
		"Version":             {with(func(p *cache.Policy[int]) { p.Version = "2" }), []string{"Version"}},
		"Tags":                {with(func(p *cache.Policy[int]) { p.Tags = []string{"b"} }), []string{"Tags"}},
		"other Tags":          {with(func(p *cache.Policy[int]) { p.Tags = []string{`SECRET" "b`} }), []string{"Tags"}},
		"TagsOf":              {with(func(p *cache.Policy[int]) { p.TagsOf = nil }), []string{"TagsOf"}},
		"TTLOf":               {with(func(p *cache.Policy[int]) { p.TTLOf = nil }), []string{"TTLOf"}},
		"Fresh and three others": {with(func(p *cache.Policy[int]) {
			p.Fresh, p.StaleFor, p.StaleAfter, p.EarlyRefresh = func(int) bool { return true }, 0, 0, 0
		}), []string{"StaleFor", "StaleAfter", "EarlyRefresh", "Fresh"}},
		"a type of nearly that name": {func(s *cache.Service) error {
			_, err := cache.New(s, "c", cache.Policy[other]{})
			return err
		}, []string{"T", "TTL", "Jitter", "StaleFor", "StaleAfter", "EarlyRefresh", "NegativeTTL", "Tags", "TagsOf", "TTLOf", "HashKeys", "Version"}},
	} {
		for _, reversed := range []bool{false, true} {
			service := newService(t, new(table), cache.Options{})
			first, second := with(nil), test.make
			if reversed {
				first, second = second, first
			}
			if err := first(service); err != nil {
				t.Fatal(err)
			}
			err := second(service)
			var taken *cache.NameError
			if test.differs == nil && err != nil || test.differs != nil && (!errors.As(err, &taken) || taken.Name != "c" || !slices.Equal(taken.Differs, test.differs)) {
				t.Errorf("%s, reversed %v: %v, want one that says %v", name, reversed, err, test.differs)
			}
			if err == nil {
				continue
			}
			for _, word := range append(test.differs, `"c"`) {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %v does not say %s", name, err, word)
				}
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: %v says a tag", name, err)
			}
			if err := first(service); err != nil {
				t.Errorf("%s: the first one once more: %v", name, err)
			}
		}
	}
}

// The error names the types that differ, with their packages.
func TestNameErrorSaysTypes(t *testing.T) {
	t.Parallel()
	service := newService(t, new(table), cache.Options{})
	newCache(t, service, "c", cache.Policy[point]{})
	_, err := cache.New(service, "c", cache.Policy[time.Time]{})
	if err == nil || !strings.Contains(err.Error(), "github.com/fxcache/fxcache/cache_test.point") || !strings.Contains(err.Error(), "time.Time") {
		t.Errorf("%v", err)
	}
	// If New refuses a cache for another reason, the name stays free.
	if _, err := cache.New(service, "d", cache.Policy[int]{TTL: -1}); err == nil {
		t.Error("a negative TTL is accepted")
	}
	newCache(t, service, "d", cache.Policy[string]{})
}

// If two caches are made at the same time, one gets the name.
func TestOneNameAtATime(t *testing.T) {
	t.Parallel()
	service := newService(t, new(table), cache.Options{})
	var made sync.WaitGroup
	var refusals [2]error
	made.Go(func() { _, refusals[0] = cache.New(service, "c", cache.Policy[int]{}) })
	made.Go(func() { _, refusals[1] = cache.New(service, "c", cache.Policy[string]{}) })
	made.Wait()
	if (refusals[0] == nil) == (refusals[1] == nil) {
		t.Errorf("%v and %v, want one refusal", refusals[0], refusals[1])
	}
}

// A key of Service's own is never one of a cache, whatever both are called.
func TestServiceKeysAreNoCacheKeys(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	service := start(t, new(table), cache.Options{})
	parts := []string{":", "c", ":c", "c:", "::", "%3A", "k", "c:k", ":c:k"}
	stored := 0
	for _, name := range parts {
		c := newCache(t, service, name, cache.Policy[int]{})
		for _, key := range parts {
			stored++
			if err := c.Set(ctx, key, stored); err != nil {
				t.Fatal(err)
			}
			for _, physical := range []string{key, name + key, name + ":" + key, strings.NewReplacer("%", "%25", ":", "%3A").Replace(name) + ":" + key} {
				mustMiss(t, service, physical)
				mustSet(t, service, physical, -1, cache.SetOptions{})
				if got, found, err := c.Get(ctx, key); got != stored || !found || err != nil {
					t.Errorf("%q of %q is %v, %v, %v after Service.Set(%q)", key, name, got, found, err, physical)
				}
				if err := service.Delete(ctx, physical); err != nil {
					t.Error(err)
				}
				if _, found, err := c.Get(ctx, key); !found || err != nil {
					t.Errorf("%q of %q: %v, %v after Service.Delete(%q)", key, name, found, err, physical)
				}
			}
		}
	}
}

// Entries of Service itself may live as long as any entry. A pending Delete tells its caller so.
func TestPendingDeleteOfService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, inner := record(t, new(table), cache.Options{})
		mustSet(t, service, "k", 1, cache.SetOptions{})
		recorder.FailNext(drivertest.OpDelete, 1, errOutage)
		p := pendingError(t, service.Delete(t.Context(), "k"))
		if !p.Until.Equal(time.Now().Add(720*time.Hour + leaseTTL)) {
			t.Errorf("until %v", p.Until)
		}
		mustMiss(t, service, "k")
		if _, found, _ := inner.Get(t.Context(), "app::k"); found {
			t.Error("the entry is still there")
		}
	})
}
