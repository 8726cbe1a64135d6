package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

const (
	// maxFlying is how many heartbeats may be under way on a feed.
	maxFlying = 8
	// minRoom is how many reads a feed always has room for, and moreRoom is what each heartbeat
	// that is answered in time adds.
	minRoom  = 4
	moreRoom = 16
)

// heartbeat is one that was answered as it should. It never changes.
type heartbeat struct {
	sent instant // before it was sent
	took time.Duration
	lag  time.Duration // what the fingerprint allows, if this one has read it
}

// beat sends a heartbeat and takes its answer. The server must still be a master, and have keys of
// ours: one that was demoted would answer a PING for ever. Whoever calls it has added to flying.
func (f *feed) beat(life context.Context) {
	defer f.flying.Add(-1)
	t := f.tracker
	ctx, cancel := context.WithTimeout(life, replyTimeout)
	defer cancel()
	b := f.conn.B()
	lanes := *f.keeper.lanes.Load()
	commands := []rueidis.Completed{b.Arbitrary("HELLO").Build()}
	agrees := lanes[0] == 0
	if agrees {
		commands = append(commands, b.Get().Key(t.store.keys.fingerprint).Build())
	}
	if t.store.client.mode == Cluster { // a node that has lost a lane, or the others, says so
		lane := lanes[f.turn.Add(1)%uint64(len(lanes))]
		commands = append(commands, b.Exists().Key(t.store.keys.lanes[lane].ledger).Build())
	}
	left := f.left.Swap(0)
	t.counts.heartbeats.Add(1)
	h := &heartbeat{sent: now()}
	replies := f.conn.DoMulti(ctx, commands...)
	h.took = now().since(h.sent)
	for _, reply := range replies {
		if reply.NonRedisError() != nil { // it is lost, or too late
			f.left.Add(left)
			return
		}
	}
	f.inside.Add(-left) // replies come in order
	f.adapt(h.took > t.interval())
	for _, reply := range replies {
		if err := reply.Error(); err != nil && !rueidis.IsRedisNil(err) {
			f.refused(err)
			return
		}
	}
	if err := isMaster(replies[0]); err != nil {
		f.end(err)
		t.lookAgain()
		return
	}
	if agrees {
		raw, _ := text(replies[1])
		h.lag = f.lagBy(raw)
		raise(&t.agreed, h)
	}
	t.counts.answered.Add(1)
	raise(&f.answered, h)
	if agreed := t.agreed.Load(); agreed != nil && agreed.lag > 0 {
		f.accept.Do(func() { close(f.accepted) })
	}
}

// lagBy returns the lag that a fingerprint allows.
func (f *feed) lagBy(raw string) time.Duration {
	t := f.tracker
	if !t.options.Unpublished {
		return min(t.options.Lag, t.store.agreement.usableLag(raw))
	}
	if _, ok := t.store.agreement.current(raw); ok {
		return t.options.Lag
	}
	return 0
}

// isMaster returns an error unless a server says in its answer to HELLO that it is a master.
func isMaster(hello rueidis.RedisResult) error {
	fields, err := hello.AsMap()
	if err != nil {
		return typed(err)
	}
	role := fields["role"]
	if said, err := role.ToString(); err != nil || said != "master" {
		return ErrReplica
	}
	return nil
}

// adapt gives the feed less room for reads if a heartbeat was late, and more if it was not. Without
// that, a feed that is late once would stay so: all reads that find it late go to Redis.
func (f *feed) adapt(late bool) {
	room := f.room.Load()
	next := min(room+moreRoom, int64(f.tracker.options.MaxReads))
	if late {
		next = max(room/2, min(minRoom, int64(f.tracker.options.MaxReads)))
	}
	f.room.CompareAndSwap(room, next)
}

// enter takes a place for a read, if there is one.
func (f *feed) enter() bool {
	if f.inside.Add(1) <= f.room.Load() {
		return true
	}
	f.inside.Add(-1)
	return false
}

// leave gives a place back.
func (f *feed) leave() { f.inside.Add(-1) }

// refused deals with an error that the server has answered. All of them end the feed, but for those
// that come and go without that a message was lost.
func (f *feed) refused(err error) outcome {
	answer, ok := rueidis.IsRedisErr(err)
	if !ok {
		return failed
	}
	switch code(answer.Error()) {
	case "ASK", tryAgain: // the keys of a slot are on the move, and each that leaves is told of
		f.tracker.lookAgain()
		return redirected
	case "MOVED":
		f.end(fmt.Errorf("%w: a lane has moved to another node", driver.ErrUnavailable))
		f.tracker.lookAgain()
		return redirected
	case "BUSY":
		return failed
	}
	err = asRefused(err)
	f.end(err)
	if errors.As(err, new(*refusedError)) {
		return notCaching
	}
	return failed
}

// raise replaces the last heartbeat by h, if h was sent later. Answers may be taken in any order.
func raise(last *atomic.Pointer[heartbeat], h *heartbeat) {
	for {
		was := last.Load()
		if was != nil && was.sent.steady >= h.sent.steady || last.CompareAndSwap(was, h) {
			return
		}
	}
}
