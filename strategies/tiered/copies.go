package tiered

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/redis"
)

const (
	// maxCopyBytes is the largest value that is copied. Larger ones would push out many small
	// copies, and are rarely what every request needs.
	maxCopyBytes = 16 << 10
	// feedBytes is what stands before the value of a copy: the feed that it was read over.
	feedBytes = 8
)

// tracker is what copies need of a redis.Tracker.
type tracker interface {
	Feed(key string) (id redis.FeedID, fresh bool)
	Get(ctx context.Context, key string, tags []string) (redis.Tracked, error)
	TagsOf(tags ...string) []string
	Stats() redis.TrackerStats
	Close(ctx context.Context) error
}

// copies are the entries of Redis that this node has read and may serve. It is the redis.Listener
// that drops them.
type copies struct {
	store   *bigcache.Strategy
	ttl     time.Duration
	tracker tracker

	hits, misses, fills, refused atomic.Uint64
}

// newCopies initialises store for copies. They have the nonces of their tags, and that of their
// lane, as tags.
func newCopies(ctx context.Context, store *bigcache.Strategy, ttl time.Duration, in driver.Injector) (*copies, error) {
	limits, err := driver.Resolve[driver.Limits](in)
	if err != nil {
		return nil, err
	}
	clock, err := driver.Resolve[driver.Clock](in)
	if err != nil {
		return nil, err
	}
	limits.MaxValueBytes = min(limits.MaxValueBytes, maxCopyBytes) + feedBytes
	limits.MaxTags++
	container := dig.New()
	err = errors.Join(
		container.Provide(func() driver.Limits { return limits }),
		container.Provide(func() driver.Clock { return clock }),
	)
	if err != nil {
		return nil, err
	}
	return &copies{store: store, ttl: ttl}, store.Init(ctx, container)
}

// get returns the copy of an entry if this node may serve it. The check comes before the look: if
// this goroutine stops in between, what it finds afterwards is only newer.
func (c *copies) get(key string) (value []byte, found bool) {
	feed, fresh := c.tracker.Feed(key)
	if !fresh {
		c.misses.Add(1)
		return nil, false
	}
	raw, found, err := c.store.Get(context.Background(), key)
	if err != nil || !found || len(raw) < feedBytes || redis.FeedID(binary.LittleEndian.Uint64(raw)) != feed {
		c.misses.Add(1)
		return nil, false
	}
	c.hits.Add(1)
	return raw[feedBytes:], true
}

// lease returns the right to store a copy of an entry. It comes before the read: what Redis reports
// in between ends it. It is nil if no copy may be made, or somebody else is about to.
func (c *copies) lease(ctx context.Context, key string, options driver.CopyOptions) *driver.Lease {
	if options.Off {
		return nil
	}
	lease, err := c.store.Lease(ctx, key)
	if err != nil {
		return nil
	}
	return lease
}

// read reads the entry that a lease is for, and keeps a copy of it, if it may.
func (c *copies) read(ctx context.Context, lease *driver.Lease, tags []string, options driver.CopyOptions) driver.Result {
	read, err := c.tracker.Get(ctx, lease.Key, tags)
	c.fill(lease, read, options)
	return driver.Result{Value: read.Value, Found: read.Found, Err: err}
}

// fill stores what was read under a lease as a copy, if it may be kept, and ends the lease.
func (c *copies) fill(lease *driver.Lease, read redis.Tracked, options driver.CopyOptions) {
	ctx := context.Background() // nothing here waits, and the lease must end
	if !read.Found || read.Feed == 0 || read.TTL <= 0 || len(read.Value) > maxCopyBytes {
		_ = c.store.Release(ctx, lease)
		return
	}
	ttl := min(c.ttl, read.TTL)
	if options.TTL > 0 {
		ttl = min(ttl, options.TTL)
	}
	raw := make([]byte, 0, feedBytes+len(read.Value))
	raw = append(binary.LittleEndian.AppendUint64(raw, uint64(read.Feed)), read.Value...)
	stored, err := c.store.Fill(ctx, lease, raw, driver.SetOptions{TTL: ttl, Tags: read.Tags})
	if stored && err == nil {
		c.fills.Add(1)
	} else {
		c.refused.Add(1)
	}
}

// drop drops the copies of entries, and ends the leases on them.
func (c *copies) drop(keys ...string) { _ = c.store.Delete(context.Background(), keys...) }

// dropTags drops the copies of all entries with any of tags, in whatever lane.
func (c *copies) dropTags(tags ...string) {
	_ = c.store.InvalidateTags(context.Background(), c.tracker.TagsOf(tags...)...)
}

// clear drops all copies.
func (c *copies) clear() { _ = c.store.Clear(context.Background()) }

// KeyChanged implements redis.Listener.
func (c *copies) KeyChanged(key string) { c.drop(key) }

// TagChanged implements redis.Listener.
func (c *copies) TagChanged(tag string) { _ = c.store.InvalidateTags(context.Background(), tag) }

// FeedEnded implements redis.Listener. Nothing has to be done: each copy names its feed, and Feed
// does not return that one any more.
func (c *copies) FeedEnded(redis.FeedID) {}
