package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

var _ cache.Clearer = (*Strategy)(nil)

// Clear implements cache.Clearer for one namespace, that of the Service. It is the one operation whose
// cost depends on the number of entries: it looks for them with SCAN. Where ctx ends before, what was
// found is gone, and repeating goes on from there.
//
// The ledgers go first: whatever was read before cannot be stored any more. It looks twice, because an
// entry of a slot that migrates may move from a node that was not asked yet to one that was.
func (s *Strategy) Clear(ctx context.Context) error {
	st, conn, err := s.connected(ctx)
	if err != nil {
		return err
	}
	return st.agreed(ctx, func() error { return st.clear(ctx, conn) })
}

func (st *store) clear(ctx context.Context, conn rueidis.Client) error {
	ledgers := make([]revocation, len(st.keys.lanes))
	for i := range ledgers {
		lane := &st.keys.lanes[i]
		ledgers[i] = revocation{lane: lane, read: []string{lane.ledger}}
	}
	var behind unconfirmed
	if err := behind.add(st.revoke(ctx, conn, ledgers)); err != nil {
		return err
	}
	masters, err := st.masters(ctx, conn)
	if err != nil {
		return err
	}
	for range 2 {
		for _, node := range masters {
			if err := st.clearNode(ctx, conn, node, &behind); err != nil {
				return err
			}
		}
	}
	return behind.err
}

// unconfirmed is for what takes several revocations: where replicas are behind with one of them it is applied,
// and the next ones must be as well. What is told then is the first such error.
type unconfirmed struct{ err error }

// note returns err, unless it says no more than that.
func (u *unconfirmed) add(err error) error {
	var lanes *LanesError
	if !errors.As(err, &lanes) || !lanes.applied() {
		return err
	}
	if u.err == nil {
		u.err = err
	}
	return nil
}

// masters are the nodes that have entries. Replicas, which may be down while all is well, are among the
// nodes that the client knows.
func (st *store) masters(ctx context.Context, conn rueidis.Client) (masters []rueidis.Client, err error) {
	nodes := conn.Nodes()
	if conn.Mode() != rueidis.ClientModeCluster {
		return slices.Collect(maps.Values(nodes)), nil
	}
	bounded, cancel := context.WithTimeout(ctx, st.timeout)
	defer cancel()
	var ranges []rueidis.RedisMessage
	var asked string
	for address, node := range nodes { // the client would ask one of them, which may be down
		asked = address
		if ranges, err = node.Do(bounded, node.B().ClusterSlots().Build()).ToArray(); err == nil {
			break
		}
	}
	if err = st.observe(err); err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, slots := range ranges {
		parts, err := slots.ToArray() // first slot, last slot, the master, its replicas
		if err != nil || len(parts) < 3 {
			return nil, fmt.Errorf("%w: CLUSTER SLOTS without a master", cache.ErrUnavailable)
		}
		master, err := parts[2].ToArray()
		if err != nil || len(master) < 2 {
			return nil, fmt.Errorf("%w: CLUSTER SLOTS without a master", cache.ErrUnavailable)
		}
		host, _ := master[0].ToString()
		if host == "" { // a node that has met no other does not know its own
			host, _, _ = net.SplitHostPort(asked)
		}
		port, _ := master[1].AsInt64()
		address := net.JoinHostPort(host, strconv.FormatInt(port, 10))
		if seen[address] {
			continue
		}
		seen[address] = true
		node, known := nodes[address]
		if !known { // the topology has just changed; it is tried again
			return nil, fmt.Errorf("%w: a node of the cluster is not known yet", cache.ErrUnavailable)
		}
		masters = append(masters, node)
	}
	return masters, nil
}

// clearNode deletes the entries and leases that one node has.
func (st *store) clearNode(ctx context.Context, conn, node rueidis.Client, behind *unconfirmed) error {
	do := func(step func(context.Context) error) error {
		bounded, cancel := context.WithTimeout(ctx, st.timeout)
		defer cancel()
		return st.observe(step(bounded))
	}
	return scan(node, st.keys.clearable(), do, func() bool { return true }, func(found []string) error {
		if keys := st.keys.keysOf(found); len(keys) > 0 {
			return behind.add(st.revoke(ctx, conn, st.keys.deletions(keys)))
		}
		return nil
	})
}
