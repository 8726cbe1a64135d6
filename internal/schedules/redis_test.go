package schedules_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// remote is the strategy of one process on a shared Redis.
type remote struct {
	*redis.Strategy
	row *row
}

func newRedis(t testing.TB, addr string, leases time.Duration) *redis.Strategy {
	t.Helper()
	strategy, err := redis.New(redis.Options{Addresses: []string{addr}, LeaseTTL: leases})
	must(t, err)
	must(t, strategy.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: 10 * time.Second})))
	t.Cleanup(func() { must(t, strategy.Destroy(context.Background())) })
	return strategy
}

// The ledger of the namespace "n", which all names here have, in its one lane.
const ledger = "n:g:{0}:"

func (r *row) physical() string { return "n:" + r.key() }
func (r *row) static() string   { return "n:static:" + r.key() }
func (r *row) learned() string  { return "n:learned:" + r.key() }

// opts are the options with which every entry is stored.
func (r *row) opts() cache.SetOptions {
	return cache.SetOptions{TTL: time.Minute, Tags: []string{r.static(), r.learned()}}
}

// lease asks for a lease, and reads the database under it.
func (n remote) lease(a actor) (lease *driver.Lease, version int64) {
	value, found, lease, err := n.GetOrLease(context.Background(), n.row.physical())
	n.check(a, "GetOrLease", value, found, err)
	a.did("asks for the lease, and gets it: %t", lease != nil)
	return lease, n.row.read()
}

func (n remote) fill(a actor, lease *driver.Lease, version int64) {
	stored, err := n.Fill(context.Background(), lease, []byte(strconv.FormatInt(version, 10)), n.row.opts())
	if err != nil {
		a.fail("Fill: %v", err)
	}
	a.did("fills %d: %t", version, stored)
}

// write commits and revokes, in a randomly chosen way.
func (n remote) write(a actor, way int) {
	version := n.row.commit()
	a.did("commits %d, and revokes in way %d", version, way)
	var err error
	switch ctx := context.Background(); way {
	case 0:
		err = n.Delete(ctx, n.row.physical())
	case 1:
		err = n.InvalidateTags(ctx, n.row.static())
	case 2:
		err = n.InvalidateTags(ctx, n.row.learned())
	default:
		err = n.Set(ctx, n.row.physical(), []byte(strconv.FormatInt(version, 10)), n.row.opts())
	}
	if err != nil {
		a.fail("a revocation on a storage that works: %v", err)
	}
	n.row.revoked(version)
}

// read reads with the script, or with the tags given; it learns them for the next time.
func (n remote) read(a actor) {
	value, found, err := n.Get(context.Background(), n.row.physical())
	n.check(a, "Get", value, found, err)
	value, found, err = n.GetHinted(context.Background(), n.row.physical(), n.row.opts().Tags)
	n.check(a, "GetHinted", value, found, err)
}

func (n remote) check(a actor, what string, value []byte, found bool, err error) {
	if err != nil {
		a.fail("%s: %v", what, err)
	}
	if !found {
		return
	}
	version, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		a.fail("%s returned %q", what, value)
	}
	n.row.judge(a, what, version, n.row.least())
}

// lose evicts the ledger, as a full Redis may do at any time.
func lose(a actor, server *redistest.Server) {
	if _, err := server.Do(context.Background(), "DEL", ledger); err != nil {
		a.fail("DEL: %v", err)
	}
	a.did("evicts the ledger")
}

// The races of TestStaleFill between two processes on a real Redis, which may lose the ledger. The
// steps of all are done in one goroutine.
func TestStaleFillOnRedis(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	strategies := []*redis.Strategy{newRedis(t, server.Addr(), time.Minute), newRedis(t, server.Addr(), time.Minute)}
	inRealTime(t, "stale-fill/redis", 300, func(s *schedule) {
		row := newRow(s)
		var leases [2]*driver.Lease
		var versions [2]int64
		for range 16 {
			i := s.random.IntN(2)
			n, a := remote{strategies[i], row}, actor{s, fmt.Sprint("process ", i)}
			switch s.random.IntN(8) {
			case 0, 1, 2:
				if leases[i] == nil {
					leases[i], versions[i] = n.lease(a)
				} else {
					n.fill(a, leases[i], versions[i])
					leases[i] = nil
				}
			case 3, 4:
				n.write(a, s.random.IntN(ways))
			case 5:
				// The tags get new nonces, different from the old ones.
				a.did("sets another key with the same tags")
				if err := n.Set(context.Background(), row.physical()+" other", []byte("0"), row.opts()); err != nil {
					a.fail("Set: %v", err)
				}
			case 6:
				if s.random.IntN(2) == 0 {
					lose(a, server)
				}
			}
			n.read(a)
		}
	})
}
