package bench_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fxcache/fxcache/internal/bench"
	"github.com/fxcache/fxcache/internal/redistest"
)

// BenchmarkCopies reads encoded sessions through a Cache, in turns, in a Zipf order: from the
// bigcache strategy, from copies of the tiered one, and from the redis strategy.
func BenchmarkCopies(b *testing.B) {
	const sessions = 100_000
	addr, ctx := redistest.Start(b).Addr(), b.Context()
	records := make([][]byte, sessions)
	for i := range records {
		record, err := bench.NewSession(i).AppendBinary(nil)
		must(b, err)
		records[i] = record
	}
	text := func(value []byte) string { return string(value) }
	near, err := bench.NewNear(ctx)
	must(b, err)
	copies, err := bench.NewTiered(ctx, addr)
	must(b, err)
	far, err := bench.NewFar(ctx, addr)
	must(b, err)
	all := []contender{
		enter(b, "bigcache", near, records, text), enter(b, "tiered", copies, records, text), enter(b, "redis", far, records, text),
	}
	for _, c := range all {
		for i := range sessions {
			must(b, c.set(ctx, i))
		}
	}
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, sessions-1)
	order := make([]int, 1<<20)
	for i := range order {
		order[i] = int(zipf.Uint64())
	}
	which := func(i int) int { return order[i%len(order)] }
	turn(b, all[1], 64, len(order), which) // makes the copies
	for _, gets := range []int{1000, 20_000} {
		b.Run(fmt.Sprintf("gets=%d", gets), func(b *testing.B) {
			before := copies.Copies()
			inTurns(b, all, 64, gets, which, [][2]string{{"bigcache", "tiered"}, {"tiered", "redis"}})
			b.ReportMetric(float64(copies.Copies()-before)/float64(gets*(b.N+1)), "copied")
		})
	}
}
