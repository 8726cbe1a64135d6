package tiered

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/redis"
)

// world is a Redis and nodes with copies of it, whose steps a random schedule orders. Each entry is
// a number that only rises: a revocation raises it, and a read that starts after the revocation has
// returned must find that number or a higher one. All runs in one goroutine. Where a node waits or
// may be stopped, other steps come in between.
type world struct {
	random  *rand.Rand
	now     time.Duration
	lag     time.Duration
	entries [2]int // what Redis holds
	nodes   []*fakeTracker
	under   []revocation // not returned yet
	revoked [2]int       // what each read that starts now must find at least
	depth   int          // of steps within steps
	stale   int
	hits    int
	trace   []string
}

type revocation struct {
	entry, number int
	returns       time.Duration
}

// fakeTracker is a redis.Tracker of one node, and the connection to it: what Redis sends comes in
// order, whenever the schedule says so.
type fakeTracker struct {
	*world

	copies  *copies
	id      redis.FeedID
	queue   []func()      // what Redis has sent on the feed, and the node has not received
	tracked [2]bool       // Redis reports the next change
	sent    time.Duration // when the newest answered heartbeat was sent
	late    []redis.FeedID
}

func name(entry int) string { return "shop:" + strconv.Itoa(entry) }
func tag(entry int) string  { return "shop:t:{0}:" + strconv.Itoa(entry) }

func (f *fakeTracker) TagsOf(tags ...string) []string { return tags }
func (f *fakeTracker) Stats() redis.TrackerStats      { return redis.TrackerStats{} }
func (f *fakeTracker) Close(context.Context) error    { return nil }

// Feed is the check. The node may be stopped before and after it.
func (f *fakeTracker) Feed(string) (redis.FeedID, bool) {
	f.steps()
	id, fresh := f.id, f.now-f.sent < f.lag
	f.steps()
	return id, fresh
}

// Get is a tracked read: Redis executes it, and the answer arrives behind all that was sent before.
func (f *fakeTracker) Get(_ context.Context, key string, _ []string) (redis.Tracked, error) {
	f.steps()
	entry, _ := strconv.Atoi(key[len("shop:"):])
	number, id, answered := f.entries[entry], f.id, false
	f.tracked[entry] = true
	f.queue = append(f.queue, func() { answered = true })
	for range 1000 {
		if answered || f.id != id {
			break
		}
		f.step()
	}
	if !answered {
		return redis.Tracked{}, driver.ErrUnavailable
	}
	f.steps()
	return redis.Tracked{Value: []byte(strconv.Itoa(number)), Found: true, TTL: time.Hour, Tags: []string{tag(entry)}, Feed: id}, nil
}

// steps are those that come in between.
func (w *world) steps() {
	for range w.random.IntN(4) {
		w.step()
	}
}

// step is one step of somebody.
func (w *world) step() {
	node := w.nodes[w.random.IntN(len(w.nodes))]
	entry := w.random.IntN(len(w.entries))
	switch w.random.IntN(16) {
	case 0, 1: // a revocation of the key, or of its tag
		w.entries[entry]++
		byTag := w.random.IntN(2) == 0
		w.note("revoke %d, by tag %t", entry, byTag)
		for _, n := range w.nodes {
			if !n.tracked[entry] {
				continue
			}
			n.tracked[entry] = false
			if byTag {
				n.queue = append(n.queue, func() { n.copies.TagChanged(tag(entry)) })
			} else {
				n.queue = append(n.queue, func() { n.copies.KeyChanged(name(entry)) })
			}
		}
		w.under = append(w.under, revocation{entry, w.entries[entry], w.now + w.lag*11/10})
	case 2, 3, 4, 5: // the node receives what comes next
		if len(node.queue) > 0 {
			next := node.queue[0]
			node.queue = node.queue[1:]
			w.note("deliver")
			next()
		}
	case 6, 7, 8: // a heartbeat is sent, and Redis answers it
		sent, id := w.now, node.id
		w.note("beat at %d", sent)
		node.queue = append(node.queue, func() {
			if node.id == id {
				node.sent = max(node.sent, sent)
			}
		})
	case 9: // the connection is lost, and there is another one before the loss is reported
		w.note("feed lost")
		node.late = append(node.late, node.id)
		node.id, node.queue, node.tracked, node.sent = redis.FeedID(w.random.Uint64()|1), nil, [2]bool{}, -w.lag
	case 10:
		for _, id := range node.late {
			node.copies.FeedEnded(id)
		}
		node.late = nil
	case 11, 12: // somebody reads
		if w.depth < 2 {
			w.read(node, entry)
		}
	default:
		w.advance(time.Duration(w.random.Int64N(int64(w.lag) / 2)))
	}
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// advance lets time pass, and revocations return.
func (w *world) advance(d time.Duration) {
	w.now += d
	var left []revocation
	for _, r := range w.under {
		if r.returns <= w.now {
			w.revoked[r.entry] = max(w.revoked[r.entry], r.number)
		} else {
			left = append(left, r)
		}
	}
	w.under = left
}

// read is a Get of a node.
func (w *world) read(node *fakeTracker, entry int) {
	w.depth++
	defer func() { w.depth-- }()
	want := w.revoked[entry]
	w.note("read %d, want %d", entry, want)
	value, found := node.copies.get(name(entry))
	if found {
		w.hits++
	} else if lease := node.copies.lease(context.Background(), name(entry), driver.CopyOptions{}); lease != nil {
		r := node.copies.read(context.Background(), lease, nil, driver.CopyOptions{})
		value, found = r.Value, r.Found
	}
	if !found {
		return
	}
	if got, _ := strconv.Atoi(string(value)); got < want {
		w.note("STALE: %d, want %d", got, want)
		w.stale++
	}
}

// In 10,000 random schedules no read that starts after a revocation has returned finds what was
// revoked: whatever stops nodes wherever they may be stopped, however late reports arrive, and
// whenever connections are lost.
func TestSchedules(t *testing.T) {
	t.Parallel()
	nodes := make([]*copies, 3)
	for i := range nodes {
		store, err := bigcache.New(bigcache.Options{MaxSize: 2 * driver.MiB, LeaseTTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		in := drivertest.NewInjector(t, cache.Options{Namespace: "shop", MaxValueBytes: driver.KiB, MaxKeyBytes: 64, MaxTags: 4, Logger: slog.New(slog.DiscardHandler)})
		if nodes[i], err = newCopies(t.Context(), store, time.Hour, in); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Destroy(context.Background()) })
	}
	hits := 0
	for seed := range uint64(10_000) {
		w := &world{random: rand.New(rand.NewPCG(seed, 1)), lag: 24 * time.Millisecond}
		for _, c := range nodes {
			c.clear()
			f := &fakeTracker{world: w, copies: c, id: redis.FeedID(w.random.Uint64() | 1), sent: -w.lag}
			c.tracker = f
			w.nodes = append(w.nodes, f)
		}
		for range 150 {
			w.step()
		}
		if hits += w.hits; w.stale > 0 {
			t.Fatalf("seed %d: %d stale reads:\n%q", seed, w.stale, w.trace)
		}
	}
	if hits < 10_000 {
		t.Errorf("only %d reads were served from copies", hits)
	}
}
