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
	// Nodes never changes: first the servers that started as masters, then their replicas, those of
	// the first master first. Roles change with failovers; see Masters.
	Nodes []*Server

	t       testing.TB
	masters int
	each    int      // replicas of each master
	ids     []string // of Nodes
}

// StartCluster starts a cluster and returns when every node is ok with it and every replica is
// synced. It ends with the test. A killed master is replaced by its replica after some 3 s; with
// fewer than three masters nobody votes, and it is not.
//
// Unlike Redis' default, the slots of a lost master do not take the others down
// (cluster-require-full-coverage no), and replicas stay with their master's slots
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
		// Lower, and a busy machine loses masters that are well.
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

// form makes one cluster of nodes that run alone.
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
			// Different epochs from the start spare the nodes to settle them among themselves.
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
		// Refused until the master is known here.
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

// Addrs are the addresses of all nodes.
func (c *Cluster) Addrs() []string { return addrs(c.Nodes) }

func addrs(servers []*Server) (all []string) {
	for _, s := range servers {
		all = append(all, s.Addr())
	}
	return all
}

// WaitReady waits until every running node says that the cluster is ok, all of them agree about who
// owns which slots, and every running replica is synced with a running master.
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

// Masters are the nodes that own slots now, as the first running node sees it, in the order of
// Nodes.
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

// NodeForSlot is the node that owns slot now, as the first running node sees it.
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

// SlotOf is the slot of key.
func (c *Cluster) SlotOf(key string) int {
	c.t.Helper()
	slot, err := c.firstRunning().Do(c.t.Context(), "CLUSTER", "KEYSLOT", key)
	if err != nil {
		c.t.Fatalf("redistest: %v", err)
	}
	return int(slot.(int64))
}

// ReplicasOf are the other nodes with which node started as one group: its replicas, and after a
// failover also the master that it once had.
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

// Failover makes replica the master of its slots, in order, and returns when the cluster is ready.
func (c *Cluster) Failover(replica *Server) {
	c.t.Helper()
	err := await(c.t.Context(), func(ctx context.Context) error {
		// Asked again each time: a request that got no majority in time is forgotten without a
		// word.
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

// WaitForMaster waits until another node than old has taken over what old owned, and the cluster is
// ready, and returns that node. It is for after old.Kill().
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

// onAll runs one command on servers, side by side.
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
