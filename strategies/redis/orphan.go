package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

const (
	// maxOrphans is how many orphans a lane remembers. Others expire by themselves.
	maxOrphans = 4096
	// firstOrphanRetry is the pause after the first attempt to release an orphan. Each further
	// pause is orphanBackoff times as long. With a lease_ttl of 10 s there are six attempts.
	firstOrphanRetry = 50 * time.Millisecond
	orphanBackoff    = 3
)

// orphan is a lease that may exist although nobody holds it: its request was answered too late, or
// its fill or release was not answered. Without help, whoever wants the key would have to wait
// until the lease expires. It is released by its token, which only this process knows. One attempt
// is not enough: the request that grants the lease may still be on its way, on another connection.
type orphan struct {
	key, token string
	due, until time.Time // of the next attempt; when the lease has expired in any case
	pause      time.Duration
}

// orphans releases orphans in the background.
type orphans struct {
	client  *client
	term    time.Duration // of a lease
	lanes   []laneOrphans
	running chan struct{} // has room for one release in each lane
}

// laneOrphans are the orphans of one lane.
type laneOrphans struct {
	mu      sync.Mutex
	waiting []orphan
	working bool
	more    chan struct{} // has room for the news that there is another one
}

func newOrphans(c *client, lanes int, term time.Duration) *orphans {
	o := &orphans{c, term, make([]laneOrphans, lanes), make(chan struct{}, lanes)}
	for i := range o.lanes {
		o.lanes[i].more = make(chan struct{}, 1)
	}
	return o
}

// mayHaveDone reports whether the server may have done what ended with err. It has not if it said
// that its state does not allow it to begin.
func mayHaveDone(err error) bool {
	return !isAnswer(err) || !errors.Is(err, driver.ErrUnavailable)
}

// releaseLater releases the lease on a key in the background, whether or not it exists.
func (o *orphans) releaseLater(k keyRef, token string) {
	number, now := k.lane.number, time.Now()
	lane := &o.lanes[number]
	lane.mu.Lock()
	defer lane.mu.Unlock()
	if len(lane.waiting) >= maxOrphans {
		return
	}
	lane.waiting = append(lane.waiting, orphan{k.lease(), token, now, now.Add(o.term), firstOrphanRetry})
	if lane.working {
		select {
		case lane.more <- struct{}{}:
		default:
		}
		return
	}
	lane.working = o.client.run(func(life context.Context) { o.work(life, lane) })
}

// take removes and returns what is due. If nothing is due, it returns the pause until something is.
// left is false if there is nothing at all, and then the work has ended.
func (l *laneOrphans) take() (due []orphan, pause time.Duration, left bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	rest := l.waiting[:0]
	var next time.Time
	for _, orphan := range l.waiting {
		switch {
		case !orphan.due.After(now) && len(due) < perPipeline:
			due = append(due, orphan)
			continue
		case next.IsZero() || orphan.due.Before(next):
			next = orphan.due
		}
		rest = append(rest, orphan)
	}
	clear(l.waiting[len(rest):]) // tokens
	l.waiting = rest
	l.working = len(due)+len(rest) > 0
	return due, next.Sub(now), l.working
}

// again puts back what has to be tried again.
func (l *laneOrphans) again(tried []orphan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, orphan := range tried {
		orphan.due = now.Add(orphan.pause)
		orphan.pause *= orphanBackoff
		if orphan.due.Before(orphan.until) {
			l.waiting = append(l.waiting, orphan)
		}
	}
}

// work releases the orphans of a lane until none is left or life ends. What is due at that moment
// gets one last attempt. Releases do not pass the bulkhead: an orphan costs every reader of its key
// more than this does.
func (o *orphans) work(life context.Context, lane *laneOrphans) {
	for last := false; ; {
		due, pause, left := lane.take()
		if len(due) > 0 {
			lane.again(o.release(due))
			continue
		}
		if !left || last {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-lane.more:
		case <-life.Done():
			last = true
		}
		timer.Stop()
	}
}

// release tries once, and returns those that are not known to have been released.
func (o *orphans) release(due []orphan) []orphan {
	ctx, cancel := context.WithTimeout(context.Background(), o.client.timeout)
	defer cancel()
	released, ok := inTime(ctx, o.running, func() []bool {
		released := make([]bool, len(due))
		_ = protect(func() error { return o.releaseAll(ctx, due, released) }) // they are tried again
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

func (o *orphans) releaseAll(ctx context.Context, due []orphan, released []bool) error {
	conn, err := o.client.use()
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
