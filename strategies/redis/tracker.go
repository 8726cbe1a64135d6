package redis

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// FeedID names one connection of a Tracker, from its dial to its end. It is random, and never 0.
type FeedID uint64

// Listener hears what Redis says about keys that a Tracker has read. Its methods are called by the
// goroutine that reads the feed's connection, in the order of the messages. They must not block, or
// call the Tracker.
type Listener interface {
	// KeyChanged says that an entry was written, deleted, evicted, or has expired. The key is as in
	// Strategy.Get.
	KeyChanged(key string)
	// TagChanged says the same of one of Tracked.Tags.
	TagChanged(tag string)
	// FeedEnded says that messages may have been lost. Whatever was read over the feed must not be
	// served any more. It is called once for each feed that Feed or Get has returned, and nothing
	// follows it.
	FeedEnded(id FeedID)
}

// TrackerOptions are the options of Track.
type TrackerOptions struct {
	// Lag is for how long a feed counts as fresh after a heartbeat was sent. Less is used while the
	// fingerprint of the namespace says less. It must be at least 3ms.
	Lag time.Duration
	// Unpublished: the lag is that of this node alone, and nobody waits for it. What other nodes
	// revoke may be served for that long afterwards.
	Unpublished bool
	// MaxReads is how many tracked reads may be under way on each feed. Zero means 256, which is
	// also the most. Fewer are allowed while heartbeats are answered late.
	MaxReads int
	// MaxValueBytes is the size up to which Get returns a value as one that may be kept. Zero means
	// 16 KiB. Larger values than that are never kept.
	MaxValueBytes int
	// Logger is where to say that tracking does not work. Nil means the Service's.
	Logger *slog.Logger
}

const (
	// minLag has a third, the time between two heartbeats, that timers can keep.
	minLag = 3 * time.Millisecond
	// maxReads leaves room in the ring that rueidis keeps for a connection, for heartbeats and for
	// reads whose callers have left.
	maxReads = ringSize / 4
)

func (o TrackerOptions) withDefaults(logger *slog.Logger) (TrackerOptions, error) {
	if o.MaxReads == 0 {
		o.MaxReads = maxReads
	}
	if o.MaxValueBytes == 0 {
		o.MaxValueBytes = inline
	}
	if o.Logger == nil {
		o.Logger = logger
	}
	switch {
	case o.Lag < minLag:
		return o, &driver.OptionError{Name: "lag", Reason: "must be at least " + minLag.String() + ", not " + o.Lag.String()}
	case o.MaxReads < 1 || o.MaxReads > maxReads:
		return o, &driver.OptionError{Name: "max_reads", Reason: "must be between 1 and 256"}
	}
	return o, nil
}

// Tracked is what Tracker.Get has read.
type Tracked struct {
	Value []byte
	Found bool
	// TTL is what is left of the entry's, by the Service's clock. It is positive if Feed is not 0.
	TTL time.Duration
	// Tags name the entry's tags, and the generation of its lane, as TagChanged does.
	Tags []string
	// Feed is the feed that will tell of changes. It is 0 if none will: the value is right, and
	// must not be kept.
	Feed FeedID
}

// ErrLentClient says that a rueidis.Client that belongs to the application cannot be tracked: a
// Tracker needs connections of its own.
var ErrLentClient = errors.New("redis: copies in process need connections of their own, and the application exports its rueidis.Client: " +
	"remove that export, and describe the connection in the section redis")

// Tracker reads entries for copies in the process, and tells a Listener when they change. It is
// safe for concurrent use.
//
// What it rests on: Redis queues the message about a change at the time of the change, in order
// with the replies on the same connection. So once a heartbeat that was sent at a time t is
// answered, the Listener has heard of every change before t.
type Tracker struct {
	*background

	strategy *Strategy
	store    *store
	options  TrackerOptions
	listener Listener
	unhook   func() bool            // from the life of the Strategy
	lanes    []atomic.Pointer[feed] // nil: there is none now
	// agreed is the last heartbeat that has read the fingerprint. Each feed of a Cluster depends on
	// it: what the nodes agree about is in lane 0.
	agreed atomic.Pointer[heartbeat]

	used, asleep atomic.Bool   // somebody asks; nobody has asked for a while
	wake         chan struct{} // ends the sleep
	again        chan struct{} // has room for one request to look at the topology

	mu      sync.Mutex
	keepers map[string]*keeper // by address
	refused refusals

	counts counts
}

// newTracker starts one.
func newTracker(s *Strategy, st *store, listener Listener, options TrackerOptions) *Tracker {
	t := &Tracker{
		background: newBackground(), strategy: s, store: st, options: options, listener: listener,
		lanes: make([]atomic.Pointer[feed], len(st.keys.lanes)), wake: make(chan struct{}, 1), again: make(chan struct{}, 1),
		keepers: make(map[string]*keeper), refused: refusals{logger: options.Logger},
	}
	t.unhook = context.AfterFunc(st.client.life, t.cancel) // in case that the Strategy is destroyed first
	t.run(t.watch)
	t.run(t.pulse)
	return t
}

// Feed returns the feed over which entries like key are read, and whether it is fresh: every change
// that Redis applied longer ago than the lag was told to the Listener. The ID is 0 if there is no
// feed. It does no I/O, takes no lock and allocates nothing. A copy may be served only if it was
// read over this feed, and the feed was fresh before the copy was looked up.
func (t *Tracker) Feed(key string) (id FeedID, fresh bool) {
	t.use()
	f := t.lanes[t.store.keys.laneOf(key)].Load()
	if f == nil {
		return 0, false
	}
	return f.id, t.fresh(f)
}

// fresh reports whether every change that Redis applied longer ago than the lag was told.
func (t *Tracker) fresh(f *feed) bool {
	agreed, answered, at := t.agreed.Load(), f.answered.Load(), now()
	return agreed != nil && answered != nil &&
		at.since(answered.sent) < agreed.lag && at.since(agreed.sent) < agreed.lag &&
		!f.over.Load() && t.store.client.failover.withheld.Load() == nil
}

// use notes that the copies are in use, so that heartbeats are sent.
func (t *Tracker) use() {
	if t.used.Load() {
		return
	}
	t.used.Store(true)
	if t.asleep.Load() {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// Get reads an entry as Strategy.GetHinted does, and says over which feed, if it may be kept. tags
// are those that the entry is expected to have; nil means that they are unknown. The copy must be
// kept in such a way that what the Listener heard since Get was called prevents it.
func (t *Tracker) Get(ctx context.Context, key string, tags []string) (Tracked, error) {
	t.use()
	ctx, cancel := t.store.client.withDeadline(ctx)
	defer cancel()
	k := t.store.keys.of(key)
	f := t.lanes[k.lane.number].Load()
	why := t.admit(f, key)
	if why == tracked {
		if err := t.store.admission.batch(ctx); err != nil {
			f.leave()
			return Tracked{}, err
		}
		var result Tracked
		var err error
		if result, why, err = f.read(ctx, key, k, tags); why == tracked || why.final() || err != nil {
			t.counts.reads[why].Add(1)
			return result, err
		}
	}
	t.counts.reads[why].Add(1)
	var result Tracked
	var err error
	if tags == nil {
		result.Value, result.Found, err = t.strategy.Get(ctx, key)
	} else {
		result.Value, result.Found, err = t.strategy.GetHinted(ctx, key, tags)
	}
	return result, err
}

// admit returns tracked if an entry may be read over f, and takes a place there.
func (t *Tracker) admit(f *feed, key string) outcome {
	switch {
	case f == nil:
		return noFeed
	case !f.proven.Load():
		return notProven
	case !t.fresh(f):
		return notFresh
	case t.store.reader.slow.has(key):
		return tooSlow
	case !f.enter():
		return tooMany
	}
	return tracked
}

// TagsOf returns what Tracked.Tags may hold for tags of the Service.
func (t *Tracker) TagsOf(tags ...string) []string {
	all := make([]string, 0, len(tags)*len(t.lanes))
	for i := range t.lanes {
		all = t.store.keys.nonces(all, &t.store.keys.lanes[i], tags)
	}
	return all
}

// Generations returns one name for each lane. Tracked.Tags has that of its lane, and Clear changes
// all of them.
func (t *Tracker) Generations() []string { return t.TagsOf(generation) }

// Close ends all feeds, and calls FeedEnded for each. It waits for that within ctx.
func (t *Tracker) Close(ctx context.Context) error {
	t.unhook() // or else the Strategy would keep the Tracker and its Listener in memory
	return t.stop(ctx)
}
