package bench_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fxcache/fxcache/internal/bench"
	"github.com/fxcache/fxcache/internal/redistest"
)

// A benchmark of a contender that answers wrongly is void.
func TestContenders(t *testing.T) {
	t.Parallel()
	const sessions = 10
	for _, c := range contenders(t, redistest.Start(t).Addr(), sessions) {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			for i := range sessions - 1 {
				must(t, c.set(ctx, i))
			}
			seen := map[string]bool{}
			for i := range sessions - 1 {
				got, want, found, err := c.read(ctx, i)
				if err != nil || !found || got != want || got == "" || seen[got] {
					t.Errorf("session %d: %q, %v, %v, want %q, unlike all before", i, got, found, err, want)
				}
				seen[got] = true
				if found, err := c.get(ctx, i); !found || err != nil {
					t.Errorf("session %d: get answers %v, %v", i, found, err)
				}
			}
			if _, _, found, err := c.read(ctx, sessions-1); found || err != nil {
				t.Errorf("a session that was never stored: %v, %v", found, err)
			}
			if found, err := c.get(ctx, sessions-1); found || err != nil {
				t.Errorf("a session that was never stored: get answers %v, %v", found, err)
			}
		})
	}
}

// All read as many bytes from Redis, but for the two that decode.
func TestContendersReadTheSame(t *testing.T) {
	t.Parallel()
	all := contenders(t, redistest.Start(t).Addr(), 2)
	var want string
	for _, c := range all {
		must(t, c.set(t.Context(), 0))
		got, _, _, err := c.read(t.Context(), 0)
		must(t, err)
		if want == "" {
			want = got
		}
		if c.name != "json" && got != want {
			t.Errorf("%s: %q, the first one has %q", c.name, got, want)
		}
	}
}

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

// Both ways to invalidate find all entries of the tag, and no other one's.
func TestTaggers(t *testing.T) {
	t.Parallel()
	addr := redistest.Start(t).Addr()
	for name, tagger := range taggers(t, addr) {
		t.Run(name, func(t *testing.T) {
			const tag, other = bench.Namespace + "tag", bench.Namespace + "other"
			ctx := context.WithoutCancel(t.Context())
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
