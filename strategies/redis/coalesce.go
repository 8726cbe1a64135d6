package redis

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// maxShared is how many Redis keys the MGET of several reads has at the most, the generation apart.
// A server does nothing else meanwhile, and all participants wait for the last value.
const maxShared = 64

var errShortReply = fmt.Errorf("%w: a reply to MGET has another number of values than there were keys", driver.ErrUnavailable)

// coalescer makes one MGET of the reads of a lane that come at the same time. A read that finds no
// pending MGET starts one. If the lane has other operations under way, it first lets the goroutines
// run that are ready to. Then it sends what has come together. So:
//   - No read waits for a reply or for a clock, and a lone read is sent as it is.
//   - The busier the process, the fewer commands there are for each read.
//   - What several reads want is asked for once.
//   - Once a shared read was sent, no further read joins it. So every read sees everything that was
//     done before it began.
//
// If the script has to read an entry, the reads of that entry share it by the same rules.
type coalescer struct {
	generation string // the key of the lane's; each MGET asks for it once

	mu      sync.Mutex
	pending *sharedRead
	scripts map[string]*sharedRead // by entry; pending as well
}

// sharedRead is one MGET, or one run of the script, for several reads.
type sharedRead struct {
	generation   string   // is asked for beside keys
	keys         []string // those of the first participant, then what each other one adds
	index        *index   // of keys; nil while there is one participant
	repeated     uint64   // which of keys are the entries of several participants
	participants int
	script       []string               // arguments of the script; nil: it is an MGET
	deadline     time.Time              // the latest one of the participants
	done         chan struct{}          // closed when there are replies or err; nil while there is one participant
	replies      []rueidis.RedisMessage // to keys, then to generation
	err          error
	waiting      atomic.Int64       // participants that have not left
	cancel       context.CancelFunc // called by the last one of them to leave; set before the first one waits
}

// participant is one read's part in a shared read.
type participant struct {
	*sharedRead

	first bool // it has started the shared read, and sends it
	// at is where in keys each key is that another participant wants. The first one's come first.
	at [maxShared]uint8
}

// answer is what a read has asked for.
type answer struct {
	participant // its sharedRead is nil if the read was alone: replies are in the order of wanted

	replies []rueidis.RedisMessage
	err     error // then there are no replies
}

// position is where in replies the one to wanted[i] is.
func (a *answer) position(i int) int {
	if a.sharedRead == nil || a.first {
		return i
	}
	return int(a.at[i])
}

// reply is the reply to wanted[i].
func (a *answer) reply(i int) rueidis.RedisMessage { return a.replies[a.position(i)] }

// lane is the generation of the lane. There is none if the script has read the entry.
func (a *answer) lane() rueidis.RedisMessage { return a.replies[len(a.replies)-1] }

// entry returns the entry, wanted[0], in bytes that no other read has.
func (a *answer) entry() (entry, error) {
	if a.err != nil {
		return nil, a.err
	}
	raw, err := entryOf(a.reply(0))
	if err == nil && a.sharedRead != nil && a.repeated&(1<<a.position(0)) != 0 {
		raw = bytes.Clone(raw)
	}
	return raw, err
}

// mget reads an entry, wanted[0], and the nonces wanted[1:]. ctx has a deadline, and has a place in
// the bulkhead.
func (c *coalescer) mget(ctx context.Context, conn rueidis.Client, b *bulkhead, wanted []string) answer {
	return c.read(ctx, conn, b, c.join(ctx, wanted), wanted)
}

// script reads an entry by the script. Otherwise it is like mget.
func (c *coalescer) script(ctx context.Context, conn rueidis.Client, b *bulkhead, key string, args []string) answer {
	wanted := []string{key}
	return c.read(ctx, conn, b, c.joinScript(ctx, wanted, args), wanted)
}

// read sends the shared read if the participant has started it, and returns what the participant
// asked for.
func (c *coalescer) read(ctx context.Context, conn rueidis.Client, b *bulkhead, p participant, wanted []string) answer {
	if p.first {
		if b.inside.Load() > 1 {
			runtime.Gosched()
		}
		if c.seal(p.sharedRead); p.participants == 1 {
			if b.suspect.Load() == nil {
				return p.alone(ctx, conn, wanted)
			}
			// The connection was lost meanwhile, and rueidis knows no deadline while it makes a new
			// one.
			p.done = make(chan struct{})
		}
		go p.send(p.start(ctx), conn)
	} else {
		// A place is for a command, and this read sends none. If it kept the place, many reads of
		// one key would shut out other keys.
		b.leave()
		defer b.inside.Add(1)
	}
	return p.wait(ctx, conn, wanted)
}

// join adds a read to the pending MGET, or starts one.
func (c *coalescer) join(ctx context.Context, wanted []string) participant {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, joined := c.pending.join(ctx, wanted); joined {
		return p
	}
	// If another one is pending but has no room, whoever started it sends it.
	c.pending = newSharedRead(ctx, wanted)
	c.pending.generation = c.generation
	return participant{sharedRead: c.pending, first: true}
}

// joinScript adds a read to the pending run of the script for the same entry, or starts one.
func (c *coalescer) joinScript(ctx context.Context, wanted, args []string) participant {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, joined := c.scripts[wanted[0]].join(ctx, wanted); joined {
		return p
	}
	if c.scripts == nil {
		c.scripts = make(map[string]*sharedRead)
	}
	s := newSharedRead(ctx, wanted)
	s.script = args
	c.scripts[wanted[0]] = s
	return participant{sharedRead: s, first: true}
}

// seal keeps further reads out of s.
func (c *coalescer) seal(s *sharedRead) {
	c.mu.Lock()
	if c.pending == s {
		c.pending = nil
	} else if c.scripts[s.keys[0]] == s {
		delete(c.scripts, s.keys[0])
	}
	c.mu.Unlock()
}

// newSharedRead returns a shared read with its first participant.
func newSharedRead(ctx context.Context, wanted []string) *sharedRead {
	s := &sharedRead{keys: slices.Clip(wanted), participants: 1}
	s.deadline, _ = ctx.Deadline()
	s.waiting.Store(1)
	return s
}

// join adds a read to s, if s is not nil and has room.
func (s *sharedRead) join(ctx context.Context, wanted []string) (p participant, joined bool) {
	if s == nil || !s.fits(wanted) {
		return p, false
	}
	s.waiting.Add(1)
	if s.participants++; s.participants == 2 {
		s.done = make(chan struct{})
		s.index = new(index)
		first := s.keys
		s.keys = slices.Grow(s.keys[:0:0], maxShared)
		for _, key := range first {
			s.index.find(s.keys, key)
			s.keys = append(s.keys, key)
		}
	}
	p.sharedRead = s
	for i, key := range wanted {
		at, there := s.index.find(s.keys, key)
		switch {
		case !there:
			s.keys = append(s.keys, key)
		case i == 0:
			s.repeated |= 1 << at
		}
		p.at[i] = at
	}
	if deadline, _ := ctx.Deadline(); deadline.After(s.deadline) {
		s.deadline = deadline
	}
	return p, true
}

// fits reports whether there is room for wanted. Some of it may be there already.
func (s *sharedRead) fits(wanted []string) bool {
	total := len(s.keys) + len(wanted)
	if total <= maxShared || len(s.keys) > maxShared {
		return total <= maxShared
	}
	for _, key := range wanted {
		if slices.Contains(s.keys, key) {
			total--
		}
	}
	return total <= maxShared
}

// start returns the context of a sealed read. It lives as long as one of the participants waits,
// and has the values of the first one's context.
func (s *sharedRead) start(ctx context.Context) context.Context {
	ctx, s.cancel = context.WithDeadline(context.WithoutCancel(ctx), s.deadline)
	return ctx
}

// send sends a sealed read.
func (s *sharedRead) send(ctx context.Context, conn rueidis.Client) {
	defer s.cancel()
	s.err = driver.ErrUnavailable // in case the application's own client ends this goroutine
	defer close(s.done)
	s.err = protect(func() (err error) {
		s.replies, err = s.fetch(ctx, conn, s.keys)
		return err
	})
}

// wait returns what the participant has asked for.
func (p participant) wait(ctx context.Context, conn rueidis.Client, wanted []string) answer {
	select {
	case <-p.done:
	case <-ctx.Done():
		if p.waiting.Add(-1) > 0 {
			return answer{err: &leftOthersError{ctx.Err()}}
		}
		p.cancel()
		return answer{err: ctx.Err()}
	}
	if _, refused := rueidis.IsRedisErr(p.err); refused && len(p.keys) > len(wanted) {
		// Perhaps because of other participants' keys: TRYAGAIN, while a slot migrates.
		return p.alone(ctx, conn, wanted)
	}
	return answer{p, p.replies, p.err}
}

// leftOthersError is the end of a read whose reply others still wait for. They will tell whether it
// came.
type leftOthersError struct{ error }

// Unwrap returns why the read ended.
func (e *leftOthersError) Unwrap() error { return e.error }

// alone is a read of the same kind that is shared with no other.
func (s *sharedRead) alone(ctx context.Context, conn rueidis.Client, wanted []string) answer {
	replies, err := s.fetch(ctx, conn, wanted)
	return answer{replies: replies, err: err}
}

// fetch is one command. It returns as many replies as there are keys, and for an MGET one more.
func (s *sharedRead) fetch(ctx context.Context, conn rueidis.Client, keys []string) ([]rueidis.RedisMessage, error) {
	if s.script != nil {
		reply, err := getScript.Exec(ctx, conn, keys, s.script).ToMessage()
		if rueidis.IsRedisNil(err) {
			err = nil
		}
		return []rueidis.RedisMessage{reply}, err
	}
	// Arbitrary, because the application's own client may retry what it knows to be a read. It
	// would then retry until the deadline while TRYAGAIN refuses a shared read.
	replies, err := conn.Do(ctx, conn.B().Arbitrary("MGET").Keys(keys...).Keys(s.generation).Build()).ToArray()
	if err == nil && len(replies) != len(keys)+1 {
		err = errShortReply
	}
	return replies, err
}

// entryOf returns the entry that MGET or the script has read.
func entryOf(reply rueidis.RedisMessage) (entry, error) {
	if reply.IsInt64() {
		return nil, errOversized
	}
	return reply.AsBytes()
}
