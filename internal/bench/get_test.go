package bench_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
)

// BenchmarkGet reads the session of a customer with 2 permissions on one server, in turns. In each
// round every contender has one turn, in a new random order, so that none always follows the same
// other one. Ratios are taken within a round, and a figure is the median over the rounds. Other
// load on the machine comes and goes within seconds, so it affects the turns of one round alike.
//
//	rueidis, goredis  the bare GET of the encoded session
//	gocache           Get of go-redis/cache
//	static, dynamic   Get of the redis strategy: tags known from the policy, or from the last read
//	session           Get of sessioncache.Default, which has dynamic tags, and decodes
//	json              the bare GET of rueidis, and encoding/json
func BenchmarkGet(b *testing.B) {
	const sessions = 1000
	all := contenders(b, redistest.Start(b).Addr(), sessions)
	for _, c := range all {
		for i := range sessions {
			must(b, c.set(b.Context(), i))
		}
	}
	ratios := [][2]string{
		{"static", "rueidis"}, {"dynamic", "rueidis"}, {"session", "rueidis"}, {"goredis", "rueidis"},
		{"static", "goredis"}, {"dynamic", "goredis"}, {"session", "goredis"},
		{"static", "gocache"}, {"dynamic", "gocache"},
		{"session", "json"},
	}
	for _, goroutines := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			inTurns(b, all, goroutines, max(1000, 16*goroutines), func(i int) int { return i % sessions }, ratios)
		})
	}
}

// inTurns reports, for turns of so many gets, how long a get takes. It also reports ratios: how
// many times the throughput of the second the first one has. which is what the i-th get of a turn
// reads.
func inTurns(b *testing.B, all []contender, goroutines, gets int, which func(i int) int, ratios [][2]string) {
	order := rand.New(rand.NewPCG(1, 2))
	spent := map[string][]float64{} // ns, by name and round
	for _, c := range all {         // connections are made, scripts known
		turn(b, c, goroutines, gets, which)
	}
	for b.Loop() {
		for _, who := range order.Perm(len(all)) {
			c := all[who]
			spent[c.name] = append(spent[c.name], turn(b, c, goroutines, gets, which))
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, c := range all {
		b.ReportMetric(median(spent[c.name])/float64(gets), c.name+"-ns/get")
	}
	for _, r := range ratios {
		var rounds []float64
		for i, theirs := range spent[r[1]] {
			rounds = append(rounds, theirs/spent[r[0]][i])
		}
		b.ReportMetric(median(rounds), r[0]+"-x-"+r[1])
	}
}

// turn returns how many ns so many goroutines take for so many gets together.
func turn(b *testing.B, c contender, goroutines, gets int, which func(i int) int) float64 {
	began := time.Now()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range goroutines {
		workers.Go(func() {
			for i := next.Add(1); i <= int64(gets); i = next.Add(1) {
				ctx, cancel := b.Context(), context.CancelFunc(func() {})
				if !c.deadline { // everyone has one
					ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
				}
				if found, err := c.get(ctx, which(int(i))); !found || err != nil {
					b.Errorf("%s: %v, %v", c.name, found, err)
				}
				cancel()
			}
		})
	}
	workers.Wait()
	return float64(time.Since(began))
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
