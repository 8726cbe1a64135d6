package redis

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

var errFeedEnded = fmt.Errorf("%w: the connection that tells of changes has ended", driver.ErrUnavailable)

// feed is one connection over which entries are read, and which tells when they change. It is one
// rueidis.Client with one connection, which is dialled once. So every reply and every message
// belongs to this feed and to no later one.
type feed struct {
	tracker *Tracker
	keeper  *keeper
	id      FeedID
	life    context.Context //nolint:containedctx // the keeper's
	conn    rueidis.Client
	link    atomic.Pointer[link]
	dialled atomic.Bool

	announced atomic.Bool // the Listener may know of it
	over      atomic.Bool // nothing that is read over it may be kept or served any more
	proven    atomic.Bool // a message has arrived
	failure   atomic.Pointer[error]
	ending    sync.Once
	ended     chan struct{} // closed after FeedEnded

	probe     string        // a key that only this feed has asked for
	heard     chan struct{} // closed when Redis has told of it
	heardOnce sync.Once

	answered atomic.Pointer[heartbeat] // the last one, in the order in which they were sent
	accepted chan struct{}             // closed after the first one
	accept   sync.Once
	flying   atomic.Int64 // heartbeats under way
	turn     atomic.Uint64

	room   atomic.Int64 // how many reads may be under way
	inside atomic.Int64 // reads under way
	left   atomic.Int64 // those of them whose callers have left, and which no heartbeat has followed yet
}

// openFeed makes a connection that tells of changes.
func openFeed(life context.Context, t *Tracker, k *keeper) (*feed, error) {
	f := &feed{
		tracker: t, keeper: k, life: life, ended: make(chan struct{}), heard: make(chan struct{}), accepted: make(chan struct{}),
	}
	for f.id == 0 {
		var random [8]byte
		_, _ = rand.Read(random[:]) // never fails: it ends the program instead
		f.id = FeedID(binary.BigEndian.Uint64(random[:]))
	}
	f.room.Store(int64(min(minRoom, t.options.MaxReads)))
	f.probe = t.store.keys.lanes[(*k.lanes.Load())[0]].probeOf(f.id)
	option := t.store.client.options
	option.InitAddress, option.Sentinel, option.ForceSingleClient = []string{k.address}, rueidis.SentinelOption{}, true
	option.PipelineMultiplex = multiplex(1)
	option.ConnLifetime = 0 // all copies would be lost with it; the client's other connections tell if the address has moved
	option.OnInvalidations = f.hear
	option.DialCtxFn = func(ctx context.Context, _ string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
		return f.dial(ctx)
	}
	err := protect(func() (err error) {
		if f.conn, err = rueidis.NewClient(option); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(life, replyTimeout)
		defer cancel()
		return f.conn.Do(ctx, f.conn.B().ClientTracking().On().Optin().Build()).Error()
	})
	if err == nil {
		return f, nil
	}
	if f.conn != nil {
		f.cut()
		f.conn.Close()
	}
	return nil, asRefused(err)
}

// dial is what rueidis calls for a connection. It works once: a second connection is another feed,
// and rueidis may make it before it says that the first one was lost.
func (f *feed) dial(ctx context.Context) (net.Conn, error) {
	if f.dialled.Swap(true) {
		return nil, errFeedEnded
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(f.life, stop)()
	conn, err := f.tracker.store.client.dial(ctx, f.keeper.address, nil)
	if err != nil {
		return nil, err
	}
	if l, ok := conn.(*link); ok {
		f.link.Store(l)
	}
	return conn, nil
}

// hear is called by the goroutine that reads the connection. nil means that everything may have
// changed: after FLUSHALL, and after the connection was lost.
func (f *feed) hear(messages []rueidis.RedisMessage) {
	select {
	case <-f.ended:
		return
	default:
	}
	if messages == nil {
		f.finish()
		return
	}
	for i := range messages {
		key, err := messages[i].ToString()
		if err != nil || !f.tell(key) {
			f.finish() // who knows what it says
			return
		}
	}
}

// tell passes on that a key has changed. It returns false if it was none that a feed asks for.
func (f *feed) tell(key string) bool {
	t := f.tracker
	t.counts.pushes.Add(1)
	switch kind, name := t.store.keys.told(key); kind {
	case kindValue:
		t.listener.KeyChanged(name)
	case kindNonce:
		t.listener.TagChanged(key)
	case kindProbe:
		f.heardOnce.Do(func() { close(f.heard) })
	default:
		return false
	}
	return true
}

// finish says that the feed has ended. It is called by the goroutine that reads the connection.
func (f *feed) finish() {
	f.ending.Do(func() {
		f.over.Store(true) // before FeedEnded: what is read from now on is not kept
		if f.announced.Load() {
			f.tracker.counts.ended.Add(1)
			f.tracker.listener.FeedEnded(f.id)
		}
		close(f.ended)
	})
	f.cut()
}

// end ends the feed because of err. FeedEnded follows, when rueidis notices.
func (f *feed) end(err error) {
	f.failure.CompareAndSwap(nil, &err)
	f.over.Store(true)
	f.cut()
}

func (f *feed) cut() {
	if l := f.link.Load(); l != nil {
		l.cut()
	}
}

// reason is why the feed has ended.
func (f *feed) reason() error {
	if failure := f.failure.Load(); failure != nil {
		return *failure
	}
	return errFeedEnded
}

// close ends the feed, and returns after FeedEnded.
func (f *feed) close() {
	f.end(errFeedEnded)
	f.conn.Close()
	patience := time.NewTimer(replyTimeout)
	defer patience.Stop()
	select {
	case <-f.ended:
	case <-patience.C: // never seen; rueidis promises it only in passing
		f.finish()
	}
}

// prove returns nil if the feed tells of a key that is written on another connection.
func (f *feed) prove(life context.Context) error {
	ctx, cancel := context.WithTimeout(life, replyTimeout)
	defer cancel()
	err := protect(func() error {
		for _, reply := range f.conn.DoMulti(ctx, f.conn.B().ClientCaching().Yes().Build(), f.conn.B().Get().Key(f.probe).Build()) {
			if err := reply.Error(); err != nil && !rueidis.IsRedisNil(err) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return asRefused(err)
	}
	conn, err := f.tracker.store.client.use()
	if err != nil {
		return err
	}
	err = protect(func() error {
		return conn.Do(ctx, conn.B().Arbitrary("SET").Keys(f.probe).Args("", "PX", "1000").Build()).Error()
	})
	if err != nil {
		return typed(err)
	}
	select {
	case <-f.heard:
		f.proven.Store(true)
		return nil
	case <-f.ended:
		return f.reason()
	case <-ctx.Done():
		if life.Err() != nil {
			return life.Err()
		}
		return &refusedError{errSilent}
	}
}

var errSilent = errors.New("no message arrives about a key that was written on another connection")

// refusedError says that tracking does not work on a server.
type refusedError struct{ err error }

func (e *refusedError) Error() string {
	return "client tracking does not work, so nothing is kept in process: " + e.err.Error()
}

func (e *refusedError) Unwrap() error { return e.err }

// asRefused returns a refusedError if err is what a server answers that does not track, or does not
// let this user.
func asRefused(err error) error {
	var answer *ServerError
	if err = typed(err); errors.As(err, &answer) && !errors.Is(err, driver.ErrUnavailable) && isAnswer(err) {
		return &refusedError{err}
	}
	return err
}

// refusals says in the log that tracking does not work, and that it does again.
type refusals struct {
	logger *slog.Logger

	mu   sync.Mutex
	text string // of the last one; empty: it works
	last time.Time
}

func (r *refusals) add(err *refusedError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := err.Error(); text != r.text || time.Since(r.last) >= reportEvery {
		r.text, r.last = text, time.Now()
		r.logger.Warn("redis: client tracking does not work; every read goes to Redis", "error", err.err,
			"what to do", "allow the ACL user +client|tracking and +client|caching, as docs/redis.md says, and let no proxy without RESP3 stand between; "+
				"or use the strategy redis")
	}
}

func (r *refusals) remove() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.text != "" {
		r.text = ""
		r.logger.Info("redis: client tracking works")
	}
}
