package schedules_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// stopped is the storage of a process that stands still, and so extends no lease.
type stopped struct{ *held }

func (s stopped) Features() driver.Features {
	f := driver.FeaturesOf(s.held)
	f.LeaseExtender = nil
	return f
}

// Paused lease holder. A process holds the lease of a key and stands still for longer than
// lease_ttl, because of garbage collection, a closed laptop or SIGSTOP. Meanwhile others take the
// lease, store, and revoke. Then the process continues as if nothing had happened and stores what
// it read long ago.
//
// Promise (G1): its fill is refused, or at least what it stored is not read after the revocation.
//
// Model: as in TestStaleFill; the pauses of this schedule are far longer than lease_ttl and
// lock_wait. In TestStoppedHolder the holder is a real process, and the storage a real Redis.
func TestPausedLeaseHolder(t *testing.T) {
	t.Parallel()
	for _, storage := range storages {
		t.Run(storage.name, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, "paused-holder/"+storage.name, 10_000, func(t *testing.T) func(*schedule) {
				strategy, at := storage.make(t)
				if h, ok := strategy.(*held); ok {
					strategy = stopped{h}
				}
				// A lease of bigcache lasts for leaseTTL, one of the Service's own fence for 30 s
				// and longer while a load is held: there this is a schedule of slow loads.
				const longest = 90 * time.Second
				service := start(t, strategy, cache.Options{LockWait: leaseTTL / 2, MaxTTL: time.Hour})
				return func(s *schedule) {
					at(s)
					row := newRow(s)
					nodes := row.nodes(t, service, 3)
					for i, n := range nodes { // one holder after the other: each node has flights of its own
						s.actor(fmt.Sprint("holder ", i), func(a actor) {
							n.getOrLoad(context.Background(), a)
							a.pause("is back")
							n.get(a)
						})
					}
					n, way := pick(s, nodes), s.random.IntN(ways)
					s.actor("writer", func(a actor) { n.write(a, way) })
					for i := range 2 {
						s.actor(fmt.Sprint("time ", i), func(actor) { <-time.After(leaseTTL + longest/2) })
					}
					s.play(longest)
					n.get(actor{s, "at the end, a reader"})
				}
			})
		})
	}
}
