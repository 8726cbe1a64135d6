package redis

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

// maxBatch is how many Redis keys the MGET of several reads has at most: a server does nothing else
// meanwhile, and all members wait for the last value.
const maxBatch = 64

var errShortReply = fmt.Errorf("%w: a reply to MGET has another number of values than there were keys", cache.ErrUnavailable)

// reads makes one MGET of the reads of a lane that come at the same time. Whoever finds no batch open
// opens one and, if the lane has other operations under way, lets the goroutines go first that are ready to
// run; then it sends what has come together. So nobody waits for a reply or for a clock, a read that is
// alone is sent as it is, and the busier the process, the fewer commands there are for each read. A batch
// takes no one in once it is sent: every read sees all that was done before it began.
type reads struct {
	mu   sync.Mutex
	open *batch
}

// batch is one MGET of several reads.
type batch struct {
	keys     []string // those of the first member, then what each other one adds
	tags     int      // how many nonces the first member wants
	members  int
	deadline time.Time     // the latest one of the members
	done     chan struct{} // closed when there are replies or err; nil while there is one member
	replies  []rueidis.RedisMessage
	err      error
	waiting  atomic.Int64       // members that have not left
	cancel   context.CancelFunc // for the last one of them to call; set before the first one waits
}

// member is where in a batch the reply to one read is.
type member struct {
	*batch

	value, nonces int
	first         bool
}

// mget reads an entry, wanted[0], and the nonces wanted[1:]. ctx has a deadline, and has passed g.
func (r *reads) mget(ctx context.Context, conn rueidis.Client, g *gate, wanted []string) (rueidis.RedisMessage, []rueidis.RedisMessage, error) {
	m := r.join(ctx, wanted)
	if m.first {
		if g.inside.Load() > 1 {
			runtime.Gosched()
		}
		if r.seal(m.batch); m.members == 1 {
			if g.doubt.Load() == nil {
				return alone(ctx, conn, wanted)
			}
			m.done = make(chan struct{}) // the connection was lost meanwhile, and making it anew knows no deadline
		}
		go m.send(m.start(ctx), conn)
	} else { // a place is for a command, and there is none of this one: or else many readers want too many
		g.leave()
		defer g.inside.Add(1)
	}
	return m.wait(ctx, conn, wanted)
}

// join adds a read to the open batch, or opens one.
func (r *reads) join(ctx context.Context, wanted []string) member {
	deadline, _ := ctx.Deadline()
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.open
	shared := b != nil && slices.Equal(b.keys[1:1+b.tags], wanted[1:])
	added := wanted
	if shared {
		added = wanted[:1]
	}
	if b == nil || len(b.keys)+len(added) > maxBatch { // whoever has opened b sends it
		b = &batch{keys: slices.Clip(wanted), tags: len(wanted) - 1, members: 1, deadline: deadline}
		b.waiting.Store(1)
		r.open = b
		return member{batch: b, nonces: 1, first: true}
	}
	b.waiting.Add(1)
	if b.members++; b.members == 2 {
		b.keys = slices.Grow(b.keys, maxBatch)
		b.done = make(chan struct{})
	}
	if deadline.After(b.deadline) {
		b.deadline = deadline
	}
	m := member{batch: b, value: len(b.keys), nonces: 1}
	if !shared {
		m.nonces = m.value + 1
	}
	b.keys = append(b.keys, added...)
	return m
}

// seal keeps further reads out of b.
func (r *reads) seal(b *batch) {
	r.mu.Lock()
	if r.open == b {
		r.open = nil
	}
	r.mu.Unlock()
}

// start returns the context of a sealed batch, which goes on for as long as one of its members. It has the
// values of the first one's.
func (b *batch) start(ctx context.Context) context.Context {
	ctx, b.cancel = context.WithDeadline(context.WithoutCancel(ctx), b.deadline)
	return ctx
}

// send sends the batch.
func (b *batch) send(ctx context.Context, conn rueidis.Client) {
	defer b.cancel()
	b.err = cache.ErrUnavailable // should an application's client end this goroutine
	defer close(b.done)
	b.err = protect(func() (err error) {
		b.replies, err = fetch(ctx, conn, b.keys)
		return err
	})
}

// wait returns what the member has asked for.
func (m member) wait(ctx context.Context, conn rueidis.Client, wanted []string) (rueidis.RedisMessage, []rueidis.RedisMessage, error) {
	select {
	case <-m.done:
	case <-ctx.Done():
		if m.waiting.Add(-1) > 0 {
			return rueidis.RedisMessage{}, nil, &leftOthers{ctx.Err()}
		}
		m.cancel()
		return rueidis.RedisMessage{}, nil, ctx.Err()
	}
	if _, refused := rueidis.IsRedisErr(m.err); refused {
		// Perhaps because of other members' keys: TRYAGAIN, while a slot is on the move.
		return alone(ctx, conn, wanted)
	}
	if m.err != nil {
		return rueidis.RedisMessage{}, nil, m.err
	}
	return m.replies[m.value], m.replies[m.nonces : m.nonces+len(wanted)-1], nil
}

// leftOthers is the end of a read whose reply others still wait for: they will tell whether it came.
type leftOthers struct{ error }

// Unwrap returns why it ended.
func (e *leftOthers) Unwrap() error { return e.error }

// alone is mget without a batch.
func alone(ctx context.Context, conn rueidis.Client, wanted []string) (rueidis.RedisMessage, []rueidis.RedisMessage, error) {
	replies, err := fetch(ctx, conn, wanted)
	if err != nil {
		return rueidis.RedisMessage{}, nil, err
	}
	return replies[0], replies[1:], nil
}

// fetch is one MGET. There are as many replies as keys.
func fetch(ctx context.Context, conn rueidis.Client, keys []string) ([]rueidis.RedisMessage, error) {
	// Arbitrary, because an application's client may try again what it knows to be a read: where TRYAGAIN
	// refuses a batch, until its deadline.
	replies, err := conn.Do(ctx, conn.B().Arbitrary("MGET").Keys(keys...).Build()).ToArray()
	if err == nil && len(replies) != len(keys) {
		err = errShortReply
	}
	return replies, err
}
