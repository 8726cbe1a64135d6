package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

const (
	// inline is how large a value may be that is stored in its entry. A larger one has a body: a key of its
	// own, which is read and written over a connection of its own. 64 entries, as many as share an MGET, take
	// 1 MiB at the most.
	inline = 16 << 10
	// bodyGrace is how long, in ms, a body lives that no entry names yet.
	bodyGrace = "10000"
	// headroom is what a value may have besides max_value_bytes, which do not count the header of Service.
	headroom = 1 << 10
	// transferTime is how long the transfer of a body goes on when those who wanted it have left: what is on
	// its way takes up the connection in any case.
	transferTime = 5 * time.Second
	// leastInFlight and mostInFlight bound the bytes that are under way at the same time, but for a body that
	// is larger by itself.
	leastInFlight = 64 << 10
	mostInFlight  = 16 << 20
)

// errLeftUnread is what the transfer of a body ends with that nobody waits for any longer.
var errLeftUnread = errors.New("nobody waits for it")

// bodies transfers what is too large to share a connection with what is small: who waits for a small value
// would wait for all large ones before it.
//
// A body has a random name, which its entry holds, and which the body begins with. So a body that has the name
// is what was stored with the entry, whenever and wherever it was read: the entry decides whether it is good,
// and several readers may share one that is under way already. A body that is lost, or was replaced, makes a
// miss of its entry.
//
// How much is under way at the same time follows from how long it takes: on a slow link one body at a time,
// so that others find a turn there, and on a fast one as much as there is.
type bodies struct {
	client  *client // its own, made when the first large value comes, or the application's
	run     func(func(life context.Context)) bool
	timeout time.Duration

	starting sync.Once

	mu       sync.Mutex
	flights  map[string]*flight // by name of the body
	room     int64              // how many bytes may be under way
	underway int64
	queue    []chan struct{} // those who wait for room, in their order; closed when there may be
}

// flight is a body that is being read, for all who want it. Until it is done, bodies.mu guards it.
type flight struct {
	joined, waiting int  // how many there were, and how many of them have not left
	sent            bool // others may join it also when all have left
	leave           context.CancelFunc
	done            chan struct{}
	body            []byte
	err             error
}

// newBodies returns bodies with a connection of its own, or over the one that the application has lent.
func newBodies(st *store, options rueidis.ClientOption, mode string) *bodies {
	b := &bodies{client: st.client, run: st.work, timeout: st.timeout, flights: make(map[string]*flight), room: 1 << 20}
	if !st.external {
		options.PipelineMultiplex = multiplex(1)
		// An outage is told by the others.
		b.client = newClient(options, slog.New(slog.DiscardHandler))
		b.client.mode, b.client.sentinels = mode, st.sentinels
		// Nothing is withheld here: a body has a name of its own, which the entry tells.
		b.client.failover.prove = func(context.Context) error { return nil }
	}
	return b
}

// close ends the connection.
func (b *bodies) close(ctx context.Context) error {
	if b.client.external {
		return nil
	}
	return b.client.close(ctx)
}

// conn returns the connection, and starts to make it when it is wanted first.
func (b *bodies) conn(ctx context.Context) (rueidis.Client, error) {
	if !b.client.external {
		b.starting.Do(func() { _ = b.client.start(ctx) }) // use says it
	}
	return b.client.use()
}

// read returns the body of an entry, which size says the length of. It is not found where it was lost or replaced.
func (b *bodies) read(ctx context.Context, key, name string, size int64) (value []byte, found bool, err error) {
	f := b.join(key, name, size)
	select {
	case <-f.done:
	case <-ctx.Done():
		b.detach(name, f)
		return nil, false, unavailable(ctx.Err())
	}
	if f.err != nil {
		return nil, false, unavailable(f.err)
	}
	if len(f.body) != nonceBytes+int(size) || string(f.body[:nonceBytes]) != name {
		return nil, false, nil
	}
	value = f.body[nonceBytes:]
	if f.joined > 1 {
		value = bytes.Clone(value)
	}
	return value, true, nil
}

// join returns the flight of a body, which it begins where there is none.
func (b *bodies) join(key, name string, size int64) *flight {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.flights[name]
	if f == nil {
		wanted, leave := context.WithCancel(context.Background())
		f = &flight{leave: leave, done: make(chan struct{}), err: cache.ErrUnavailable}
		b.flights[name] = f
		if !b.run(func(life context.Context) { b.load(life, wanted, f, key, name, size) }) {
			delete(b.flights, name)
			f.err = cache.ErrClosed
			close(f.done)
		}
	}
	f.joined++
	f.waiting++
	return f
}

// part takes note of one that has left.
func (b *bodies) detach(name string, f *flight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.waiting--; f.waiting == 0 && !f.sent {
		f.leave()
		b.finish(name, f)
	}
}

// land keeps further readers out of a flight.
func (b *bodies) finish(name string, f *flight) {
	if b.flights[name] == f {
		delete(b.flights, name)
	}
}

// fly reads a body.
func (b *bodies) load(life, wanted context.Context, f *flight, key, name string, size int64) {
	defer close(f.done)
	defer f.leave()
	defer func() {
		b.mu.Lock()
		b.finish(name, f)
		b.mu.Unlock()
	}()
	f.err = protect(func() error {
		return b.transfer(life, wanted, nonceBytes+size, func(ctx context.Context, conn rueidis.Client) (err error) {
			b.mu.Lock()
			f.sent = true
			b.mu.Unlock()
			f.body, err = conn.Do(ctx, conn.B().Get().Key(key).Build()).AsBytes()
			if rueidis.IsRedisNil(err) || errors.Is(typed(err), cache.ErrBadEntry) {
				return nil // the next fill replaces what is no body
			}
			return err
		})
	})
}

// write stores a body for a moment, in which an entry that has its name has to be stored.
func (b *bodies) write(ctx context.Context, key, name string, value []byte) error {
	body := name + string(value)
	ended := make(chan error, 1)
	if !b.run(func(life context.Context) {
		err := cache.ErrUnavailable // should an application's client end this goroutine
		defer func() { ended <- err }()
		err = protect(func() error {
			return b.transfer(life, ctx, int64(len(body)), func(ctx context.Context, conn rueidis.Client) error {
				return conn.Do(ctx, conn.B().Arbitrary("SET").Keys(key).Args(body, "PX", bodyGrace).Build()).Error()
			})
		})
	}) {
		return cache.ErrClosed
	}
	select {
	case err := <-ended:
		return unavailable(err)
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

// transfer waits for room for size bytes while wanted is alive, and then does what it has to, whoever leaves.
func (b *bodies) transfer(life, wanted context.Context, size int64, do func(context.Context, rueidis.Client) error) error {
	if err := b.enter(life, wanted, size); err != nil {
		return err
	}
	began := time.Now()
	err := errNotConnected
	defer func() { b.leave(size, time.Since(began), err) }()
	ctx, cancel := context.WithTimeout(life, transferTime)
	defer cancel()
	conn, err := b.conn(ctx)
	if err != nil {
		return err
	}
	began = time.Now()
	err = b.client.observe(do(ctx, conn))
	return err
}

// enter waits until there is room for size bytes.
func (b *bodies) enter(life, wanted context.Context, size int64) error {
	b.mu.Lock()
	for b.underway > 0 && b.underway+size > b.room {
		turn := make(chan struct{})
		b.queue = append(b.queue, turn)
		b.mu.Unlock()
		select {
		case <-turn:
		case <-wanted.Done():
		case <-life.Done():
		}
		b.mu.Lock()
		if wanted.Err() != nil || life.Err() != nil {
			b.forget(turn)
			b.mu.Unlock()
			return errLeftUnread
		}
	}
	b.underway += size
	b.next()
	b.mu.Unlock()
	return nil
}

// forget takes one out of the queue that waits no longer; where it was its turn, it is the next one's.
func (b *bodies) forget(turn chan struct{}) {
	for i, waiting := range b.queue {
		if waiting == turn {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			return
		}
	}
	b.next()
}

// next lets the one who has waited longest look for room.
func (b *bodies) next() {
	if len(b.queue) > 0 {
		close(b.queue[0])
		b.queue = b.queue[1:]
	}
}

// leave gives the room back, and learns from how long it took how much there should be.
func (b *bodies) leave(size int64, took time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underway -= size
	switch {
	case err != nil || took > b.timeout/2:
		b.room = max(leastInFlight, b.room/2)
	case took < b.timeout/4:
		b.room = min(mostInFlight, b.room+size)
	}
	b.next()
}

// unavailable marks what says nothing about other entries than a large one.
func unavailable(err error) error {
	if err == nil || isAnswer(err) || errors.Is(err, cache.ErrEntryUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", cache.ErrEntryUnavailable, err)
}

// errOversized: an entry is longer than any of ours, and was not sent.
var errOversized = errors.New("redis: an entry is too long")

// whole returns the value of an entry that is good, whose payload that is.
func (st *store) valueOf(ctx context.Context, k keyRef, e entry, payload []byte) (value []byte, found bool, err error) {
	if e[0] != largeFormat {
		return payload, true, nil
	}
	body, size, ok := e.body(payload)
	if !ok {
		return nil, false, nil
	}
	if size > st.largest {
		st.drop(k, body)
		return nil, false, nil
	}
	return st.bodies.read(ctx, k.body(), body, size)
}

// fits reports whether an entry is one that may be that long; one that is not is dropped.
func (st *store) withinLimit(k keyRef, e entry) bool {
	if int64(len(e)) <= st.longestEntry {
		return true
	}
	st.drop(k, "")
	return false
}

// drop removes an entry that is larger than this node takes, so that it is not met again and again: the one that
// has that body, or where it is empty what is too long itself. Nobody is promised that it is done: it is a
// miss in any case.
func (st *store) drop(k keyRef, body string) {
	select {
	case st.dropping <- struct{}{}:
	default:
		return
	}
	if !st.work(func(life context.Context) {
		defer func() { <-st.dropping }()
		ctx, cancel := context.WithTimeout(life, st.timeout)
		defer cancel()
		_ = protect(func() error {
			conn, err := st.use()
			if err != nil {
				return err
			}
			return dropScript.Exec(ctx, conn, []string{k.value(), k.body()}, []string{st.longest, body}).Error()
		})
	}) {
		<-st.dropping
	}
}
