package bench_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

// BenchmarkGetHot is BenchmarkGet for few and for many hot sessions, each as likely to be read next
// as any other, and for short and long turns. Each session has a tag of its own, that of its user.
func BenchmarkGetHot(b *testing.B) {
	const goroutines = 64
	for _, sessions := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			all := slices.DeleteFunc(contenders(b, redistest.Start(b).Addr(), sessions), func(c contender) bool {
				return !slices.Contains([]string{"rueidis", "dynamic", "session"}, c.name)
			})
			for _, c := range all {
				each(b, sessions, func(i int) error { return c.set(b.Context(), i) })
				each(b, sessions, func(i int) error { // tags become known
					_, err := c.get(b.Context(), i)
					return err
				})
			}
			for _, gets := range []int{1_000, 20_000} {
				b.Run(fmt.Sprintf("turn=%d", gets), func(b *testing.B) {
					inTurns(b, all, goroutines, gets, func(int) int { return rand.IntN(sessions) }, [][2]string{
						{"dynamic", "rueidis"}, {"session", "rueidis"},
					})
				})
			}
		})
	}
}

// each calls do for every number below n, some at a time.
func each(b *testing.B, n int, do func(i int) error) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := do(int(i) - 1); err != nil {
					b.Error(err)
				}
			}
		})
	}
	workers.Wait()
}
