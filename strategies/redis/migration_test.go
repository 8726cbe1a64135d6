package redis_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// The slots of all lanes move from master to master, and back, under load.
func TestMigrationUnderLoad(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for _, replicas := range []int{0, 1} {
		t.Run(fmt.Sprint("wait_replicas ", replicas), func(t *testing.T) {
			t.Parallel()
			migrate(t, replicas)
		})
	}
}

func migrate(t *testing.T, replicas int) {
	cluster := redistest.StartCluster(t, 3, replicas)
	m, stop := startModel(t, redis.Options{Mode: redis.Cluster, Addresses: cluster.Addrs(), WaitReplicas: replicas})
	defer stop()
	masters := cluster.Masters()
	var migrations, moved int
	var deletes, invalidations, hits int64
	for range 2 {
		for lane := range modelLanes {
			slot := cluster.SlotOf(fmt.Sprintf("{%d}", lane))
			filled := m.watch(lane)
			filled.atLeast(t, 3) // there was load on it before
			from := cluster.NodeForSlot(slot)
			migration := cluster.BeginMigration(slot, masters[(slices.Index(masters, from)+1)%len(masters)])
			w := m.watch(lane)
			n := migration.MoveKeys(4) // and now the slot's keys are on both sides
			w.atLeast(t, 2)
			for ; n > 0; n = migration.MoveKeys(8) {
				moved += n
			}
			w.atLeast(t, 4)
			m.watching.Store(nil)
			migration.Finish()
			migrations++
			if owner := cluster.NodeForSlot(slot); owner == from {
				t.Errorf("slot %d is still with %s", slot, from.Addr())
			}
			deletes, invalidations, hits = deletes+w.deletes.Load(), invalidations+w.invalidations.Load(), hits+w.hits.Load()
		}
	}
	t.Logf("%d slots moved, with %d keys; meanwhile, in them: %d deletions, %d invalidations, %d hits", migrations, moved, deletes, invalidations, hits)
	if moved == 0 {
		t.Error("no key was moved")
	}
	stop()
	m.works()
}
