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
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	var ranges []rueidis.RedisMessage
	var asked string
	for address, node := range nodes { // the client would ask only one of them, which may be down
		asked = address
		if ranges, err = node.Do(ctx, node.B().ClusterSlots().Build()).ToArray(); err == nil {
			break
		}
	}
	if err = c.observe(err); err != nil {
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
