package schedules_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// V17, invalidation between the database read and the commit. A writer has changed the row in its
// transaction, and invalidates. A loader reads the old row, because nothing is committed. Then the
// writer commits.
//
// Promise: an invalidation after the commit is enough. It does not matter what was invalidated
// before it, by this writer or another, or what was read or stored in between. An invalidation
// before the commit promises nothing, which is why the API's docs ask for one after it:
// TestEarlyInvalidationAlone shows that the schedules know the difference.
//
// Model: as in TestStaleFill. A read of the database sees the latest commit.
func TestEarlyInvalidation(t *testing.T) {
	t.Parallel()
	for _, storage := range storages {
		t.Run(storage.name, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, "early-invalidation/"+storage.name, 10_000, earlyInvalidation(storage.make, true))
		})
	}
}

func earlyInvalidation(storage func(testing.TB) (driver.Strategy, func(*schedule)), again bool) func(t *testing.T) func(*schedule) {
	return func(t *testing.T) func(*schedule) {
		strategy, at := storage(t)
		service := start(t, strategy, cache.Options{LockWait: time.Second})
		return func(s *schedule) {
			at(s)
			row := newRow(s)
			nodes := row.nodes(t, service, 2)
			for i := range 2 {
				n, early, late := pick(s, nodes), s.random.IntN(ways), s.random.IntN(ways)
				s.actor(fmt.Sprint("writer ", i), func(a actor) {
					a.pause("changes the row in a transaction")
					n.revoke(a, early)
					a.pause("has invalidated early")
					version := row.commit()
					if again {
						a.pause("has committed %d", version)
						n.revoke(a, late)
					}
					row.revoked(version)
				})
			}
			for i := range 2 {
				n := pick(s, nodes)
				s.actor(fmt.Sprint("loader ", i), func(a actor) {
					n.getOrLoad(context.Background(), a)
					a.pause("is back")
					n.getOrLoad(context.Background(), a)
				})
			}
			s.play(2 * time.Second)
			n := pick(s, nodes)
			n.get(actor{s, "at the end, a reader"})
		}
	}
}

// Only the wrong order is found to be wrong.
func TestEarlyInvalidationAlone(t *testing.T) {
	t.Parallel()
	for _, storage := range storages {
		t.Run(storage.name, func(t *testing.T) {
			t.Parallel()
			wrong := 0
			synctest.Test(t, func(t *testing.T) {
				play := earlyInvalidation(storage.make, false)(t)
				for i := range uint64(200) {
					s := newSchedule("early-invalidation-alone", int(i), i)
					play(s)
					if s.failure != "" {
						wrong++
					}
				}
			})
			t.Logf("%d of 200 schedules serve what is older than the commit", wrong)
			if wrong == 0 {
				t.Error("no schedule finds what is wrong with an invalidation before the commit")
			}
		})
	}
}
