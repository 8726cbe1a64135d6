package schedules_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
)

var errOutage = errors.New("connection refused")

// Revocation in an outage. The storage of two processes refuses everything for a while and then
// works again.
//
// Promise (G4): a revocation that returned nil is applied, and no process serves what it revoked.
// One that could not be applied returns a PendingError. The process that returned it never serves
// anything older. On a storage that works, a revocation is applied at once, whatever the state of
// the circuit breaker.
//
// Model: as in TestStaleFill, with one minVersion for all and one for each process. Operations run
// one after another, because a fence does not reach beyond its process. Races between processes are
// for storages with leases.
func TestOutage(t *testing.T) {
	t.Parallel()
	inBubbles(t, "outage", 10_000, func(t *testing.T) func(*schedule) {
		storage := &failing{table: newTable()}
		// With this timeout, failures last long enough to open the breaker.
		options := cache.Options{Timeout: time.Millisecond, BreakerFailures: 2, BreakerPause: time.Minute, MaxPendingRevocations: 3}
		processes := [...]*cache.Service{start(t, storage, options), start(t, storage, options)}
		return func(s *schedule) {
			row := newRow(s)
			var nodes []*process
			for i, service := range processes {
				nodes = append(nodes, &process{node: row.nodes(t, service, 1)[0], name: fmt.Sprint("process ", i)})
			}
			for range 12 + s.random.IntN(8) {
				switch n := pick(s, nodes); s.random.IntN(8) {
				case 0:
					down := s.random.IntN(2) == 0
					storage.fail(down)
					s.log(fmt.Sprint("the storage is down: ", down))
				case 1:
					passed := time.Duration(s.random.Int64N(int64(100 * time.Millisecond)))
					if s.random.IntN(4) == 0 {
						passed = 2 * time.Minute // pending revocations are retried, and so does the breaker
					}
					s.log(fmt.Sprint(passed, " pass"))
					<-time.After(passed)
					synctest.Wait()
				case 2, 3:
					n.load()
				case 4, 5:
					n.write(storage, s.random.IntN(ways))
				default:
					n.get()
				}
			}
			storage.fail(false)
			for _, n := range nodes {
				n.get()
			}
			<-time.After(5 * time.Minute) // nothing is pending any more, and no breaker is open
			synctest.Wait()
			for _, n := range nodes {
				n.get()
			}
		}
	})
}

// process is a node whose own revocations bind it, whether or not they are applied.
type process struct {
	node
	name       string
	minVersion int64
}

func (p *process) actor() actor { return actor{p.row.schedule, p.name} }

func (p *process) least() int64 { return max(p.minVersion, p.row.least()) }

func (p *process) get() {
	least := p.least()
	if got, found, err := p.Get(context.Background(), p.row.key()); err == nil && found {
		p.row.judge(p.actor(), "Get", got, least)
	}
}

func (p *process) load() {
	least := p.least()
	got, err := p.GetOrLoad(context.Background(), p.row.key(), func(context.Context) (int64, error) { return p.row.read(), nil })
	if err != nil {
		p.row.fail("GetOrLoad: %v", err)
	}
	p.row.judge(p.actor(), "GetOrLoad", got, least)
}

func (p *process) write(storage *failing, way int) {
	version := p.row.commit()
	a := p.actor()
	a.did("commits %d", version)
	ctx := context.Background()
	var err error
	switch way {
	case 0:
		err = p.Delete(ctx, a.key())
	case 1:
		err = p.InvalidateTags(ctx, "static:"+a.key())
	case 2:
		err = p.InvalidateTags(ctx, "learned:"+a.key())
	default:
		err = p.service.Clear(ctx)
	}
	a.did("revokes in way %d: pending %t", way, err != nil)
	switch {
	case err == nil:
		p.row.revoked(version)
	case !errors.Is(err, cache.ErrRevocationPending):
		a.fail("a revocation failed, and is not pending: %v", err)
	case !storage.down():
		a.fail("a revocation on a storage that works was not applied: %v", err)
	}
	p.minVersion = version
}

// failing is a storage that is down at times.
type failing struct {
	*table
	lock   sync.Mutex
	failed bool
}

func (f *failing) fail(down bool) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.failed = down
}

func (f *failing) down() bool {
	f.lock.Lock()
	defer f.lock.Unlock()
	return f.failed
}

func (f *failing) err() error {
	if f.down() {
		return errOutage
	}
	return nil
}

func (f *failing) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := f.err(); err != nil {
		return nil, false, err
	}
	return f.table.Get(ctx, key)
}

func (f *failing) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	return errors.Join(f.err(), f.unless(func() error { return f.table.Set(ctx, key, value, opts) }))
}

func (f *failing) Delete(ctx context.Context, keys ...string) error {
	return errors.Join(f.err(), f.unless(func() error { return f.table.Delete(ctx, keys...) }))
}

func (f *failing) InvalidateTags(ctx context.Context, tags ...string) error {
	return errors.Join(f.err(), f.unless(func() error { return f.table.InvalidateTags(ctx, tags...) }))
}

// Clear is called for the one revocation that replaces too many.
func (f *failing) Clear(ctx context.Context) error {
	return errors.Join(f.err(), f.unless(func() error { return f.table.Clear(ctx) }))
}

// unless runs do if the storage is not down.
func (f *failing) unless(do func() error) error {
	if f.down() {
		return nil
	}
	return do()
}
