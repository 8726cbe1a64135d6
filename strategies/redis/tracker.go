package redis

import (
	"context"
	"errors"
	"log/slog"
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
	// MaxReads is how many tracked reads may be under way on each feed. Zero means 256. Fewer are
	// allowed while heartbeats are answered late.
	MaxReads int
	// MaxValueBytes is the size up to which Get returns a value as one that may be kept. Zero means
	// 16 KiB. Larger values than that are never kept.
	MaxValueBytes int
	// Logger is where to say that tracking does not work. Nil means the Service's.
	Logger *slog.Logger
}

// Tracked is what Tracker.Get has read.
type Tracked struct {
	Value []byte
	Found bool
	// TTL is what is left of the entry's. It is positive if Feed is not 0.
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
type Tracker struct{}

// Track starts a Tracker on an initialised Strategy. It must be closed before the Strategy is
// destroyed. The error is ErrLentClient, driver.ErrClosed, or a driver.OptionError.
func (s *Strategy) Track(listener Listener, options TrackerOptions) (*Tracker, error) {
	return nil, driver.ErrClosed
}

// Feed returns the feed over which entries like key are read, and whether it is fresh: every change
// that Redis applied longer ago than the lag was told to the Listener. The ID is 0 if there is no
// feed. It does no I/O, takes no lock and allocates nothing. A copy may be served only if it was
// read over this feed, and the feed was fresh before the copy was looked up.
func (t *Tracker) Feed(key string) (id FeedID, fresh bool) { return 0, false }

// Get reads an entry as Strategy.GetHinted does, and says over which feed, if it may be kept. tags
// are those that the entry is expected to have; nil means that they are unknown. The copy must be
// kept in such a way that what the Listener heard since Get was called prevents it.
func (t *Tracker) Get(ctx context.Context, key string, tags []string) (Tracked, error) {
	return Tracked{}, driver.ErrClosed
}

// TagsOf returns what Tracked.Tags may hold for tags of the Service.
func (t *Tracker) TagsOf(tags ...string) []string { return nil }

// Generations returns one name for each lane. Tracked.Tags has that of its lane, and Clear changes
// all of them.
func (t *Tracker) Generations() []string { return nil }

// Close ends all feeds, and calls FeedEnded for each.
func (t *Tracker) Close(ctx context.Context) error { return nil }
