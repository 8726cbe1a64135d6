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
	// silence is how long a server must have said nothing to be doubted because of it: a deadline that
	// is shorter says more about the caller.
	silence = 20 * time.Millisecond
	// firstProbe and lastProbe bound the pauses between attempts to reach a server that is doubted.
	firstProbe = 10 * time.Millisecond
	lastProbe  = 250 * time.Millisecond
)

var errNoAnswer = fmt.Errorf("%w: no answer of late", cache.ErrUnavailable)

// gate keeps the operations of one lane from waiting beyond their deadlines, which rueidis does in two
// cases: when too many commands are outstanding on a connection, and when a connection has to be made
// anew. So there is a number of places, and a lane whose server is doubted, because it did not answer or
// its connection was lost, lets nobody in until a probe was answered: it is the probe that waits.
// Revocations do not pass here, see store.revoke.
type gate struct {
	places  int64
	inside  atomic.Int64
	doubted atomic.Bool
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
		if g.doubted.Load() {
			return errNoAnswer
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

// isSilence reports whether an operation's error means that the server cannot be relied on to answer.
func isSilence(err error, waited time.Duration) bool {
	var answer *ServerError
	switch {
	case errors.As(err, &answer):
		return false
	case errors.Is(err, context.DeadlineExceeded):
		return waited >= silence
	default:
		return errors.Is(err, cache.ErrUnavailable)
	}
}

// doubtAll closes every gate until its server has answered. A connection was lost; whose, we are not told.
func (st *store) doubtAll() {
	for lane := range st.gates {
		st.doubt(lane)
	}
}

// doubt closes the gate of a lane until the server has answered a probe.
func (st *store) doubt(lane int) {
	g := &st.gates[lane]
	if g.doubted.Swap(true) {
		return
	}
	if !st.work(func(life context.Context) { st.probe(life, lane) }) {
		g.doubted.Store(false) // it is being closed
	}
}

// probe opens the gate of a lane when its server answers, whatever it says.
func (st *store) probe(life context.Context, lane int) {
	for pause := firstProbe; ; pause = min(2*pause, lastProbe) {
		ctx, cancel := context.WithTimeout(life, replyTimeout)
		err := st.ask(ctx, lane)
		cancel()
		if _, answered := rueidis.IsRedisErr(err); err == nil || answered {
			st.gates[lane].doubted.Store(false)
			return
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
