package checker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Replication is asynchronous: if a master is lost, so is everything that its replica has not
// received yet. The plans in this file therefore ask for wait_replicas: 1, with one replica for
// each master. A revocation that no replica confirmed returns cache.ErrNotReplicated. That is a
// failure like any other and raises no minVersion. Update does not wait for replicas: see
// Window.Lossy.

// Sentinel is the plan for a master and a replica under three sentinels.
func Sentinel(t testing.TB) Plan {
	s := redistest.StartSentinel(t, 1, 3)
	nodes := shared(func(int) []string { return s.SentinelAddrs() })
	for i := range nodes {
		nodes[i].Mode, nodes[i].WaitReplicas = redis.Sentinel, 1
	}
	plan := planned("redis sentinel", nodes)
	plan.home = s.Master()
	plan.Faults = func(r *Run) []Fault {
		masters := func() []*redistest.Server { return []*redistest.Server{s.Master()} }
		return append(append(nodeFaults(r), commandFaults(r, masters)...),
			masterKilled(s.Master, s.WaitForMaster, s.WaitReady),
			masterStopped(s.Master, s.WaitReady),
			Fault{Kind: "failover", Loses: true, Lasts: time.Second, Do: func(hold func()) {
				// s.Failover would fail here if no other master is elected in the end. On a busy
				// machine the sentinels may believe that the new master is dead and go back to the
				// old one. The check does not depend on that.
				sentinel := oneOf(s.Sentinels)
				_, err := sentinel.Do(context.WithoutCancel(r.t.Context()), "SENTINEL", "FAILOVER", redistest.MasterName)
				if refused := redistest.ReplyError(""); err != nil && !errors.As(err, &refused) {
					r.t.Errorf("failover: %v", err)
				}
				hold()
				s.WaitReady()
			}},
			replicaStopped(func() *redistest.Server { return oneOf(s.Replicas()) }, s.WaitReady),
		)
	}
	return plan
}

// lanes is less than the default of a cluster. With wait_replicas an invalidation has to wait for
// every lane, and only a few of them at a time.
const lanes = 8

// Cluster is the plan for three masters with a replica each.
func Cluster(t testing.TB) Plan {
	c := redistest.StartCluster(t, 3, 1)
	nodes := shared(func(int) []string { return c.Addrs() })
	for i := range nodes {
		nodes[i].Mode, nodes[i].WaitReplicas, nodes[i].Lanes = redis.Cluster, 1, lanes
	}
	plan := planned("redis cluster", nodes)
	plan.home = c.NodeForSlot(c.SlotOf("{0}"))
	master := func() *redistest.Server { return oneOf(c.Masters()) }
	replica := func() *redistest.Server { return oneOf(without(c.Nodes, c.Masters())) }
	plan.Faults = func(r *Run) []Fault {
		return append(append(nodeFaults(r), commandFaults(r, c.Masters)...),
			masterKilled(master, c.WaitForMaster, c.WaitReady),
			masterStopped(master, c.WaitReady),
			Fault{Kind: "failover", Loses: true, Lasts: 200 * time.Millisecond, Do: func(hold func()) {
				c.Failover(replica())
				hold()
			}},
			replicaStopped(replica, c.WaitReady),
			Fault{Kind: "slot migration", Lasts: 500 * time.Millisecond, Do: func(hold func()) {
				slot := c.SlotOf(fmt.Sprintf("{%d}", rand.N(lanes))) //nolint:gosec // not a secret
				owner := c.NodeForSlot(slot)
				migration := c.BeginMigration(slot, oneOf(without(c.Masters(), []*redistest.Server{owner})))
				migration.MoveKeys(3)
				hold()
				migration.Finish()
			}},
		)
	}
	return plan
}

// masterKilled kills a master. It starts the master again once a successor has been elected.
func masterKilled(master func() *redistest.Server, successor func(*redistest.Server) *redistest.Server, ready func()) Fault {
	return Fault{Kind: "kill -9", Loses: true, Lasts: 500 * time.Millisecond, Do: func(hold func()) {
		old := master()
		old.Kill()
		successor(old)
		hold()
		old.Restart()
		ready()
	}}
}

// masterStopped stops a master. When the master continues, a successor may have been elected
// without its knowledge. It then still answers clients until it hears of the successor.
func masterStopped(master func() *redistest.Server, ready func()) Fault {
	return Fault{Kind: "SIGSTOP", Loses: true, Lasts: 3 * time.Second, Do: func(hold func()) {
		old := master()
		old.Pause()
		hold()
		old.Resume()
		ready()
	}}
}

// replicaStopped leaves no replica that could confirm a revocation.
func replicaStopped(replica func() *redistest.Server, ready func()) Fault {
	return Fault{Kind: "replica stopped", Lasts: time.Second, Do: func(hold func()) {
		s := replica()
		s.Pause()
		hold()
		s.Resume()
		ready()
	}}
}

func oneOf(servers []*redistest.Server) *redistest.Server { return servers[rand.N(len(servers))] } //nolint:gosec // not a secret

// without returns the servers that are not in others.
func without(servers, others []*redistest.Server) (left []*redistest.Server) {
	for _, s := range servers {
		other := false
		for _, o := range others {
			other = other || s == o
		}
		if !other {
			left = append(left, s)
		}
	}
	return left
}
