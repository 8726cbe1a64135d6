package redis

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
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
// alone is sent as it is, and the busier the process, the fewer commands there are for each read. What
// several want is asked for once. A batch takes no one in once it is sent: every read sees all that was
// done before it began.
//
// Where the script has to read an entry, those who want the same one share it by the same rule.
type coalescer struct {
	mu      sync.Mutex
	pending    *sharedRead
	scripts map[string]*sharedRead // by entry
}

// batch is one MGET, or one run of the script, for several reads.
type sharedRead struct {
	keys     []string // those of the first member, then what each other one adds
	at       *index   // of keys; nil while there is one member
	shared   uint64   // which of keys are the entries of several members
	members  int
	script   []string      // arguments of the script; nil: it is an MGET
	deadline time.Time     // the latest one of the members
	done     chan struct{} // closed when there are replies or err; nil while there is one member
	replies  []rueidis.RedisMessage
	err      error
	waiting  atomic.Int64       // members that have not left
	cancel   context.CancelFunc // for the last one of them to call; set before the first one waits
}

// member is one read in a batch.
type participant struct {
	*sharedRead

	first bool
}

// answer is what a read has asked for.
type answer struct {
	*sharedRead // nil: replies are in the order of wanted

	wanted  []string
	replies []rueidis.RedisMessage
	err     error // then there are no replies
}

// reply is that to wanted[i].
func (a answer) reply(i int) rueidis.RedisMessage {
	if a.sharedRead == nil || a.at == nil {
		return a.replies[i]
	}
	place, _ := a.at.find(a.keys, a.wanted[i])
	return a.replies[place]
}

// entry returns the entry, wanted[0], in bytes of its own.
func (a answer) entry() (entry, error) {
	if a.err != nil {
		return nil, a.err
	}
	raw, err := entryOf(a.reply(0))
	if err == nil && a.sharedRead != nil && a.at != nil {
		if place, _ := a.at.find(a.keys, a.wanted[0]); a.shared&(1<<place) != 0 {
			raw = bytes.Clone(raw)
		}
	}
	return raw, err
}

// mget reads an entry, wanted[0], and the nonces wanted[1:]. ctx has a deadline, and has passed g.
func (r *coalescer) mget(ctx context.Context, conn rueidis.Client, g *bulkhead, wanted []string) answer {
	return r.read(ctx, conn, g, r.join(ctx, wanted), wanted)
}

// script reads an entry by the script. The rest is as with mget.
func (r *coalescer) script(ctx context.Context, conn rueidis.Client, g *bulkhead, key string, args []string) answer {
	wanted := []string{key}
	return r.read(ctx, conn, g, r.joinScript(ctx, wanted, args), wanted)
}

// read sends what a first member has opened, and returns what the member has asked for.
func (r *coalescer) read(ctx context.Context, conn rueidis.Client, g *bulkhead, m participant, wanted []string) answer {
	if m.first {
		if g.inside.Load() > 1 {
			runtime.Gosched()
		}
		if r.seal(m.sharedRead); m.members == 1 {
			if g.suspect.Load() == nil {
				return m.alone(ctx, conn, wanted)
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
func (r *coalescer) join(ctx context.Context, wanted []string) participant {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, joined := r.pending.join(ctx, wanted); joined { // or else whoever has opened it sends it
		return m
	}
	r.pending = newSharedRead(ctx, wanted)
	return participant{r.pending, true}
}

// joinScript adds a read to the batch that the script is going to read the entry for, or opens one.
func (r *coalescer) joinScript(ctx context.Context, wanted, args []string) participant {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, joined := r.scripts[wanted[0]].join(ctx, wanted); joined {
		return m
	}
	if r.scripts == nil {
		r.scripts = make(map[string]*sharedRead)
	}
	b := newSharedRead(ctx, wanted)
	b.script = args
	r.scripts[wanted[0]] = b
	return participant{b, true}
}

// open returns a batch with its first member.
func newSharedRead(ctx context.Context, wanted []string) *sharedRead {
	b := &sharedRead{keys: slices.Clip(wanted), members: 1}
	b.deadline, _ = ctx.Deadline()
	b.waiting.Store(1)
	return b
}

// join adds a read to b, if there is such a batch, and room.
func (b *sharedRead) join(ctx context.Context, wanted []string) (m participant, joined bool) {
	if b == nil || !b.fits(wanted) {
		return m, false
	}
	b.waiting.Add(1)
	if b.members++; b.members == 2 {
		b.done = make(chan struct{})
		b.at = new(index)
		for i, key := range b.keys {
			b.at.add(key, i)
		}
		b.keys = slices.Grow(b.keys, maxBatch)
	}
	for i, key := range wanted {
		place, there := b.at.find(b.keys, key)
		switch {
		case !there:
			b.at.add(key, len(b.keys))
			b.keys = append(b.keys, key)
		case i == 0:
			b.shared |= 1 << place
		}
	}
	if deadline, _ := ctx.Deadline(); deadline.After(b.deadline) {
		b.deadline = deadline
	}
	return participant{b, false}, true
}

// fits reports whether there is room for wanted, of which some may be there already.
func (b *sharedRead) fits(wanted []string) bool {
	total := len(b.keys) + len(wanted)
	if total <= maxBatch || len(b.keys) > maxBatch {
		return total <= maxBatch
	}
	for _, key := range wanted {
		if slices.Contains(b.keys, key) {
			total--
		}
	}
	return total <= maxBatch
}

// index tells where in the keys of a batch one is: a hash table with open addresses, at most half full. A map would
// cost the reads of a busy process as much as their part of the command.
type index [2 * maxBatch]uint8 // the place and 1; 0: none

var indexSeed = maphash.MakeSeed()

func (x *index) find(keys []string, key string) (place int, there bool) {
	for slot := maphash.String(indexSeed, key); ; slot++ {
		switch place := int(x[slot%uint64(len(x))]) - 1; {
		case place < 0:
			return 0, false
		case keys[place] == key:
			return place, true
		}
	}
}

func (x *index) add(key string, place int) {
	slot := maphash.String(indexSeed, key)
	for x[slot%uint64(len(x))] != 0 {
		slot++
	}
	x[slot%uint64(len(x))] = uint8(place + 1) //nolint:gosec // at most maxBatch
}

// seal keeps further reads out of b.
func (r *coalescer) seal(b *sharedRead) {
	r.mu.Lock()
	if r.pending == b {
		r.pending = nil
	} else if r.scripts[b.keys[0]] == b {
		delete(r.scripts, b.keys[0])
	}
	r.mu.Unlock()
}

// start returns the context of a sealed batch, which goes on for as long as one of its members. It has the
// values of the first one's.
func (b *sharedRead) start(ctx context.Context) context.Context {
	ctx, b.cancel = context.WithDeadline(context.WithoutCancel(ctx), b.deadline)
	return ctx
}

// send sends the batch.
func (b *sharedRead) send(ctx context.Context, conn rueidis.Client) {
	defer b.cancel()
	b.err = cache.ErrUnavailable // should an application's client end this goroutine
	defer close(b.done)
	b.err = protect(func() (err error) {
		b.replies, err = b.fetch(ctx, conn, b.keys)
		return err
	})
}

// wait returns what the member has asked for.
func (m participant) wait(ctx context.Context, conn rueidis.Client, wanted []string) answer {
	select {
	case <-m.done:
	case <-ctx.Done():
		if m.waiting.Add(-1) > 0 {
			return answer{err: &leftOthersError{ctx.Err()}}
		}
		m.cancel()
		return answer{err: ctx.Err()}
	}
	if _, refused := rueidis.IsRedisErr(m.err); refused && len(m.keys) > len(wanted) {
		// Perhaps because of other members' keys: TRYAGAIN, while a slot is on the move.
		return m.alone(ctx, conn, wanted)
	}
	return answer{m.sharedRead, wanted, m.replies, m.err}
}

// leftOthersError is the end of a read whose reply others still wait for: they will tell whether it came.
type leftOthersError struct{ error }

// Unwrap returns why it ended.
func (e *leftOthersError) Unwrap() error { return e.error }

// alone is a read of the same kind that is sent as it is.
func (b *sharedRead) alone(ctx context.Context, conn rueidis.Client, wanted []string) answer {
	replies, err := b.fetch(ctx, conn, wanted)
	return answer{nil, wanted, replies, err}
}

// fetch is one command. There are as many replies as keys.
func (b *sharedRead) fetch(ctx context.Context, conn rueidis.Client, keys []string) ([]rueidis.RedisMessage, error) {
	if b.script != nil {
		reply, err := getScript.Exec(ctx, conn, keys, b.script).ToMessage()
		if rueidis.IsRedisNil(err) {
			err = nil
		}
		return []rueidis.RedisMessage{reply}, err
	}
	// Arbitrary, because an application's client may try again what it knows to be a read: where TRYAGAIN
	// refuses a batch, until its deadline.
	replies, err := conn.Do(ctx, conn.B().Arbitrary("MGET").Keys(keys...).Build()).ToArray()
	if err == nil && len(replies) != len(keys) {
		err = errShortReply
	}
	return replies, err
}

// entryOf returns the entry that was read, by MGET or by the script.
func entryOf(reply rueidis.RedisMessage) (entry, error) {
	if reply.IsInt64() {
		return nil, errOversized
	}
	return reply.AsBytes()
}
