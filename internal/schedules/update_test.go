package schedules_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
)

var errCommit = errors.New("the connection broke at COMMIT")

// Update racing with a revocation: a log-in or change stores what it wrote, concurrently with a
// log-out.
//
// Promise: what an Update wrote before a revocation's commit is not read after the revocation
// returned. Once an Update returned nil, or the error of its write, nothing older than its own
// commit is read, whether or not it could store.
//
// Model: as in TestStaleFill; an Update that returned raises the minVersion as a revocation does.
func TestUpdateRacingRevoke(t *testing.T) {
	t.Parallel()
	for _, storage := range storages {
		t.Run(storage.name, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, "update-revoke/"+storage.name, 10_000, func(t *testing.T) func(*schedule) {
				strategy, at := storage.make(t)
				service := start(t, strategy, cache.Options{LockWait: time.Second})
				return func(s *schedule) {
					at(s)
					row := newRow(s)
					nodes := row.nodes(t, service, 2)
					for i := range 1 + s.random.IntN(2) {
						n, fails := pick(s, nodes), s.random.IntN(8) == 0
						s.actor(fmt.Sprint("updater ", i), func(a actor) { n.update(a, fails) })
					}
					n, way := pick(s, nodes), s.random.IntN(ways)
					s.actor("revoker", func(a actor) { n.write(a, way) })
					for i := range 1 + s.random.IntN(2) {
						n := pick(s, nodes)
						s.actor(fmt.Sprint("loader ", i), func(a actor) { n.getOrLoad(context.Background(), a); a.pause("is back"); n.get(a) })
					}
					s.play(2 * time.Second)
					n.get(actor{s, "at the end, a reader"})
				}
			})
		})
	}
}

func (n node) update(a actor, fails bool) {
	var version int64
	_, err := n.Update(context.Background(), a.key(), func(context.Context) (int64, error) {
		a.pause("opens a transaction")
		version = n.row.commit()
		a.pause("has committed %d", version)
		if fails {
			return 0, errCommit
		}
		return version, nil
	})
	if err != nil && (!fails || !errors.Is(err, errCommit)) {
		a.fail("Update: %v", err)
	}
	n.row.revoked(version)
}
