package redistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

const slotCount = 16384

// Cluster is a Redis Cluster whose slots are spread evenly over its masters.
type Cluster struct {
	// Nodes never changes. The servers that started as masters come first, then their replicas, in
	// the order of the masters. Roles change with failovers; see Masters.
	Nodes []*Server

	t       testing.TB
	masters int
	each    int      // replicas of each master
	ids     []string // of Nodes
}

// StartCluster starts a cluster and returns when every node reports that the cluster is ok and
// every replica is synced. The cluster ends with the test. A killed master is replaced by its
// replica after about 3 s. With fewer than three masters there is no majority to elect a
// replacement.
//
// Two settings differ from the defaults of Redis. A lost master does not make the slots of the
// others unavailable (cluster-require-full-coverage no). Replicas stay with their master's slots
// (cluster-allow-replica-migration no).
func StartCluster(t testing.TB, masters, replicasPerMaster int, options ...Option) *Cluster {
	t.Helper()
	Require(t)
	if masters < 1 || replicasPerMaster < 0 {
		t.Fatalf("redistest: a cluster of %d masters with %d replicas each", masters, replicasPerMaster)
	}
	settings := newSettings(t, options)
	topology := []string{
		"cluster-enabled yes",
		// With a lower value, healthy masters would count as lost on a busy machine.
		"cluster-node-timeout 2000",
		"cluster-require-full-coverage no", "cluster-allow-replica-migration no", "cluster-replica-validity-factor 0",
	}
	if settings.certs != nil {
		topology = append(topology, "tls-cluster yes")
	}
	c := &Cluster{t: t, masters: masters, each: replicasPerMaster}
	for range masters * (1 + replicasPerMaster) {
		c.Nodes = append(c.Nodes, newServer(t, settings, topology...))
	}
	startAll(t, c.Nodes...)
	if err := c.form(t.Context()); err != nil {
		t.Fatalf("redistest: the cluster does not form: %v", err)
	}
	c.WaitReady()
	return c
}

// form joins independent nodes to one cluster.
func (c *Cluster) form(ctx context.Context) error {
	for i, node := range c.Nodes {
		id, err := node.Do(ctx, "CLUSTER", "MYID")
		if err != nil {
			return err
		}
		c.ids = append(c.ids, fmt.Sprint(id))
		if i < c.masters {
			first, last := i*slotCount/c.masters, (i+1)*slotCount/c.masters-1
			_, errSlots := node.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", first, last)
			// With different epochs from the start, the nodes need not resolve conflicts between
			// them.
			_, errEpoch := node.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
			err = errors.Join(errSlots, errEpoch)
		}
		if err == nil && i > 0 {
			_, err = c.Nodes[0].Do(ctx, "CLUSTER", "MEET", "127.0.0.1", node.port)
		}
		if err != nil {
			return err
		}
	}
	for i, node := range c.Nodes[c.masters:] {
		// Redis refuses this until the replica knows the master.
		err := await(ctx, func(ctx context.Context) error {
			_, err := node.Do(ctx, "CLUSTER", "REPLICATE", c.ids[i/c.each])
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Addrs returns the addresses of all nodes.
func (c *Cluster) Addrs() []string { return addrs(c.Nodes) }

func addrs(servers []*Server) (all []string) {
	for _, s := range servers {
		all = append(all, s.Addr())
	}
	return all
}

// WaitReady waits until three things hold. Every running node reports that the cluster is ok. All
// of them agree about the owners of the slots. Every running replica is synced with a running
// master.
func (c *Cluster) WaitReady() {
	c.t.Helper()
	if err := await(c.t.Context(), c.ready); err != nil {
		c.t.Fatalf("redistest: the cluster is not ready: %v", err)
	}
}

func (c *Cluster) ready(ctx context.Context) error {
	var agreed string
	for _, node := range c.Nodes {
		if !node.Running() {
			continue
		}
		view, err := c.view(ctx, node)
		if err != nil {
			return err
		}
		if err := c.healthy(ctx, node, view); err != nil {
			return err
		}
		if owners := view.owners(); agreed == "" {
			agreed = owners
		} else if owners != agreed {
			return fmt.Errorf("%s sees %s, another node %s", node.Addr(), owners, agreed)
		}
	}
	return nil
}

// healthy checks one running node and its view of the others.
func (c *Cluster) healthy(ctx context.Context, node *Server, view view) error {
	reply, err := node.Do(ctx, "CLUSTER", "INFO")
	if err != nil {
		return err
	}
	info := fields(reply)
	if info["cluster_state"] != "ok" || info["cluster_slots_assigned"] != fmt.Sprint(slotCount) {
		return fmt.Errorf("%s: cluster_state:%s, cluster_slots_assigned:%s", node.Addr(), info["cluster_state"], info["cluster_slots_assigned"])
	}
	if len(view) != len(c.Nodes) {
		return fmt.Errorf("%s knows %d nodes", node.Addr(), len(view))
	}
	for _, member := range view {
		if i := slices.Index(c.ids, member.id); c.Nodes[i].Running() && !member.reachable() {
			return fmt.Errorf("%s sees %s as %v", node.Addr(), c.Nodes[i].Addr(), member.flags)
		}
	}
	replication, err := node.Info(ctx, "replication")
	if err != nil {
		return err
	}
	if replication["role"] == "slave" && replication["master_link_status"] != "up" {
		return fmt.Errorf("%s: master_link_status:%s", node.Addr(), replication["master_link_status"])
	}
	return nil
}

// Masters returns the nodes that own slots now, according to the first running node, in the order
// of Nodes.
func (c *Cluster) Masters() []*Server {
	c.t.Helper()
	view := c.anyView()
	var masters []*Server
	for i, node := range c.Nodes {
		if member, ok := view[c.ids[i]]; ok && member.has("master") && len(member.slots) > 0 {
			masters = append(masters, node)
		}
	}
	return masters
}

// NodeForSlot returns the node that owns slot now, according to the first running node.
func (c *Cluster) NodeForSlot(slot int) *Server {
	c.t.Helper()
	for id, member := range c.anyView() {
		if member.owns(slot) {
			return c.Nodes[slices.Index(c.ids, id)]
		}
	}
	c.t.Fatalf("redistest: nobody owns slot %d", slot)
	return nil
}

// SlotOf returns the slot of key.
func (c *Cluster) SlotOf(key string) int {
	c.t.Helper()
	slot, err := c.firstRunning().Do(c.t.Context(), "CLUSTER", "KEYSLOT", key)
	if err != nil {
		c.t.Fatalf("redistest: %v", err)
	}
	return int(slot.(int64))
}

// ReplicasOf returns the other nodes of the group in which node started: its replicas and, after a
// failover, its former master.
func (c *Cluster) ReplicasOf(node *Server) (others []*Server) {
	group := c.group(node)
	for _, other := range c.Nodes {
		if other != node && c.group(other) == group {
			others = append(others, other)
		}
	}
	return others
}

func (c *Cluster) group(node *Server) int {
	i := slices.Index(c.Nodes, node)
	if i < c.masters {
		return i
	}
	return (i - c.masters) / c.each
}

// Failover makes replica the master of its slots in an orderly failover. It returns when the
// cluster is ready.
func (c *Cluster) Failover(replica *Server) {
	c.t.Helper()
	err := await(c.t.Context(), func(ctx context.Context) error {
		// The request is repeated each time, because Redis silently drops one that got no majority
		// in time.
		if _, err := replica.Do(ctx, "CLUSTER", "FAILOVER"); err != nil && err.Error() != "ERR You should send CLUSTER FAILOVER to a replica" {
			return err
		}
		info, err := replica.Info(ctx, "replication")
		if err == nil && info["role"] != "master" {
			err = fmt.Errorf("%s is a %s", replica.Addr(), info["role"])
		}
		return err
	})
	if err != nil {
		c.t.Fatalf("redistest: failover: %v", err)
	}
	c.WaitReady()
}

// WaitForMaster returns the node that has taken over the slots of old, once the cluster is ready.
// Call it after old.Kill().
func (c *Cluster) WaitForMaster(old *Server) (promoted *Server) {
	c.t.Helper()
	err := await(c.t.Context(), func(ctx context.Context) error {
		promoted = nil
		for _, candidate := range c.ReplicasOf(old) {
			if !candidate.Running() {
				continue
			}
			view, err := c.view(ctx, candidate)
			if err != nil {
				return err
			}
			if len(view[c.ids[slices.Index(c.Nodes, candidate)]].slots) > 0 {
				promoted = candidate
			}
		}
		if promoted == nil {
			return fmt.Errorf("no replica of %s has been promoted", old.Addr())
		}
		return c.ready(ctx)
	})
	if err != nil {
		c.t.Fatalf("redistest: %v", err)
	}
	return promoted
}

// onAll runs one command on all servers concurrently.
func onAll(ctx context.Context, servers []*Server, args ...any) error {
	errs := make([]error, len(servers))
	var group sync.WaitGroup
	for i, s := range servers {
		group.Go(func() {
			if _, err := s.Do(ctx, args...); err != nil {
				errs[i] = fmt.Errorf("%s: %v: %w", s.name(), args, err)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func running(servers []*Server) (alive []*Server) {
	for _, s := range servers {
		if s.Running() {
			alive = append(alive, s)
		}
	}
	return alive
}
