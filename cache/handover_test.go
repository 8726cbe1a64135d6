package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
)

const handover = 30 * time.Second

// A storage that is replaced serves until the handover is over; then the new one does, and the old
// one is destroyed after as long again. Revocations go to both all the time.
func TestReplacedStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, next := newBigcache(t), newBigcache(t)
		service := start(t, old, cache.Options{Handover: handover})
		c := newCache(t, service, "c", cache.Policy[int]{Tags: []string{"all"}})
		loads := 0
		load := func(want int) {
			t.Helper()
			if _, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { loads++; return loads, nil }); err != nil || loads != want {
				t.Errorf("%d loads, %v, want %d", loads, err, want)
			}
		}
		load(1)
		if err := service.Reconfigure(t.Context(), nil, cache.Store{Strategy: next, Options: cache.Options{Handover: handover}}); err != nil {
			t.Fatal(err)
		}
		load(1)
		if err := c.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		load(2)
		pass(handover)
		load(3)
		load(3)
		if err := c.InvalidateTags(t.Context(), "all"); err != nil {
			t.Fatal(err)
		}
		load(4)
		pass(handover)
		load(4)
	})
}
