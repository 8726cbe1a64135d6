package bench_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/bench"
	"github.com/fxcache/fxcache/internal/redistest"
)

// BenchmarkInvalidateTags invalidates one tag of many entries, in comparison with the set-per-tag
// algorithm on the same server. Loading is not timed.
func BenchmarkInvalidateTags(b *testing.B) {
	server := redistest.Start(b)
	all := taggers(b, server.Addr())
	for _, name := range []string{"fxcache", "set-per-tag"} {
		tagger := all[name]
		for _, entries := range []int{10, 10_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/entries=%d", name, entries), func(b *testing.B) {
				const tag = bench.Namespace + "tag"
				ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
				defer cancel()
				keys := entryKeys(name, entries)
				must(b, tagger.Load(ctx, tag, keys))
				must(b, tagger.InvalidateTag(ctx, bench.Namespace+"other")) // the script is known
				sample := []string{keys[0], keys[entries/2], keys[entries-1]}
				if n := found(b, tagger, sample); n != len(sample) {
					b.Fatalf("%d of %d entries found before", n, len(sample))
				}
				for first := true; b.Loop(); first = false {
					if !first {
						b.StopTimer()
						must(b, tagger.Load(ctx, tag, reload(name, keys)))
						b.StartTimer()
					}
					must(b, tagger.InvalidateTag(ctx, tag))
				}
				if n := found(b, tagger, sample); n != 0 {
					b.Fatalf("%d entries found after", n)
				}
				_, err := server.Do(ctx, "FLUSHALL")
				must(b, err)
			})
		}
	}
}

// reload returns the keys to store again before the tag can be invalidated once more. The
// set-per-tag algorithm has deleted all entries. The strategy has deleted only the nonce of the
// tag. The dead entries do not matter, and one new entry creates the next nonce.
func reload(name string, keys []string) []string {
	if name == "fxcache" {
		return keys[:1]
	}
	return keys
}
