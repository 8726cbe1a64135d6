package redis

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// masters returns the nodes that have entries. The client also knows replicas, which may be down
// while all is well.
func (c *client) masters(ctx context.Context, conn rueidis.Client) (masters []rueidis.Client, err error) {
	nodes := conn.Nodes()
	if conn.Mode() != rueidis.ClientModeCluster {
		return slices.Collect(maps.Values(nodes)), nil
	}
	asked, ranges, err := c.slots(ctx, nodes)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, slots := range ranges {
		address, err := masterOf(slots, asked)
		if err != nil {
			return nil, err
		}
		if seen[address] {
			continue
		}
		seen[address] = true
		node, known := nodes[address]
		if !known { // the topology has just changed; the caller tries again
			return nil, fmt.Errorf("%w: a node of the cluster is not known yet", driver.ErrUnavailable)
		}
		masters = append(masters, node)
	}
	return masters, nil
}

// slots returns the elements of the answer to CLUSTER SLOTS, and the address of the node that has
// given it.
func (c *client) slots(ctx context.Context, nodes map[string]rueidis.Client) (asked string, ranges []rueidis.RedisMessage, err error) {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	for address, node := range nodes { // the client would ask only one of them, which may be down
		asked = address
		if ranges, err = node.Do(ctx, node.B().ClusterSlots().Build()).ToArray(); err == nil {
			break
		}
	}
	return asked, ranges, c.observe(err)
}

// mastersOf returns the address of each lane's master. It is empty if a lane has none now.
func (c *client) mastersOf(ctx context.Context, conn rueidis.Client, keys *keyspace) ([]string, error) {
	masters := make([]string, len(keys.lanes))
	nodes := conn.Nodes()
	if c.mode != Cluster {
		for address := range nodes { // there is one
			return slices.Repeat([]string{address}, len(masters)), nil
		}
		return nil, errNotConnected
	}
	asked, ranges, err := c.slots(ctx, nodes)
	if err != nil {
		return nil, err
	}
	for _, slots := range ranges {
		address, err := masterOf(slots, asked)
		if err != nil {
			return nil, err
		}
		parts, _ := slots.ToArray() // masterOf has found three or more
		first, errFirst := parts[0].AsInt64()
		last, errLast := parts[1].AsInt64()
		if errFirst != nil || errLast != nil {
			return nil, fmt.Errorf("%w: CLUSTER SLOTS without slots", driver.ErrUnavailable)
		}
		for i := range keys.lanes {
			command := conn.B().Get().Key(keys.lanes[i].value).Build() // never sent: it knows its slot
			if slot := int64(command.Slot()); first <= slot && slot <= last {
				masters[i] = address
			}
		}
	}
	return masters, nil
}

// masterOf returns the address of the master in one element of the answer to CLUSTER SLOTS, which
// the node asked has given.
func masterOf(slots rueidis.RedisMessage, asked string) (address string, err error) {
	parts, err := slots.ToArray() // first slot, last slot, the master, its replicas
	if err != nil || len(parts) < 3 {
		return "", fmt.Errorf("%w: CLUSTER SLOTS without a master", driver.ErrUnavailable)
	}
	master, err := parts[2].ToArray()
	if err != nil || len(master) < 2 {
		return "", fmt.Errorf("%w: CLUSTER SLOTS without a master", driver.ErrUnavailable)
	}
	host, _ := master[0].ToString()
	if host == "" { // a node that has met no other does not know its own
		host, _, _ = net.SplitHostPort(asked)
	}
	port, _ := master[1].AsInt64()
	return net.JoinHostPort(host, strconv.FormatInt(port, 10)), nil
}
