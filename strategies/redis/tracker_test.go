package redis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// heard is a Listener that remembers.
type heard struct {
	mu    sync.Mutex
	names map[string]int // keys and tags
	ended map[redis.FeedID]int
}

func newHeard() *heard {
	return &heard{names: map[string]int{}, ended: map[redis.FeedID]int{}}
}

func (h *heard) KeyChanged(key string) { h.TagChanged("key " + key) }

func (h *heard) TagChanged(tag string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names[tag]++
}

func (h *heard) FeedEnded(id redis.FeedID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended[id]++
}

// of is how often the Listener has heard of any of names.
func (h *heard) of(names ...string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		n += h.names[name]
	}
	return n
}

func (h *heard) ends(id redis.FeedID) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended[id]
}

// tracking is a strategy with a Tracker.
type tracking struct {
	*started

	tracker *redis.Tracker
	heard   *heard
	home    func() *redistest.Server // where the fingerprint is
}

// longestLag is the longest that a node may declare. The machine may be busy.
const longestLag = 500 * time.Millisecond

// startTracking starts a strategy that may be tracked. Without addresses, it is on the server.
func startTracking(t testing.TB, server *redistest.Server, options redis.Options) *started {
	t.Helper()
	if len(options.Addresses) == 0 {
		options.Addresses = server.Addrs()
	}
	s := &started{Strategy: on(options)(t).(*redis.Strategy), TB: t, log: &lines{}, server: server}
	if d, ok := any(s.Strategy).(interface{ DeclareLag(lag time.Duration) error }); ok {
		s.must(d.DeclareLag(longestLag))
	}
	in := drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(s.log, nil))})
	s.must(s.Init(t.Context(), in))
	t.Cleanup(func() { s.must(s.Destroy(context.Background())) })
	return s
}

// usable makes the longest lag usable, for which nodes would have to wait 20 s.
func usable(ctx context.Context, server *redistest.Server) {
	const fingerprint = "n:f:{0}:"
	raw, err := server.Do(ctx, "GET", fingerprint)
	fields := map[string]any{}
	text, ok := raw.(string)
	if err != nil || !ok || json.Unmarshal([]byte(text), &fields) != nil || fields["settled"] != true {
		return // it is not there yet
	}
	fields["lag_ms"], fields["usable_ms"] = longestLag.Milliseconds(), longestLag.Milliseconds()
	delete(fields, "raise")
	if with, err := json.Marshal(fields); err == nil {
		_, _ = server.Do(ctx, "SET", fingerprint, string(with)) // else it is tried again
	}
}

func track(s *started, options redis.TrackerOptions) *tracking {
	s.Helper()
	if options.Lag == 0 {
		options.Lag = longestLag
	}
	t := &tracking{started: s, heard: newHeard(), home: func() *redistest.Server { return s.server }}
	var err error
	t.tracker, err = s.Track(t.heard, options)
	s.must(err)
	s.Cleanup(func() { s.must(t.tracker.Close(context.Background())) })
	return t
}

// kept reads an entry until it may be kept.
func (t *tracking) kept(key string, tags ...string) (result redis.Tracked) {
	t.Helper()
	until(t, func() (err error) {
		if result, err = t.tracker.Get(t.Context(), key, tags); err == nil && result.Feed == 0 {
			usable(t.Context(), t.home())
			err = fmt.Errorf("%q may not be kept: found %t, %+v", key, result.Found, t.tracker.Stats())
		}
		return err
	})
	if string(result.Value) != "value of "+key || !result.Found {
		t.Errorf("%q has the value %q, found %t", key, result.Value, result.Found)
	}
	return result
}

// notKept fails the test if an entry may be kept, or is not found.
func (t *tracking) notKept(key string, tags ...string) {
	t.Helper()
	result, err := t.tracker.Get(t.Context(), key, tags)
	t.must(err)
	if string(result.Value) != "value of "+key || !result.Found || result.Feed != 0 {
		t.Errorf("%q has the value %q, found %t, from feed %d; want it from none", key, result.Value, result.Found, result.Feed)
	}
}

// fresh waits until the feed of a key is fresh.
func (t *tracking) fresh(key string) (id redis.FeedID) {
	t.Helper()
	until(t, func() error {
		var fresh bool
		if id, fresh = t.tracker.Feed(key); !fresh {
			usable(t.Context(), t.home())
			return fmt.Errorf("feed %d is not fresh: %+v", id, t.tracker.Stats())
		}
		return nil
	})
	return id
}

// stale waits until the feed of a key is not fresh.
func (t *tracking) stale(key string) {
	t.Helper()
	until(t, func() error {
		if id, fresh := t.tracker.Feed(key); fresh {
			return fmt.Errorf("feed %d is fresh", id)
		}
		return nil
	})
}

// over waits until the Listener has heard that a feed has ended.
func (t *tracking) over(id redis.FeedID) {
	t.Helper()
	until(t, func() error {
		if t.heard.ends(id) == 0 {
			return fmt.Errorf("feed %d has not ended", id)
		}
		return nil
	})
}

// What was read is right, and every change of it is told: the entry's, and that of each of its
// tags, whether or not the reader knew the tags.
func TestTracker(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for _, lanes := range []int{1, 4} {
		s := track(startTracking(t, redistest.Start(t), redis.Options{Lanes: lanes}), redis.TrackerOptions{})
		other := start(t, s.server, redis.Options{Lanes: lanes})
		for i, hints := range [][]string{nil, {}, {"n:a"}, {"n:b", "n:a"}, {"n:c"}} {
			for name, revoke := range map[string]func(key, tag string) error{
				"Delete":         func(key, _ string) error { return other.Delete(t.Context(), key) },
				"InvalidateTags": func(_, tag string) error { return other.InvalidateTags(t.Context(), tag) },
				"Clear":          func(_, _ string) error { return other.Clear(t.Context()) },
				"Set": func(key, _ string) error {
					return other.Set(t.Context(), key, []byte("value of "+key), driver.SetOptions{TTL: time.Minute})
				},
				"PEXPIRE": func(key, _ string) error {
					_, err := s.server.Do(t.Context(), "PEXPIRE", entryKey(s, key), 1)
					return err
				},
			} {
				key, a, b := fmt.Sprint("n:k", name, i), fmt.Sprint("n:a", name, i), fmt.Sprint("n:b", name, i)
				s.set(key, time.Minute, a, b)
				expected := slices.Clone(hints)
				for at := range expected {
					expected[at] += fmt.Sprint(name, i)
				}
				var got redis.Tracked
				until(t, func() (err error) {
					if got, err = s.tracker.Get(t.Context(), key, expected); err == nil && got.Feed == 0 {
						usable(t.Context(), s.server)
						err = fmt.Errorf("may not be kept: %+v", s.tracker.Stats())
					}
					return err
				})
				if string(got.Value) != "value of "+key || !got.Found || got.TTL <= 0 || got.TTL > time.Minute || len(got.Tags) != 3 {
					t.Errorf("%q with hints %q: %+v", key, expected, got)
				}
				own := slices.DeleteFunc(s.tracker.TagsOf(a, b), func(tag string) bool { return !slices.Contains(got.Tags, tag) })
				if len(own) != 2 || !slices.ContainsFunc(s.tracker.Generations(), func(tag string) bool { return slices.Contains(got.Tags, tag) }) {
					t.Errorf("the tags %q are not those of the entry and its generation", got.Tags)
				}
				names := append([]string{"key " + key}, got.Tags...)
				before := s.heard.of(names...)
				s.must(revoke(key, b))
				until(t, func() error {
					if s.heard.of(names...) == before {
						return fmt.Errorf("with hints %q, nothing was heard of %s", expected, name)
					}
					return nil
				})
			}
		}
	}
}

// entryKey is the Redis key of an entry.
func entryKey(s *tracking, key string) string {
	keys, err := s.server.Do(s.Context(), "KEYS", "n:v:{*}:"+strings.TrimPrefix(key, "n:"))
	s.must(err)
	if all, _ := keys.([]any); len(all) == 1 {
		return all[0].(string)
	}
	s.Fatalf("the keys of %q are %v", key, keys)
	return ""
}

// A miss and a large value are not kept.
func TestTrackerKeepsNot(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := track(startTracking(t, redistest.Start(t), redis.Options{}), redis.TrackerOptions{MaxValueBytes: 100})
	s.set("n:k", time.Minute, "n:t")
	s.kept("n:k")
	for _, size := range []int{101, 10 << 10, 100 << 10} {
		value := strings.Repeat("v", size)
		s.must(s.Set(t.Context(), "n:large", []byte(value), driver.SetOptions{TTL: time.Minute}))
		if got, err := s.tracker.Get(t.Context(), "n:large", nil); err != nil || !got.Found || string(got.Value) != value || got.Feed != 0 {
			t.Errorf("%d bytes: %t, feed %d, %v", size, got.Found, got.Feed, err)
		}
	}
	s.must(s.InvalidateTags(t.Context(), "n:t"))
	for _, key := range []string{"n:k", "n:none"} {
		if got, err := s.tracker.Get(t.Context(), key, []string{"n:t"}); err != nil || got.Found || got.Feed != 0 {
			t.Errorf("%q: %+v, %v", key, got, err)
		}
	}
}

// Feed takes no lock and allocates nothing.
func TestTrackerFeedAllocatesNothing(t *testing.T) {
	redistest.Require(t)
	s := track(startTracking(t, redistest.Start(t), redis.Options{Lanes: 4}), redis.TrackerOptions{})
	s.fresh("n:k")
	if n := testing.AllocsPerRun(1000, func() { s.tracker.Feed("n:k") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// While nobody asks there are no heartbeats. The first one who asks then goes to Redis.
func TestTrackerIdles(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := track(startTracking(t, redistest.Start(t), redis.Options{}), redis.TrackerOptions{Lag: 300 * time.Millisecond})
	s.set("n:k", time.Minute)
	s.kept("n:k")
	var last uint64
	quiet := 0
	until(t, func() error { // 20 ms each; heartbeats would come every 100 ms
		if n := s.tracker.Stats().Heartbeats; n != last {
			last, quiet = n, 0
		}
		if quiet++; quiet < 50 {
			return fmt.Errorf("%d heartbeats", last)
		}
		return nil
	})
	if _, fresh := s.tracker.Feed("n:k"); fresh {
		t.Error("fresh without heartbeats")
	}
	s.fresh("n:k")
	s.kept("n:k")
}

// Close tells of the end of each feed, once.
func TestTrackerClose(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := track(startTracking(t, redistest.Start(t), redis.Options{}), redis.TrackerOptions{})
	s.set("n:k", time.Minute)
	id := s.kept("n:k").Feed
	s.must(s.tracker.Close(t.Context()))
	if n := s.heard.ends(id); n != 1 {
		t.Errorf("the end of the feed was told %d times", n)
	}
	if _, fresh := s.tracker.Feed("n:k"); fresh {
		t.Error("fresh after Close")
	}
	s.notKept("n:k")
}

// What cannot be tracked is refused with an error that says why.
func TestTrackerRefuses(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	s := start(t, server, redis.Options{})
	var option *driver.OptionError
	for _, options := range []redis.TrackerOptions{{}, {Lag: time.Millisecond}, {Lag: time.Second, MaxReads: 10_000}} {
		if _, err := s.Track(newHeard(), options); !errors.As(err, &option) {
			t.Errorf("%+v: %v", options, err)
		}
	}
	uninitialised := on(redis.Options{Addresses: server.Addrs()})(t).(*redis.Strategy)
	if _, err := uninitialised.Track(newHeard(), redis.TrackerOptions{Lag: time.Second}); !errors.Is(err, driver.ErrClosed) {
		t.Errorf("before Init: %v", err)
	}
	client, err := newLentClient(server.Addr(), func() (string, string, time.Time, error) { return "", "", time.Now().Add(time.Hour), nil })
	s.must(err)
	defer client.Close()
	lent := on(redis.Options{})(t).(*redis.Strategy)
	s.must(lent.Init(t.Context(), lending(t, client)))
	defer func() { s.must(lent.Destroy(context.Background())) }()
	if _, err := lent.Track(newHeard(), redis.TrackerOptions{Lag: time.Second}); !errors.Is(err, redis.ErrLentClient) {
		t.Errorf("a lent client: %v", err)
	}
}
