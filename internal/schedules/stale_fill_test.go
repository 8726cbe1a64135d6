package schedules_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// V3, stale fill. A loader reads the old row. A writer commits and revokes. Then the loader stores
// what it read.
//
// Promise (G1): a read that begins after a revocation returned yields nothing older than what was
// committed before the revocation. This holds for Get and GetOrLoad, whichever caller does the
// loading.
//
// Model: one row whose version only grows, and the minVersion that each revocation raises when it
// returns.
func TestStaleFill(t *testing.T) {
	t.Parallel()
	for _, storage := range storages {
		t.Run(storage.name, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, "stale-fill/"+storage.name, 10_000, func(t *testing.T) func(*schedule) {
				strategy, at := storage.make(t)
				service := start(t, strategy, cache.Options{LockWait: time.Second})
				return func(s *schedule) {
					at(s)
					row := newRow(s)
					nodes := row.nodes(t, service, 2)
					for i := range 2 + s.random.IntN(2) {
						n, leaves := pick(s, nodes), s.random.IntN(8) == 0
						ctx, cancel := context.WithCancel(context.Background())
						s.actor(fmt.Sprint("loader ", i), func(a actor) { n.getOrLoad(ctx, a); cancel() })
						if leaves {
							s.actor(fmt.Sprint("loader ", i, "'s caller"), func(actor) { cancel() })
						}
					}
					for i := range 1 + s.random.IntN(2) {
						n, way := pick(s, nodes), s.random.IntN(ways)
						s.actor(fmt.Sprint("writer ", i), func(a actor) { n.write(a, way) })
					}
					n := pick(s, nodes)
					s.actor("reader", func(a actor) { n.get(a); a.pause("has read"); n.get(a) })
					s.play(2 * time.Second)
					n.get(actor{s, "at the end, a reader"})
				}
			})
		})
	}
}
