package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Sentinel: the master is killed under load, its replica takes over, and the strategy follows. With
// wait_replicas no acknowledged revocation is lost.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	sentinel := redistest.StartSentinel(t, 1, 3)
	m, stop := startModel(t, redis.Options{
		Mode: redis.Sentinel, Addresses: sentinel.SentinelAddrs(), SentinelMaster: redistest.MasterName, WaitReplicas: 1,
	})
	defer stop()
	every := []int{0, 1, 2, 3}
	m.watch(every...).atLeast(t, 20)
	old := sentinel.Master()
	m.deafen(old, every...)
	old.Kill()
	took := until(t, func() error {
		return m.Set(t.Context(), "n:probe", []byte("v"), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:probe"}})
	})
	t.Logf("writes work again %v after the kill", took)
	if value, found, err := m.Get(t.Context(), "n:probe"); string(value) != "v" || !found || err != nil {
		t.Errorf("after the switch: %q, %t, %v", value, found, err)
	}
	if promoted := sentinel.WaitForMaster(old); promoted == old {
		t.Error("the old master is still it")
	}
	old.Restart() // empty, and then the replica that wait_replicas needs
	sentinel.WaitReady()
	m.watch(every...).atLeast(t, 20)
	stop()
	m.works()
}

// Cluster: a master is killed under load, and its replica promoted. Nothing that was acknowledged
// as revoked comes back, and the lanes of the others go on meanwhile.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3, 1)
	m, stop := startModel(t, redis.Options{Mode: redis.Cluster, Addresses: cluster.Addrs(), WaitReplicas: 1})
	defer stop()
	old := cluster.NodeForSlot(cluster.SlotOf("{0}"))
	lost := lanesOf(cluster, old)
	var others []int
	for lane := range modelLanes {
		if !slices.Contains(lost, lane) {
			others = append(others, lane)
		}
	}
	m.watch(lost...).atLeast(t, 20)
	probe := &versioned{tag: "n:probe"}
	for i := 0; !slices.Contains(lost, probe.lane) || probe.name == ""; i++ {
		probe.name = fmt.Sprint("n:probe", i)
		probe.lane = laneOf(probe.name, modelLanes)
	}
	m.deafen(old, lost...)
	w := m.watch(others...)
	began := time.Now()
	old.Kill()
	failedIn(t, m.InvalidateTags(t.Context(), "n:unused"), lost...)
	until(t, func() error {
		return m.Set(t.Context(), probe.name, []byte("0"), driver.SetOptions{TTL: time.Hour, Tags: []string{probe.tag}})
	})
	took, deletes, hits := time.Since(began), w.deletes.Load(), w.hits.Load()
	t.Logf("the lanes %v of the lost master work again %v after the kill; meanwhile, in %v: %d deletions, %d hits", lost, took, others, deletes, hits)
	if deletes == 0 || hits == 0 {
		t.Errorf("%d deletions and %d hits in the lanes of the other masters", deletes, hits)
	}
	if promoted := cluster.WaitForMaster(old); promoted != cluster.ReplicasOf(old)[0] || !slices.Equal(lanesOf(cluster, promoted), lost) {
		t.Errorf("%s has the lanes %v", promoted.Addr(), lanesOf(cluster, promoted))
	}
	old.Restart() // empty, and then the replica that wait_replicas needs
	cluster.WaitReady()
	m.watch(lost...).atLeast(t, 20)
	stop()
	m.works()
}

// Cluster: a master without a replica is killed: its lanes fail, and no others; a revocation that
// concerns it says so.
func TestClusterMasterLost(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3, 0, redistest.Config("cluster-require-full-coverage no"))
	s := startAt(t, redis.Options{Mode: redis.Cluster, Addresses: cluster.Addrs()})
	opts := driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t"}}
	const keys = 200
	for i := range keys {
		if err := s.Set(t.Context(), fmt.Sprint("n:", i), []byte("v"), opts); err != nil {
			t.Fatal(err)
		}
	}
	old := cluster.Masters()[0]
	var lost []int
	for lane := range 64 {
		if cluster.NodeForSlot(cluster.SlotOf(fmt.Sprintf("{%d}", lane))) == old {
			lost = append(lost, lane)
		}
	}
	old.Kill()
	fails := 0
	for i := range keys {
		key := fmt.Sprint("n:", i)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, found, err := s.Get(ctx, key)
		cancel()
		if slices.Contains(lost, laneOf(key, 64)) {
			fails++
			if err == nil {
				t.Errorf("%s, in a lost lane: %t, want an error", key, found)
			}
			continue
		}
		until(t, func() error { // the client may just be asking the dead master for the topology
			_, found, err := s.Get(t.Context(), key)
			if err == nil && !found {
				t.Errorf("%s: a miss, though its master is well", key)
			}
			return err
		})
	}
	if fails == 0 || fails == keys {
		t.Errorf("%d of %d keys were lost: the test proves nothing", fails, keys)
	}
	failedIn(t, s.InvalidateTags(t.Context(), "n:t"), lost...)
}

// failedIn checks that a revocation says in which lanes it failed.
func failedIn(t *testing.T, err error, lanes ...int) {
	t.Helper()
	var failed *redis.LanesError
	if !errors.As(err, &failed) || !errors.Is(err, driver.ErrUnavailable) || !slices.Equal(failed.Lanes, lanes) {
		t.Errorf("%v, want it unavailable in the lanes %v", err, lanes)
	}
}
