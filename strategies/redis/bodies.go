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

	"github.com/fxcache/fxcache/cache/driver"
)

const (
	// inline is how large a value may be that is stored in its entry. A larger one has a body: a
	// key of its own, which is read and written over a separate connection. The 64 entries that may
	// share an MGET thus take 1 MiB at the most.
	inline = 16 << 10
	// bodyGrace is how long, in ms, a body lives that no entry names yet.
	bodyGrace = "10000"
	// transferTime is how long the transfer of a body continues after everyone who wanted it has
	// left. What is already on its way occupies the connection in any case.
	transferTime = 5 * time.Second
)

// errOversized says that an entry is longer than any of ours, and was not sent.
var errOversized = errors.New("redis: an entry is too long")

// bodies transfers what is too large to share a connection with small values: on one connection, a
// small value would have to wait for every large one before it.
//
// A body has a random name, with which it also begins, and its entry holds that name. So a body
// with the right name is what was stored together with the entry, whenever and wherever it was
// read. The entry alone decides whether it is valid, and several readers may share a read that is
// already under way. If the body was lost or replaced, its entry is a miss.
type bodies struct {
	client *client // its own, made when the first large value comes; or the application's
	start  func(work func(life context.Context)) bool
	limit  transfers

	starting sync.Once

	mu      sync.Mutex
	flights map[string]*flight // by name of the body
}

// flight is a body that is being read, for everyone who wants it. Until it is done, bodies.mu
// guards it.
type flight struct {
	joined, waiting int  // how many readers there were, and how many of them still wait
	sent            bool // it continues even if nobody waits, so others may still join
	leave           context.CancelFunc
	done            chan struct{}
	body            []byte
	err             error
}

// newBodies returns bodies with a connection of its own, or over the client of the application. c
// is the client for everything else.
func newBodies(c *client, options rueidis.ClientOption) *bodies {
	b := &bodies{client: c, start: c.run, limit: transfers{timeout: c.timeout, room: 1 << 20}, flights: make(map[string]*flight)}
	if !c.external {
		options.PipelineMultiplex = multiplex(1)
		// The other connections report an outage.
		b.client = newClient(options, c.timeout, slog.New(slog.DiscardHandler))
		b.client.mode, b.client.credentials, b.client.addressMap = c.mode, c.credentials, c.addressMap
		// Hits are never withheld here: an entry tells whether its body is the right one.
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

// conn returns the connection. It starts to make it when it is first wanted.
func (b *bodies) conn(ctx context.Context) (rueidis.Client, error) {
	if !b.client.external {
		b.starting.Do(func() { _ = b.client.start(ctx) }) // use returns the error
	}
	return b.client.use()
}

// read returns the value in a body. size is the length that the entry claims for it.
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

// join returns the flight of a body, and starts it if there is none.
func (b *bodies) join(key, name string, size int64) *flight {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.flights[name]
	if f == nil {
		wanted, leave := context.WithCancel(context.Background())
		f = &flight{leave: leave, done: make(chan struct{}), err: driver.ErrUnavailable}
		b.flights[name] = f
		if !b.start(func(life context.Context) { b.run(life, wanted, f, key, name, size) }) {
			delete(b.flights, name)
			f.err = driver.ErrClosed
			close(f.done)
		}
	}
	f.joined++
	f.waiting++
	return f
}

// detach removes a reader that has left. If it was the last one, and nothing was sent, the flight
// ends.
func (b *bodies) detach(name string, f *flight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.waiting--; f.waiting == 0 && !f.sent {
		f.leave()
		b.finish(name, f)
	}
}

// finish keeps further readers out of a flight.
func (b *bodies) finish(name string, f *flight) {
	if b.flights[name] == f {
		delete(b.flights, name)
	}
}

// run reads a body.
func (b *bodies) run(life, wanted context.Context, f *flight, key, name string, size int64) {
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
			if rueidis.IsRedisNil(err) || errors.Is(typed(err), driver.ErrBadEntry) {
				return nil // the next fill replaces what is not a body
			}
			return err
		})
	})
}

// write stores a body for a moment. An entry that names it must be stored before that has passed.
func (b *bodies) write(ctx context.Context, key, name string, value []byte) error {
	body := name + string(value)
	ended := make(chan error, 1)
	if !b.start(func(life context.Context) {
		err := driver.ErrUnavailable // in case the application's own client ends this goroutine
		defer func() { ended <- err }()
		err = protect(func() error {
			return b.transfer(life, ctx, int64(len(body)), func(ctx context.Context, conn rueidis.Client) error {
				return conn.Do(ctx, conn.B().Arbitrary("SET").Keys(key).Args(body, "PX", bodyGrace).Build()).Error()
			})
		})
	}) {
		return driver.ErrClosed
	}
	select {
	case err := <-ended:
		return unavailable(err)
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

// transfer waits for room for size bytes, but not after wanted has ended. Then it calls do, which
// continues whoever leaves.
func (b *bodies) transfer(life, wanted context.Context, size int64, do func(context.Context, rueidis.Client) error) error {
	if err := b.limit.enter(life, wanted, size); err != nil {
		return err
	}
	began := time.Now()
	err := errNotConnected
	defer func() { b.limit.leave(size, time.Since(began), err) }()
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

// unavailable marks an error that says nothing about other entries than this large one.
func unavailable(err error) error {
	if err == nil || isAnswer(err) || errors.Is(err, driver.ErrEntryUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", driver.ErrEntryUnavailable, err)
}
