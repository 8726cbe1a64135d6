package redis_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// copies is the least that keeps copies in process: what was told since a lease refuses its fill.
type copies struct {
	mu      sync.Mutex
	clock   int
	changed map[string]int
	kept    map[string]redis.Tracked
}

func (c *copies) KeyChanged(key string) {
	c.forget(key, func(string, redis.Tracked) bool { return false })
}
func (c *copies) TagChanged(tag string) {
	c.forget(tag, func(_ string, copied redis.Tracked) bool {
		for _, has := range copied.Tags {
			if has == tag {
				return true
			}
		}
		return false
	})
}

func (c *copies) FeedEnded(id redis.FeedID) {
	c.forget(fmt.Sprint(id), func(_ string, copied redis.Tracked) bool { return copied.Feed == id })
}

func (c *copies) forget(name string, also func(string, redis.Tracked) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	c.changed[name] = c.clock
	delete(c.kept, name)
	for key, copied := range c.kept {
		if also(key, copied) {
			delete(c.kept, key)
		}
	}
}

func (c *copies) lease() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock
}

func (c *copies) fill(lease int, key string, read redis.Tracked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range append([]string{key, fmt.Sprint(read.Feed)}, read.Tags...) {
		if c.changed[name] > lease {
			return
		}
	}
	c.kept[key] = read
}

func (c *copies) get(key string, feed redis.FeedID) (redis.Tracked, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	copied, ok := c.kept[key]
	return copied, ok && copied.Feed == feed
}

// Copies on two nodes, while a third one writes, deletes and invalidates, and connections are lost
// and slow. A read that begins when a revocation was answered a lag ago never returns what was
// there before.
func TestTrackerNothingStale(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	const lag, keys = 50 * time.Millisecond, 24
	server := redistest.Start(t)
	writer := start(t, server, redis.Options{Lanes: 4})
	var floor [keys]atomic.Int64 // no read may return a smaller version
	var group sync.WaitGroup
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	var hits, reads, stale atomic.Int64
	for range 2 {
		proxy := redistest.NewProxy(t, server.Addr())
		l1 := &copies{changed: map[string]int{}, kept: map[string]redis.Tracked{}}
		s := startTracking(t, server, redis.Options{Addresses: []string{proxy.Addr()}, Lanes: 4})
		usable(t.Context(), server)
		tracker, err := s.Track(l1, redis.TrackerOptions{Lag: lag})
		s.must(err)
		t.Cleanup(func() { s.must(tracker.Close(context.Background())) })
		group.Go(func() { // the nemesis
			for ctx.Err() == nil {
				pause(ctx, rand.N(6*lag))
				proxy.Delay(0)
				switch rand.IntN(6) {
				case 0:
					proxy.CutOne()
				case 1:
					proxy.Delay(rand.N(2 * lag))
				default: // what is told waits behind the reply
					held := proxy.HoldReply("HELLO")
					pause(ctx, rand.N(6*lag))
					held.Release()
				}
			}
		})
		for range 4 {
			group.Go(func() {
				for ctx.Err() == nil {
					i := rand.IntN(keys)
					key, least := fmt.Sprint("n:k", i), floor[i].Load()
					feed, fresh := tracker.Feed(key)
					copied, there := l1.get(key, feed)
					if reads.Add(1); fresh && there {
						hits.Add(1)
					} else {
						lease := l1.lease()
						once, cancel := context.WithTimeout(ctx, lag/2)
						var err error
						copied, err = tracker.Get(once, key, nil)
						if cancel(); err != nil || !copied.Found {
							continue
						}
						if copied.Feed != 0 {
							l1.fill(lease, key, copied)
						}
					}
					if version, err := strconv.ParseInt(string(copied.Value), 10, 64); err != nil || version < least {
						stale.Add(1)
						t.Errorf("%s is %q, want %d or more, from a copy: %t", key, copied.Value, least, fresh && there)
					}
				}
			})
		}
	}
	for i := range keys {
		group.Go(func() {
			key, tag := fmt.Sprint("n:k", i), fmt.Sprint("n:t", i)
			for version := int64(1); ctx.Err() == nil; version++ {
				opts := driver.SetOptions{TTL: time.Minute, Tags: []string{"n:all", tag}}
				if writer.Set(ctx, key, strconv.AppendInt(nil, version, 10), opts) != nil {
					continue
				}
				next := version
				switch rand.IntN(3) {
				case 0:
					next++
					if writer.Delete(ctx, key) != nil {
						continue
					}
				case 1:
					next++
					if writer.InvalidateTags(ctx, tag) != nil {
						continue
					}
				}
				pause(ctx, lag+lag/10)
				floor[i].Store(next)
				pause(ctx, rand.N(4*lag))
			}
		})
	}
	group.Wait()
	t.Logf("%d reads, %d of copies, %d stale", reads.Load(), hits.Load(), stale.Load())
	if hits.Load() == 0 {
		t.Error("no copy was served: the test proves nothing")
	}
}

// pause waits, but not beyond ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
