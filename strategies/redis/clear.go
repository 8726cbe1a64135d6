package redis

import (
	"context"

	"github.com/redis/rueidis"
)

// clear deletes all entries and leases of the namespace.
//
// The ledgers go first, so that nothing can be stored that was read before. Then it scans twice,
// because a migrating slot may move an entry from a node that has not been scanned yet to one that
// has.
func (r *revoker) clear(ctx context.Context) error {
	return r.agreed(ctx, func(conn rueidis.Client) error {
		var behind unconfirmed
		if err := behind.add(r.revoke(ctx, conn, r.keys.ledgerLosses())); err != nil {
			return err
		}
		masters, err := r.client.masters(ctx, conn)
		if err != nil {
			return err
		}
		for range 2 {
			for _, node := range masters {
				if err := r.clearNode(ctx, conn, node, &behind); err != nil {
					return err
				}
			}
		}
		return behind.err
	})
}

// clearNode deletes the entries and leases that one node has.
func (r *revoker) clearNode(ctx context.Context, conn, node rueidis.Client, behind *unconfirmed) error {
	step := func(run func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, replyTimeout)
		defer cancel()
		return r.client.observe(run(ctx))
	}
	return scan(node, r.keys.clearable(), step, func() bool { return true }, func(scanned []string) error {
		if keys := r.keys.keysOf(scanned); len(keys) > 0 {
			return behind.add(r.revoke(ctx, conn, r.keys.deletions(keys)))
		}
		return nil
	})
}
