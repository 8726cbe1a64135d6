package cache_test

import (
	"context"
	"slices"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// hinted records the hints that it gets.
type hinted struct {
	*bigcache.Strategy
	hints [][]string
	gets  int
}

func (s *hinted) Get(ctx context.Context, key string) ([]byte, bool, error) {
	s.gets++
	return s.Strategy.Get(ctx, key)
}

func (s *hinted) GetHinted(ctx context.Context, key string, tags []string) ([]byte, bool, error) {
	s.hints = append(s.hints, tags)
	return s.Strategy.Get(ctx, key)
}

// A Hinted strategy is told the tags of an entry if the policy knows them. It is not told if they
// depend on the value.
func TestHintedStrategy(t *testing.T) {
	t.Parallel()
	strategy := &hinted{Strategy: newBigcache(t)}
	service := start(t, strategy, cache.Options{})
	known := newCache(t, service, "known", cache.Policy[int]{Tags: []string{"a", "b"}})
	learned := newCache(t, service, "learned", cache.Policy[int]{Tags: []string{"a"}, TagsOf: func(int) []string { return nil }})
	for _, c := range []*cache.Cache[int]{known, learned} {
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		if got, found, err := c.Get(t.Context(), "k"); got != 1 || !found || err != nil {
			t.Errorf("Get = %v, %v, %v", got, found, err)
		}
	}
	if len(strategy.hints) != 1 || !slices.Equal(strategy.hints[0], []string{"app:a", "app:b"}) {
		t.Errorf("hints %q, want those of the first cache, once", strategy.hints)
	}
	if strategy.gets != 1 {
		t.Errorf("%d plain reads, want that of the second cache", strategy.gets)
	}
}
