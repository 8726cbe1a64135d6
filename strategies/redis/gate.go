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
	ring = 1024
	// fewestPlaces is how many operations a lane always has place for.
	fewestPlaces = 16
	// placeEvery is the pause between two looks for a place.
	placeEvery = time.Millisecond
	// silence is how long an operation must have waited for its deadline to count against the server: a
	// shorter one says more about the caller. So many silences in a row make a doubt.
	silence  = 20 * time.Millisecond
	silences = 3
	// benefit is how old a doubt may be for operations to wait, within their deadlines, for its end; when
	// it is older, they fail at once.
	benefit = 100 * time.Millisecond
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
type gate struct {
	places int64
	inside atomic.Int64
	silent atomic.Int64 // operations without an answer since the last one
	hasty  atomic.Int64 // those that left too early to tell, since then; their commands are outstanding
	doubt  atomic.Pointer[doubt]
}

// doubt ends when a probe is answered.
type doubt struct {
	since time.Time
	over  chan struct{}
}

func newGates(lanes, connections int) []gate {
	gates := make([]gate, lanes)
	for i := range gates {
		// Three quarters: two connections are not used quite alike.
		gates[i].places = int64(max(fewestPlaces, ring*3/4*connections/lanes))
	}
	return gates
}

// enter waits for a place. Nobody is told when one is left: it is looked for now and then, because a
// queue would cost those who need not wait, and they are nearly all.
func (g *gate) enter(ctx context.Context) error {
	for {
		if d := g.doubt.Load(); d != nil {
			if time.Since(d.since) > benefit {
				return errNoAnswer
			}
			select {
			case <-d.over:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if g.inside.Add(1) <= g.places {
			return nil
		}
		g.leave()
		pause := time.NewTimer(placeEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

func (g *gate) leave() { g.inside.Add(-1) }

// heard takes note of how an operation ended.
func (st *store) heard(lane int, err error, began time.Time) {
	g := &st.gates[lane]
	if err == nil || isAnswer(err) {
		if g.silent.Load() > 0 {
			g.silent.Store(0)
		}
		if g.hasty.Load() > 0 {
			g.hasty.Store(0)
		}
		return
	}
	if st.lent && errors.Is(err, cache.ErrUnavailable) { // nobody tells when its connections are lost
		st.agreement.suspect()
	}
	late := errors.Is(err, context.DeadlineExceeded) && time.Since(began) >= silence
	switch {
	case late || errors.Is(err, cache.ErrUnavailable):
		if g.silent.Add(1) >= silences {
			st.doubt(lane)
		}
	case g.hasty.Add(1) >= g.places/4:
		st.doubt(lane)
	}
}

// isAnswer reports whether the server has said something, if not what was hoped for.
func isAnswer(err error) bool {
	var answer *ServerError
	return errors.As(err, &answer)
}

// doubtAll closes every gate until its server has answered. A connection was lost; whose, we are not told.
func (st *store) doubtAll() {
	for lane := range st.gates {
		st.doubt(lane)
	}
}

// doubt closes the gate of a lane until the server has answered a probe.
func (st *store) doubt(lane int) {
	g, d := &st.gates[lane], &doubt{time.Now(), make(chan struct{})}
	if g.doubt.CompareAndSwap(nil, d) && !st.work(func(life context.Context) { st.probe(life, lane) }) {
		g.trust() // it is being closed
	}
}

// trust ends the doubt.
func (g *gate) trust() {
	g.silent.Store(0)
	g.hasty.Store(0)
	if d := g.doubt.Swap(nil); d != nil {
		close(d.over)
	}
}

// probe opens the gate of a lane when its server answers, whatever it says.
func (st *store) probe(life context.Context, lane int) {
	defer st.gates[lane].trust()
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
	if used := st.names.latest.Load(); used != nil {
		return conn.Do(ctx, conn.B().Exists().Key(used.lanes[lane].ledger).Build()).Error()
	}
	return conn.Do(ctx, conn.B().Ping().Build()).Error() // no lane has been used yet
}
