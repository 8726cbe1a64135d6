package redis

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/backoff"
)

const (
	// firstProbe and lastProbe bound the pauses between attempts to reach a suspect server.
	firstProbe = 10 * time.Millisecond
	lastProbe  = 250 * time.Millisecond
)

// bulkheads has one bulkhead for each lane, and probes the servers of those that are suspect.
type bulkheads struct {
	client *client
	keys   *keyspace
	lanes  []bulkhead
	// lost is called after an operation on an external client found the server unavailable: nobody
	// reports when the connections of such a client are lost.
	lost func()
}

func newBulkheads(c *client, keys *keyspace, connections int) *bulkheads {
	b := &bulkheads{client: c, keys: keys, lanes: make([]bulkhead, len(keys.lanes)), lost: func() {}}
	for i := range b.lanes {
		// Seven eighths: two connections are not used quite equally, and commands that were given
		// up are still outstanding.
		b.lanes[i].places = int64(max(minPlaces, ringSize*7/8*connections/len(b.lanes)))
		b.lanes[i].slowStart()
	}
	return b
}

// record records how an operation ended that was sent at that time.
func (b *bulkheads) record(lane int, err error, sent time.Time) {
	if err == nil || isAnswer(err) {
		b.lanes[lane].answer()
		return
	}
	if b.client.external && errors.Is(err, driver.ErrUnavailable) {
		b.lost()
	}
	if b.lanes[lane].silence(err, sent, b.client.timeout) {
		b.suspect(lane)
	}
}

// suspectAll closes every bulkhead until its server has answered. It is called after a connection
// was lost: rueidis does not say which one.
func (b *bulkheads) suspectAll() {
	for lane := range b.lanes {
		b.suspect(lane)
	}
}

// suspect closes the bulkhead of a lane until the server has answered a probe.
func (b *bulkheads) suspect(lane int) {
	l := &b.lanes[lane]
	if l.suspect.CompareAndSwap(nil, newSuspicion()) && !b.client.run(func(life context.Context) { b.probe(life, lane) }) {
		l.trust() // it is being closed
	}
}

// probe opens the bulkhead of a lane after its server has answered, whatever it says.
func (b *bulkheads) probe(life context.Context, lane int) {
	defer b.lanes[lane].trust()
	for pauses := (backoff.Backoff{First: firstProbe, Last: lastProbe}); ; {
		ctx, cancel := context.WithTimeout(life, replyTimeout)
		err := protect(func() error { return b.ask(ctx, lane) })
		cancel()
		if _, answered := rueidis.IsRedisErr(err); err == nil || answered {
			return
		}
		if life.Err() == nil {
			b.client.failed(typed(err)) // the outage goes on, even if nobody asks for this lane
		}
		if !pauses.Wait(life) {
			return
		}
	}
}

func (b *bulkheads) ask(ctx context.Context, lane int) error {
	conn, err := b.client.use()
	if err != nil {
		return err
	}
	return conn.Do(ctx, conn.B().Exists().Key(b.keys.lanes[lane].ledger).Build()).Error()
}

// isAnswer reports whether the server has said something to a command, even if it is not what was
// hoped for. What it says to a new connection does not count.
func isAnswer(err error) bool {
	var answer *ServerError
	var connect *ConnectError
	return errors.As(err, &answer) && !errors.As(err, &connect)
}
