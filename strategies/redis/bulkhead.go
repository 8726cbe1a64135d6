package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

const (
	// ringSize is how many outstanding commands rueidis keeps for one connection. If its ring is
	// full, the next command waits, whatever its deadline.
	ringSize = 1024
	// minPlaces is how many operations a lane always has room for.
	minPlaces = 16
	// An operation without an answer counts against the server only if it has waited for minSilence
	// and for three quarters of the usual timeout, or patience if that is less. A shorter wait says
	// more about the caller.
	minSilence = 20 * time.Millisecond
	patience   = 40 * time.Millisecond
	// maxUnanswered is how many such operations in a row make the server suspect. If many
	// operations are under way they must also go on for one timeout: all of them end together if
	// this process does not run for a moment.
	maxUnanswered = 3
)

var errNoAnswer = fmt.Errorf("%w: the server has not answered recently", driver.ErrUnavailable)

// bulkhead keeps the operations of one lane from waiting beyond their deadlines. rueidis makes them
// wait in two cases: if too many commands are outstanding on a connection, and while it makes a
// connection anew. So the number of places is limited. And a server becomes suspect if its
// connection was lost or several operations got no answer. Nobody enters then until it has answered
// a probe: it is the probe that waits in rueidis. Revocations do not pass a bulkhead, see revoker.
type bulkhead struct {
	places int64
	// room is how many places may be taken now. Each answer adds one. An operation that gets no
	// answer in time halves it, if it was sent after room was last made smaller. At the start, and
	// after the server was suspect, room is an eighth of places: if more operations are let in at
	// once than can be answered in time, none of them is answered in time.
	room   atomic.Int64
	cut    atomic.Int64 // when room was last made smaller, in Unix nanoseconds
	inside atomic.Int64
	queue  queue
	// unanswered is how many operations have got no answer since the last one, and since is when
	// the first of them ended, in Unix nanoseconds.
	unanswered, since atomic.Int64
	// impatient is how many operations, since the last answer, have left too early to say anything
	// about the server. Their commands are outstanding.
	impatient atomic.Int64
	suspect   atomic.Pointer[suspicion] // nil: it is not
}

// slowStart leaves an eighth of the places, until there are answers.
func (b *bulkhead) slowStart() { b.room.Store(max(min(minPlaces, b.places), b.places/8)) }

// enter waits for a place.
func (b *bulkhead) enter(ctx context.Context) error {
	for {
		if s := b.suspect.Load(); s != nil {
			came := time.Now()
			if err := s.wait(ctx, errNoAnswer); err != nil {
				return err
			}
			if deadline, has := ctx.Deadline(); has && time.Until(deadline) < time.Since(came) {
				return driver.ErrOverloaded // too late for an answer, and a burden for those who have time
			}
		}
		if b.take() {
			return nil
		}
		if err := b.wait(ctx); err != nil {
			return err
		}
		if b.suspect.Load() == nil {
			return nil
		}
		b.leave()
	}
}

// take takes a place if there is one.
func (b *bulkhead) take() bool {
	for {
		n := b.inside.Load()
		if n >= b.room.Load() {
			return false
		}
		if b.inside.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave gives a place back, or passes it to an operation that waits for one.
func (b *bulkhead) leave() {
	b.inside.Add(-1)
	if b.queue.waiting.Load() > 0 {
		b.pass()
	}
}

// answer records that the server has answered an operation.
func (b *bulkhead) answer() {
	if b.unanswered.Load() > 0 {
		b.unanswered.Store(0)
	}
	if b.impatient.Load() > 0 {
		b.impatient.Store(0)
	}
	if n := b.room.Load(); n < b.places {
		b.room.CompareAndSwap(n, n+1)
	}
}

// silence records that an operation, sent at that time, has ended with err and without an answer.
// It returns whether the server is suspect now.
func (b *bulkhead) silence(err error, sent time.Time, timeout time.Duration) bool {
	silent, impatient, now := b.unanswered.Load(), b.impatient.Load(), time.Now()
	late := errors.Is(err, context.DeadlineExceeded) && now.Sub(sent) >= max(minSilence, min(timeout*3/4, patience))
	if others := new(leftOthersError); late && errors.As(err, &others) {
		return false // there is one command for all of them
	}
	if late || errors.Is(err, driver.ErrUnavailable) {
		if silent = b.unanswered.Add(1); silent == 1 {
			b.since.Store(now.UnixNano())
		}
	} else {
		impatient = b.impatient.Add(1)
	}
	if !errors.Is(err, context.Canceled) {
		b.halve(sent)
	}
	lasting := b.inside.Load() <= minPlaces || now.UnixNano()-b.since.Load() >= int64(timeout)
	return silent >= maxUnanswered && lasting || silent+impatient >= b.places/8
}

// halve makes room smaller for an operation that was sent at that time and got no answer.
func (b *bulkhead) halve(sent time.Time) {
	if cut := b.cut.Load(); sent.UnixNano() > cut && b.cut.CompareAndSwap(cut, time.Now().UnixNano()) {
		b.room.Store(max(min(minPlaces, b.places), b.room.Load()/2))
	}
}

// trust ends the suspicion.
func (b *bulkhead) trust() {
	b.slowStart()
	b.unanswered.Store(0)
	b.impatient.Store(0)
	if s := b.suspect.Swap(nil); s != nil {
		close(s.over)
	}
}
