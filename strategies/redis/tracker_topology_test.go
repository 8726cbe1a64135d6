package redis_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// everyLane keeps one entry of each lane, and returns over which feed.
func (t *tracking) everyLane(lanes int) map[int]redis.FeedID {
	t.Helper()
	feeds := map[int]redis.FeedID{}
	for i := 0; len(feeds) < lanes; i++ {
		key := fmt.Sprint("n:k", i)
		lane := laneOf(key, lanes)
		if feeds[lane] != 0 {
			continue
		}
		until(t, func() error {
			return t.Set(t.Context(), key, []byte("value of "+key), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t"}})
		})
		feeds[lane] = t.kept(key).Feed
	}
	return feeds
}

func trackCluster(t *testing.T, cluster *redistest.Cluster, lanes int) *tracking {
	t.Helper()
	s := track(startTracking(t, nil, redis.Options{Mode: redis.Cluster, Addresses: cluster.Addrs(), Lanes: lanes}), redis.TrackerOptions{})
	s.home = func() *redistest.Server { return cluster.NodeForSlot(cluster.SlotOf("{0}")) }
	return s
}

// keyIn is the key that everyLane has used for a lane.
func keyIn(lane, lanes int) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("n:k", i); laneOf(key, lanes) == lane {
			return key
		}
	}
}

// In a Cluster there is a feed for each master. A lane that moves ends the feed of the node that it
// leaves as soon as this one says so, and is read over the feed of its new node.
func TestTrackerClusterMoves(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3, 0)
	const lanes = 16
	s := trackCluster(t, cluster, lanes)
	feeds := s.everyLane(lanes)
	from := cluster.NodeForSlot(cluster.SlotOf("{0}"))
	lane := lanes - 1
	for cluster.NodeForSlot(cluster.SlotOf(fmt.Sprintf("{%d}", lane))) != from {
		lane--
	}
	key := keyIn(lane, lanes)
	to := cluster.Masters()[0]
	if to == from {
		to = cluster.Masters()[1]
	}
	m := cluster.BeginMigration(cluster.SlotOf(fmt.Sprintf("{%d}", lane)), to)
	m.MoveKeys(1000)
	until(t, func() error { // ASK, so over the feed of neither
		s.notKept(key)
		if s.tracker.Stats().Untracked["redirected"] == 0 {
			return errors.New("no read was redirected")
		}
		return nil
	})
	m.Finish()
	s.must(s.Set(t.Context(), key, []byte("value of "+key), driver.SetOptions{TTL: time.Hour}))
	until(t, func() error {
		usable(t.Context(), s.home())
		result, err := s.tracker.Get(t.Context(), key, nil)
		if err == nil && (result.Feed == 0 || result.Feed == feeds[lane]) {
			err = fmt.Errorf("lane %d is read over feed %d, before over %d", lane, result.Feed, feeds[lane])
		}
		return err
	})
	s.over(feeds[lane])
	for other, before := range s.everyLane(lanes) {
		if masterOf := cluster.NodeForSlot(cluster.SlotOf(fmt.Sprintf("{%d}", other))); masterOf != from && other != lane && before != feeds[other] {
			t.Errorf("lane %d is read over feed %d, before over %d", other, before, feeds[other])
		}
	}
}

// A heartbeat asks each node for a key in one of its lanes: a node that has lost them, or does not
// know whether it has, would still say that it is a master.
func TestTrackerClusterHeartbeats(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3, 0)
	s := trackCluster(t, cluster, 16)
	s.everyLane(16)
	for _, node := range cluster.Masters() {
		_, err := node.Do(t.Context(), "CONFIG", "RESETSTAT")
		s.must(err)
		until(t, func() error {
			s.tracker.Feed("n:k")
			stats, err := node.Info(t.Context(), "commandstats")
			if err == nil && (stats["cmdstat_hello"] == "" || stats["cmdstat_exists"] == "") {
				err = fmt.Errorf("HELLO %q, EXISTS %q", stats["cmdstat_hello"], stats["cmdstat_exists"])
			}
			return err
		})
	}
}

// In a Cluster a master is demoted in order: its connections stay, and its feed ends.
func TestTrackerClusterFailover(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3, 1)
	const lanes = 16
	s := trackCluster(t, cluster, lanes)
	feeds := s.everyLane(lanes)
	old := cluster.NodeForSlot(cluster.SlotOf("{1}"))
	cluster.Failover(cluster.ReplicasOf(old)[0])
	until(t, func() error {
		s.tracker.Feed(keyIn(1, lanes))
		if s.heard.ends(feeds[1]) == 0 {
			return errors.New("the feed has not ended")
		}
		return nil
	})
	if again := s.everyLane(lanes); again[1] == feeds[1] {
		t.Error("the feed has ended, and is used again")
	}
}

// With sentinels, the feed follows the master.
func TestTrackerSentinelFailover(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	sentinel := redistest.StartSentinel(t, 1, 3)
	s := track(startTracking(t, nil, redis.Options{
		Mode: redis.Sentinel, Addresses: sentinel.SentinelAddrs(), SentinelMaster: redistest.MasterName,
	}), redis.TrackerOptions{})
	s.home = sentinel.Master
	s.set("n:k", time.Hour)
	id := s.kept("n:k").Feed
	sentinel.Failover()
	until(t, func() error {
		s.tracker.Feed("n:k")
		if s.heard.ends(id) == 0 {
			return errors.New("the feed has not ended")
		}
		return nil
	})
	until(t, func() error {
		return s.Set(t.Context(), "n:k", []byte("value of n:k"), driver.SetOptions{TTL: time.Hour})
	})
	if again := s.kept("n:k").Feed; again == id {
		t.Error("the feed has ended, and is used again")
	}
}
