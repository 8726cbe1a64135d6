package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

const (
	// ring is how many commands rueidis keeps outstanding on one connection; whoever comes when it is
	// full waits there, whatever the deadline.
	ringSize = 1024
	// fewestPlaces is how many operations a lane always has place for.
	minPlaces = 16
	// silence is how long an operation must have waited for its deadline to count against the server: a
	// shorter one says more about the caller, as does one below three quarters of the usual timeout, or below
	// patience. So many silences in a row make a doubt; where many operations are under way, all of which
	// end together when this process does not run for a moment, they must go on for a timeout as well.
	minSilence  = 20 * time.Millisecond
	maxUnanswered = 3
	patience = 40 * time.Millisecond
	// benefit is how old a doubt may be for operations to wait, within their deadlines, for its end, and those
	// that have more time than that wait while it is no older than their time; when it is older, they fail at once.
	suspicionGrace = 100 * time.Millisecond
	// firstProbe and lastProbe bound the pauses between attempts to reach a server that is doubted.
	firstProbe = 10 * time.Millisecond
	lastProbe  = 250 * time.Millisecond
)

var errNoAnswer = fmt.Errorf("%w: no answer of late", cache.ErrUnavailable)

// gate keeps the operations of one lane from waiting beyond their deadlines, which rueidis does in two
// cases: when too many commands are outstanding on a connection, and when a connection has to be made
// anew. So there is a number of places, and when the server is doubted, because its connection was lost
// or it did not answer several times, nobody enters until it has answered a probe: then it is the
// probe that rueidis lets wait. Revocations do not pass here, see store.revoke.
type bulkhead struct {
	places int64
	// room is how many places may be taken now. Each answer adds one. An operation that gets none in time
	// halves it, if it began after the last time, and at the start and after a doubt there is an eighth of the
	// places: more at once than are answered in time would get no answer in time, all of them.
	room   atomic.Int64
	cut    atomic.Int64 // when room was made smaller last, in Unix nanoseconds
	inside atomic.Int64
	queue  queue
	unanswered atomic.Int64 // operations without an answer since the last one
	since  atomic.Int64 // when the first of them ended, in Unix nanoseconds
	impatient  atomic.Int64 // those that left too early to tell, since then; their commands are outstanding
	suspect  atomic.Pointer[suspicion]
}

// doubt ends when a probe is answered.
type suspicion struct {
	since time.Time
	over  chan struct{}
}

// wait returns nil when the doubt is over, and err if it is an old one.
func (d *suspicion) wait(ctx context.Context, err error) error {
	deadline, _ := ctx.Deadline()
	if time.Since(d.since) > max(suspicionGrace, time.Until(deadline)) {
		return err
	}
	select {
	case <-d.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newBulkheads(lanes, connections int) []bulkhead {
	gates := make([]bulkhead, lanes)
	for i := range gates {
		// Seven eighths: two connections are not used quite alike, and what was given up is outstanding.
		gates[i].places = int64(max(minPlaces, ringSize*7/8*connections/lanes))
		gates[i].slowStart()
	}
	return gates
}

// begin leaves an eighth of the places, until there are answers.
func (g *bulkhead) slowStart() { g.room.Store(max(min(minPlaces, g.places), g.places/8)) }

// enter waits for a place.
func (g *bulkhead) enter(ctx context.Context) error {
	for {
		if d := g.suspect.Load(); d != nil {
			came := time.Now()
			if err := d.wait(ctx, errNoAnswer); err != nil {
				return err
			}
			if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) < time.Since(came) {
				return cache.ErrOverloaded // too late for an answer, and a burden for those who have time
			}
		}
		if g.take() {
			return nil
		}
		if err := g.wait(ctx); err != nil {
			return err
		}
		if g.suspect.Load() == nil {
			return nil
		}
		g.leave()
	}
}

// take takes a place if there is one.
func (g *bulkhead) take() bool {
	for {
		n := g.inside.Load()
		if n >= g.room.Load() {
			return false
		}
		if g.inside.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave gives a place back, or to somebody who waits for one.
func (g *bulkhead) leave() {
	g.inside.Add(-1)
	if g.queue.waiting.Load() > 0 {
		g.pass()
	}
}

// heard takes note of how an operation ended.
func (st *store) record(lane int, err error, sent time.Time) {
	g := &st.bulkheads[lane]
	if err == nil || isAnswer(err) {
		if g.unanswered.Load() > 0 {
			g.unanswered.Store(0)
		}
		if g.impatient.Load() > 0 {
			g.impatient.Store(0)
		}
		if n := g.room.Load(); n < g.places {
			g.room.CompareAndSwap(n, n+1)
		}
		return
	}
	if st.external && errors.Is(err, cache.ErrUnavailable) { // nobody tells when its connections are lost
		st.agreement.recheck()
	}
	silent, hasty, now := g.unanswered.Load(), g.impatient.Load(), time.Now()
	late := errors.Is(err, context.DeadlineExceeded) && now.Sub(sent) >= max(minSilence, min(st.timeout*3/4, patience))
	if others := new(leftOthersError); late && errors.As(err, &others) {
		return // there is one command for all of them
	}
	if late || errors.Is(err, cache.ErrUnavailable) {
		if silent = g.unanswered.Add(1); silent == 1 {
			g.since.Store(now.UnixNano())
		}
	} else {
		hasty = g.impatient.Add(1)
	}
	if !errors.Is(err, context.Canceled) {
		g.halve(sent)
	}
	lasting := g.inside.Load() <= minPlaces || now.UnixNano()-g.since.Load() >= int64(st.timeout)
	if silent >= maxUnanswered && lasting || silent+hasty >= g.places/8 {
		st.suspect(lane)
	}
}

// halve makes room smaller for an operation that began at that time and got no answer.
func (g *bulkhead) halve(began time.Time) {
	if cut := g.cut.Load(); began.UnixNano() > cut && g.cut.CompareAndSwap(cut, time.Now().UnixNano()) {
		g.room.Store(max(min(minPlaces, g.places), g.room.Load()/2))
	}
}

// isAnswer reports whether the server has said something, if not what was hoped for.
func isAnswer(err error) bool {
	var answer *ServerError
	return errors.As(err, &answer)
}

// doubtAll closes every gate until its server has answered. A connection was lost; whose, we are not told.
func (st *store) suspectAll() {
	for lane := range st.bulkheads {
		st.suspect(lane)
	}
}

// doubt closes the gate of a lane until the server has answered a probe.
func (st *store) suspect(lane int) {
	g, d := &st.bulkheads[lane], &suspicion{time.Now(), make(chan struct{})}
	if g.suspect.CompareAndSwap(nil, d) && !st.work(func(life context.Context) { st.probe(life, lane) }) {
		g.trust() // it is being closed
	}
}

// trust ends the doubt.
func (g *bulkhead) trust() {
	g.slowStart()
	g.unanswered.Store(0)
	g.impatient.Store(0)
	if d := g.suspect.Swap(nil); d != nil {
		close(d.over)
	}
}

// probe opens the gate of a lane when its server answers, whatever it says.
func (st *store) probe(life context.Context, lane int) {
	defer st.bulkheads[lane].trust()
	for pause := firstProbe; ; pause = min(2*pause, lastProbe) {
		ctx, cancel := context.WithTimeout(life, replyTimeout)
		err := protect(func() error { return st.ask(ctx, lane) })
		cancel()
		if _, answered := rueidis.IsRedisErr(err); err == nil || answered {
			return
		}
		if life.Err() == nil {
			st.failed(typed(err)) // the outage goes on, also while nobody asks for this lane
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-life.Done():
			timer.Stop()
			return
		}
	}
}

func (st *store) ask(ctx context.Context, lane int) error {
	conn, err := st.use()
	if err != nil {
		return err
	}
	return conn.Do(ctx, conn.B().Exists().Key(st.keys.lanes[lane].ledger).Build()).Error()
}
