package schedules_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// V16, late set after the deadline. A write takes longer than the deadline of an operation. Its
// caller gives up and deletes. Then the write arrives.
//
// Promise: what a Set, Update or GetOrLoad tried to store before a revocation began is not read
// after the revocation returned nil. That holds for a storage that aborts operations whose context
// has ended, and for one that ignores contexts. (What a server does with a frame that has left is
// judged by TestLateFrame.)
//
// Model: as in TestStaleFill, for one application that does one operation after another on a slow
// storage. Operations often take longer than the deadline, but revocations do not. Failed
// revocations are the subject of TestOutage.
func TestLateSet(t *testing.T) {
	t.Parallel()
	for _, storage := range []struct {
		name string
		make func(t testing.TB, slow *slow) driver.Strategy
	}{
		{"bigcache", func(t testing.TB, slow *slow) driver.Strategy {
			inner := newBigcache(t)
			return slowLeaser{listeningStrategy{slowStrategy{inner, slow}}, inner}
		}},
		{"without leases", func(_ testing.TB, slow *slow) driver.Strategy {
			return listeningStrategy{slowStrategy{newTable(), slow}}
		}},
		{"ignoring contexts", func(_ testing.TB, slow *slow) driver.Strategy {
			slow.deaf = true
			return slowStrategy{newTable(), slow}
		}},
	} {
		// One after the other: where an operation is not cancelled, the second one would wait for a
		// lock that it never gets, because time stands still in a bubble while somebody waits for a
		// lock.
		passed := t.Run(storage.name, func(t *testing.T) {
			inBubbles(t, "late-set/"+storage.name, 10_000, func(t *testing.T) func(*schedule) {
				slow := &slow{}
				service := start(t, storage.make(t, slow), cache.Options{Timeout: deadline, BreakerFailures: 1 << 20})
				return func(s *schedule) {
					slow.play(s)
					row := newRow(s)
					n := row.nodes(t, service, 1)[0]
					a := actor{s, "the application"}
					for range 6 + s.random.IntN(6) {
						step := s.random.IntN(8)
						n.oneAfterTheOther(a, step)
					}
					slow.play(nil)
					<-time.After(time.Second) // what is late arrives
					n.get(a)
				}
			})
		})
		if !passed {
			return
		}
	}
}

// deadline is the deadline of one operation.
const deadline = 50 * time.Millisecond

func (n node) oneAfterTheOther(a actor, step int) {
	ctx := context.Background()
	switch step {
	case 0, 1:
		version := n.row.read()
		err := n.Set(ctx, a.key(), version)
		a.did("sets %d: %v", version, err)
	case 2:
		version := n.row.commit()
		_, err := n.Update(ctx, a.key(), func(context.Context) (int64, error) { return version, nil })
		a.did("updates to %d: %v", version, err)
		if err == nil {
			n.row.revoked(version)
		}
	case 3:
		least := n.row.least()
		got, err := n.GetOrLoad(ctx, a.key(), func(context.Context) (int64, error) { return n.row.read(), nil })
		if err != nil {
			a.fail("GetOrLoad: %v", err)
		}
		n.row.judge(a, "GetOrLoad", got, least)
	case 4, 5:
		version := n.row.commit()
		err := n.Delete(ctx, a.key())
		a.did("commits %d and deletes: %v", version, err)
		if err == nil {
			n.row.revoked(version)
		}
	default:
		least := n.row.least()
		if got, found, err := n.Get(ctx, a.key()); err == nil && found {
			n.row.judge(a, "Get", got, least)
		}
	}
}

// slow says how long operations take: those of a schedule as its seed says, others nothing.
type slow struct {
	deaf bool // operations go on when their context has ended

	mu     sync.Mutex
	random *rand.Rand
}

// play is given nil when the schedule is over.
func (s *slow) play(playing *schedule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.random = nil; playing != nil {
		s.random = rand.New(rand.NewPCG(playing.random.Uint64(), 0)) // the Service may call from several goroutines
	}
}

// wait returns nil when the operation may be done, or why it ended before.
func (s *slow) wait(ctx context.Context, longest time.Duration) error {
	s.mu.Lock()
	var takes time.Duration
	if s.random != nil && s.random.IntN(3) == 0 {
		takes = time.Duration(s.random.Int64N(int64(longest)))
	}
	s.mu.Unlock()
	if s.deaf {
		<-time.After(takes)
		return nil
	}
	if takes == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slowStrategy is a slow storage.
type slowStrategy struct {
	inner driver.Strategy
	slow  *slow
}

func (s slowStrategy) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	if err := s.slow.wait(ctx, 3*deadline); err != nil {
		return nil, false, err
	}
	return s.inner.Get(ctx, key)
}

func (s slowStrategy) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	if err := s.slow.wait(ctx, 3*deadline); err != nil {
		return err
	}
	return s.inner.Set(ctx, key, value, opts)
}

func (s slowStrategy) Delete(ctx context.Context, keys ...string) error {
	if err := s.slow.wait(ctx, deadline); err != nil {
		return err
	}
	return s.inner.Delete(ctx, keys...)
}

func (s slowStrategy) InvalidateTags(ctx context.Context, tags ...string) error {
	if err := s.slow.wait(ctx, deadline); err != nil {
		return err
	}
	return s.inner.InvalidateTags(ctx, tags...)
}

// listeningStrategy is a slow storage that aborts operations whose context has ended.
type listeningStrategy struct{ slowStrategy }

func (listeningStrategy) Cancellable() {}

// slowLeaser is a slow storage with leases.
type slowLeaser struct {
	listeningStrategy
	leaser *bigcache.Strategy
}

func (s slowLeaser) Init(ctx context.Context, in driver.Injector) error {
	return s.leaser.Init(ctx, in)
}
func (s slowLeaser) Destroy(ctx context.Context) error { return s.leaser.Destroy(ctx) }

func (s slowLeaser) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	if err := s.slow.wait(ctx, 3*deadline); err != nil {
		return nil, false, nil, err
	}
	return s.leaser.GetOrLease(ctx, key)
}

func (s slowLeaser) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	if err := s.slow.wait(ctx, 3*deadline); err != nil {
		return nil, err
	}
	return s.leaser.Lease(ctx, key)
}

func (s slowLeaser) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts cache.SetOptions) (bool, error) {
	if err := s.slow.wait(ctx, 3*deadline); err != nil {
		return false, err
	}
	return s.leaser.Fill(ctx, lease, value, opts)
}

func (s slowLeaser) Release(ctx context.Context, lease *driver.Lease) error {
	if err := s.slow.wait(ctx, 3*deadline); err != nil {
		return err
	}
	return s.leaser.Release(ctx, lease)
}
