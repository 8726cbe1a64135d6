package schedules_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// remoteBatches is the strategy of one process on a shared Redis, with the rows of a schedule and
// the leases that the process has.
type remoteBatches struct {
	*redis.Strategy
	rows     []*row
	leases   []*driver.Lease
	versions []int64
}

func (n *remoteBatches) physical(s *schedule, row int) string {
	return fmt.Sprint("n:", s.key(), "/", row)
}

func (n *remoteBatches) opts(s *schedule, row int) cache.SetOptions {
	return cache.SetOptions{TTL: time.Duration(1+row) * time.Minute, Tags: []string{
		"n:static:" + s.key(), fmt.Sprint("n:owner ", row%batchOwners, " of ", s.key()),
	}}
}

// lease asks for the leases on rows, and reads the database under them.
func (n *remoteBatches) lease(a actor, rows []int) {
	keys := make([]string, len(rows))
	for i, row := range rows {
		keys[i] = n.physical(a.schedule, row)
	}
	for i, r := range n.GetOrLeaseMany(context.Background(), keys) {
		n.check(a, "GetOrLeaseMany", rows[i], driver.Result{Value: r.Value, Found: r.Found, Err: r.Err})
		if r.Lease != nil {
			n.leases, n.versions = append(n.leases, r.Lease), append(n.versions, n.rows[rows[i]].read())
		}
	}
	a.did("asks for %d leases, and has %d", len(rows), len(n.leases))
}

// fill fills everything that the process has leases on.
func (n *remoteBatches) fill(a actor) {
	var fills []driver.Fill
	for i, lease := range n.leases {
		row, err := strconv.Atoi(lease.Key[len(lease.Key)-1:])
		if err != nil {
			a.fail("a lease on another key: %v", err)
		}
		fills = append(fills, driver.Fill{Lease: lease, Value: strconv.AppendInt(nil, n.versions[i], 10), Options: n.opts(a.schedule, row)})
	}
	stored := 0
	for _, r := range n.FillMany(context.Background(), fills) {
		if r.Err != nil {
			a.fail("FillMany: %v", r.Err)
		}
		if r.Stored {
			stored++
		}
	}
	a.did("fills %d: %d", len(fills), stored)
	n.leases, n.versions = nil, nil
}

// write commits some rows, and revokes what is older.
func (n *remoteBatches) write(a actor, way, changed int) {
	versions := map[int]int64{}
	for i, row := range n.rows {
		if i == changed || way == wayLearned && i%batchOwners == changed%batchOwners {
			versions[i] = row.commit()
		}
	}
	a.did("commits %d rows, and revokes in way %d", len(versions), way)
	var err error
	switch ctx := context.Background(); way {
	case 0:
		err = n.Delete(ctx, n.physical(a.schedule, changed))
	case 1, wayLearned:
		err = n.InvalidateTags(ctx, n.opts(a.schedule, changed).Tags[way-1])
	default:
		err = n.Set(ctx, n.physical(a.schedule, changed), strconv.AppendInt(nil, versions[changed], 10), n.opts(a.schedule, changed))
	}
	if err != nil {
		a.fail("a revocation on a storage that works: %v", err)
	}
	for i, version := range versions {
		n.rows[i].revoked(version)
	}
}

func (n *remoteBatches) check(a actor, what string, row int, r driver.Result) {
	if r.Err != nil {
		a.fail("%s: %v", what, r.Err)
	}
	if r.Found {
		version, err := strconv.ParseInt(string(r.Value), 10, 64)
		if err != nil {
			a.fail("%s returned %q", what, r.Value)
		}
		n.rows[row].judge(a, what, version, n.rows[row].least())
	}
}

// The races of TestStaleFillOfBatches and of TestLearnedTagOfBatches between two processes on a
// real Redis, which may lose the ledger. The steps of all are done in one goroutine.
func TestBatchesOnRedis(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	strategies := []*redis.Strategy{newRedis(t, server.Addr(), time.Minute), newRedis(t, server.Addr(), time.Minute)}
	inRealTime(t, "batches/redis", 300, func(s *schedule) {
		rows := make([]*row, batchRows)
		keys := make([]string, batchRows)
		for i := range rows {
			rows[i] = newRow(s)
		}
		nodes := []*remoteBatches{{Strategy: strategies[0], rows: rows}, {Strategy: strategies[1], rows: rows}}
		for range 16 {
			i := s.random.IntN(2)
			n, a := nodes[i], actor{s, fmt.Sprint("process ", i)}
			switch s.random.IntN(8) {
			case 0, 1, 2, 3:
				if n.leases == nil {
					n.lease(a, s.random.Perm(batchRows)[:1+s.random.IntN(batchRows)])
				} else {
					n.fill(a)
				}
			case 4, 5:
				n.write(a, s.random.IntN(ways), s.random.IntN(batchRows))
			case 6:
				if s.random.IntN(3) == 0 {
					lose(a, server)
				}
			}
			for row := range rows {
				keys[row] = n.physical(s, row)
			}
			for row, r := range n.GetMany(context.Background(), keys, nil) {
				n.check(a, "GetMany", row, r)
			}
		}
		for _, n := range nodes {
			n.fill(actor{s, "at the end, somebody"})
		}
	})
}
