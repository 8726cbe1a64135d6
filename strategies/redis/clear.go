package redis

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// clear makes all entries of the namespace unreadable, and all leases useless: it invalidates the
// tag that every entry carries. What that leaves in Redis is removed in the background.
func (r *revoker) clear(ctx context.Context) error {
	err := r.invalidate(ctx, []string{generation})
	if err == nil || errors.Is(err, driver.ErrNotReplicated) {
		r.sweeper.start()
	}
	return err
}

const (
	// perSweep is how many entries one run of the script looks at. A server does nothing else
	// meanwhile.
	perSweep = 250
	// sweepRest is how many times as long as a step the pause after it is. A sweep then takes a
	// fifth of one CPU of a server at the most.
	sweepRest = 4
)

// sweeper removes what Clear has made unreadable. It promises nothing, and needs to promise
// nothing: what it leaves expires.
type sweeper struct {
	client *client
	keys   *keyspace
	clears atomic.Int64 // that have asked for a sweep; 0: none is under way
}

// start starts a sweep. If one is under way, another one follows it.
func (s *sweeper) start() {
	if s.clears.Add(1) == 1 && !s.client.run(s.work) {
		s.clears.Store(0)
	}
}

func (s *sweeper) work(life context.Context) {
	for {
		clears := s.clears.Load()
		_ = protect(func() error { return s.sweep(life) })
		if s.clears.CompareAndSwap(clears, 0) {
			return
		}
	}
}

// sweep looks at every entry once, and ends with the first step that fails.
func (s *sweeper) sweep(life context.Context) error {
	conn, err := s.client.use()
	if err != nil {
		return err
	}
	masters, err := s.client.masters(life, conn)
	if err != nil {
		return err
	}
	step := func(run func(context.Context) error) error {
		began := time.Now()
		ctx, cancel := context.WithTimeout(life, replyTimeout)
		defer cancel()
		err := run(ctx)
		rest(life, sweepRest*time.Since(began))
		return err
	}
	for _, node := range masters {
		err := scan(node, s.keys.values(), step, func() bool { return life.Err() == nil }, func(scanned []string) error {
			for _, call := range s.calls(s.keys.keysOf(scanned)) {
				if err := step(func(ctx context.Context) error { return sweepScript.Exec(ctx, conn, call.Keys, call.Args).Error() }); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// calls are the runs of the script for the entries that keys may have.
func (s *sweeper) calls(keys []string) (calls []rueidis.LuaExec) {
	lanes := make(map[*laneKeys][]string)
	for _, key := range keys {
		k := s.keys.of(key)
		lanes[k.lane] = append(lanes[k.lane], k.value(), k.body())
	}
	for lane, keys := range lanes {
		for part := range slices.Chunk(keys, 2*perSweep) {
			calls = append(calls, rueidis.LuaExec{Keys: append([]string{lane.nonceOf(generation)}, part...), Args: []string{bodyGrace}})
		}
	}
	return calls
}

// rest returns after a pause, or when life ends.
func rest(life context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-life.Done():
	}
}
