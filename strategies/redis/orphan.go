package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

const (
	// maxOrphans is how many orphans a lane remembers; others expire in their own time.
	maxOrphans = 4096
	// firstAdoption is the pause after the first attempt to release an orphan; each further one is orphanFactor
	// times as long. With a lease_ttl of 10 s there are six attempts.
	firstOrphanRetry = 50 * time.Millisecond
	orphanBackoff  = 3
)

// orphan is a lease that may be out although nobody holds it: its request was answered too late, or its
// fill or release was not. Whoever wants the key would wait until it expires. It is released by its
// token, which only this process knows, and once is not enough: on another connection the request
// that grants the lease may still be on its way.
type orphan struct {
	key, token string
	due, until time.Time // of the next attempt; when it has expired in any case
	pause      time.Duration
}

// orphans are those of one lane.
type orphans struct {
	mu      sync.Mutex
	waiting []orphan
	working bool
	more    chan struct{} // has room for the news that there is one
}

func newOrphans(lanes int) []orphans {
	all := make([]orphans, lanes)
	for i := range all {
		all[i].more = make(chan struct{}, 1)
	}
	return all
}

// mayHaveDone reports whether the server may have done what ended with err: not where it has said that its
// state does not allow it to begin.
func mayHaveDone(err error) bool {
	return !isAnswer(err) || !errors.Is(err, cache.ErrUnavailable)
}

// orphaned sees to it that a lease is released in the background, whether or not it is out.
func (st *store) releaseLater(k keyRef, token string) {
	lane, now := k.lane.number, time.Now()
	o := &st.orphans[lane]
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) >= maxOrphans {
		return
	}
	o.waiting = append(o.waiting, orphan{k.lease(), token, now, now.Add(st.leaseTerm), firstOrphanRetry})
	if o.working {
		select {
		case o.more <- struct{}{}:
		default:
		}
		return
	}
	o.working = st.work(func(life context.Context) { st.releaseOrphans(life, lane) })
}

// take takes out what is due. Where nothing is, it returns the pause until something is, and none where
// nothing is left: then the work is over.
func (o *orphans) take() (due []orphan, pause time.Duration, left bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	rest := o.waiting[:0]
	var next time.Time
	for _, orphan := range o.waiting {
		switch {
		case !orphan.due.After(now) && len(due) < perPipeline:
			due = append(due, orphan)
			continue
		case next.IsZero() || orphan.due.Before(next):
			next = orphan.due
		}
		rest = append(rest, orphan)
	}
	clear(o.waiting[len(rest):]) // tokens
	o.waiting = rest
	o.working = len(due)+len(rest) > 0
	return due, next.Sub(now), o.working
}

// again puts back what is to be tried again.
func (o *orphans) again(tried []orphan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for _, orphan := range tried {
		orphan.due = now.Add(orphan.pause)
		orphan.pause *= orphanBackoff
		if orphan.due.Before(orphan.until) {
			o.waiting = append(o.waiting, orphan)
		}
	}
}

// adopt releases the orphans of a lane until none is left, or life ends; what is due then gets a last
// attempt. It does not pass the gate: a lease that is out costs every reader more than this does.
func (st *store) releaseOrphans(life context.Context, lane int) {
	o := &st.orphans[lane]
	for last := false; ; {
		due, pause, left := o.take()
		if len(due) > 0 {
			o.again(st.release(due))
			continue
		}
		if !left || last {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-o.more:
		case <-life.Done():
			last = true
		}
		timer.Stop()
	}
}

// release tries once, and returns those that are still out, for all we know.
func (st *store) release(due []orphan) []orphan {
	ctx, cancel := context.WithTimeout(context.Background(), st.timeout)
	defer cancel()
	released, ok := inTime(ctx, st.releasing, func() []bool {
		released := make([]bool, len(due))
		_ = protect(func() error { return st.releaseAll(ctx, due, released) }) // they are tried again
		return released
	})
	if !ok {
		return due
	}
	var left []orphan
	for i, orphan := range due {
		if !released[i] {
			left = append(left, orphan)
		}
	}
	return left
}

func (st *store) releaseAll(ctx context.Context, due []orphan, released []bool) error {
	conn, err := st.use()
	if err != nil {
		return err
	}
	calls := make([]rueidis.LuaExec, len(due))
	commands := make([]rueidis.Completed, len(due))
	for i, orphan := range due {
		calls[i] = rueidis.LuaExec{Keys: []string{orphan.key}, Args: []string{orphan.token}}
		commands[i] = evalsha(conn, releaseSHA, calls[i])
	}
	var again []int
	for i, reply := range conn.DoMulti(ctx, commands...) {
		n, err := reply.AsInt64()
		released[i] = err == nil && n == 1
		if isNoScript(err) {
			again = append(again, i)
		}
	}
	for _, i := range again {
		n, err := conn.Do(ctx, eval(conn, releaseText, calls[i])).AsInt64()
		released[i] = err == nil && n == 1
	}
	return nil
}

// held returns what a lease of this strategy is made of.
func stateOf(lease *cache.Lease) (leaseState, bool) {
	if lease == nil {
		return leaseState{}, false
	}
	g, ok := lease.State.(leaseState)
	return g, ok
}

// forsake releases a lease in the background that its holder has no use for any more.
func (s *Strategy) releaseLater(lease *cache.Lease, g leaseState) {
	if st := s.store.Load(); st != nil {
		st.releaseLater(st.keys.of(lease.Key), g.token)
	}
}
