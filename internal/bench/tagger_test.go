package bench_test

import (
	"fmt"
	"testing"

	"github.com/fxcache/fxcache/internal/bench"
	"github.com/fxcache/fxcache/internal/redistest"
)

func taggers(tb testing.TB, addr string) map[string]bench.Tagger {
	tb.Helper()
	nonce, err := bench.NewTagNonce(tb.Context(), addr)
	must(tb, err)
	set, err := bench.NewTagSet(addr)
	must(tb, err)
	tb.Cleanup(func() {
		must(tb, nonce.Close())
		must(tb, set.Close())
	})
	return map[string]bench.Tagger{"fxcache": nonce, "set-per-tag": set}
}

// Both ways to invalidate find all entries of the tag, and no others.
func TestTaggers(t *testing.T) {
	t.Parallel()
	addr := redistest.Start(t).Addr()
	for name, tagger := range taggers(t, addr) {
		t.Run(name, func(t *testing.T) {
			const tag, other = bench.Namespace + "tag", bench.Namespace + "other"
			ctx := t.Context()
			keys, kept := entryKeys(name, 2500), entryKeys(name+"-kept", 10)
			must(t, tagger.Load(ctx, tag, keys))
			must(t, tagger.Load(ctx, other, kept))
			if n := found(t, tagger, keys); n != len(keys) {
				t.Errorf("%d of %d entries found before", n, len(keys))
			}
			must(t, tagger.InvalidateTag(ctx, tag))
			if n := found(t, tagger, keys); n != 0 {
				t.Errorf("%d entries found after", n)
			}
			if n := found(t, tagger, kept); n != len(kept) {
				t.Errorf("%d of %d entries of another tag found", n, len(kept))
			}
			must(t, tagger.InvalidateTag(ctx, bench.Namespace+"never used"))
		})
	}
}

func entryKeys(name string, count int) []string {
	keys := make([]string, count)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s%s:%07d", bench.Namespace, name, i)
	}
	return keys
}

func found(tb testing.TB, tagger bench.Tagger, keys []string) (count int) {
	tb.Helper()
	for _, key := range keys {
		ok, err := tagger.Found(tb.Context(), key)
		must(tb, err)
		if ok {
			count++
		}
	}
	return count
}
