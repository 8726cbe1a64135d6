package redis

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
)

// told is a Listener that writes down what it hears.
type told []string

func (l *told) KeyChanged(key string) { *l = append(*l, "key "+key) }
func (l *told) TagChanged(tag string) { *l = append(*l, "tag "+tag) }
func (l *told) FeedEnded(FeedID)      { *l = append(*l, "end") }

// unconnected returns a Tracker without connections, and a feed that it has.
func unconnected(t *testing.T, lanes int) (*Tracker, *feed, *told) {
	t.Helper()
	l := new(told)
	tracker := &Tracker{
		background: newBackground(), listener: l, lanes: make([]atomic.Pointer[feed], lanes),
		options: TrackerOptions{Lag: time.Second, MaxReads: maxReads},
		store:   &store{client: newClient(rueidis.ClientOption{}, time.Second, nil), keys: newKeyspace("n:", lanes)},
	}
	tracker.used.Store(true)
	f := &feed{tracker: tracker, id: 1, ended: make(chan struct{}), heard: make(chan struct{})}
	f.announced.Store(true)
	f.room.Store(minRoom)
	for lane := range tracker.lanes {
		tracker.lanes[lane].Store(f)
	}
	return tracker, f, l
}

// A feed is fresh for the agreed lag after the last heartbeat was sent, by both clocks. Machines
// that were suspended, and processes that stood still, come back to a feed that is not.
func TestTrackerFresh(t *testing.T) {
	t.Parallel()
	const lag = time.Hour
	ago := func(steady, wall time.Duration) instant {
		at := now()
		return instant{at.steady - steady, at.wall - int64(wall)}
	}
	second := ago(time.Second, time.Second)
	for name, test := range map[string]struct {
		answered, agreed *heartbeat
		with             func(*Tracker, *feed)
		fresh            bool
	}{
		"just answered":             {&heartbeat{sent: second}, &heartbeat{sent: second, lag: lag}, nil, true},
		"never answered":            {nil, &heartbeat{sent: second, lag: lag}, nil, false},
		"fingerprint never read":    {&heartbeat{sent: second}, nil, nil, false},
		"no lag is agreed":          {&heartbeat{sent: second}, &heartbeat{sent: second}, nil, false},
		"long ago":                  {&heartbeat{sent: ago(2*lag, 2*lag)}, &heartbeat{sent: second, lag: lag}, nil, false},
		"fingerprint read long ago": {&heartbeat{sent: second}, &heartbeat{sent: ago(2*lag, 2*lag), lag: lag}, nil, false},
		"exactly a lag ago":         {&heartbeat{sent: ago(lag, lag)}, &heartbeat{sent: second, lag: lag}, nil, false},
		"only the wall clock ran":   {&heartbeat{sent: ago(time.Second, 2*lag)}, &heartbeat{sent: second, lag: lag}, nil, false},
		"only the other clock ran":  {&heartbeat{sent: ago(2*lag, time.Second)}, &heartbeat{sent: second, lag: lag}, nil, false},
		"wall clock set back":       {&heartbeat{sent: ago(time.Second, -2*lag)}, &heartbeat{sent: second, lag: lag}, nil, true},
		"the feed is over": {
			&heartbeat{sent: second}, &heartbeat{sent: second, lag: lag}, func(_ *Tracker, f *feed) { f.over.Store(true) }, false,
		},
		"hits are withheld": {
			&heartbeat{sent: second}, &heartbeat{sent: second, lag: lag},
			func(tracker *Tracker, _ *feed) { tracker.store.client.failover.withheld.Store(newSuspicion()) }, false,
		},
	} {
		tracker, f, _ := unconnected(t, 1)
		f.answered.Store(test.answered)
		tracker.agreed.Store(test.agreed)
		if test.with != nil {
			test.with(tracker, f)
		}
		if id, fresh := tracker.Feed("n:k"); id != 1 || fresh != test.fresh {
			t.Errorf("%s: feed %d is fresh: %t", name, id, fresh)
		}
	}
}

// An answer that is taken late does not make a feed fresh for less long.
func TestTrackerLateAnswer(t *testing.T) {
	t.Parallel()
	var last atomic.Pointer[heartbeat]
	older, newer := &heartbeat{sent: instant{steady: 1}}, &heartbeat{sent: instant{steady: 2}}
	raise(&last, newer)
	raise(&last, older)
	if last.Load() != newer {
		t.Error("the older heartbeat has replaced the newer one")
	}
}

// What a message says reaches the Listener, in its order. One that says everything, or what nobody
// understands, ends the feed, and nothing follows.
func TestTrackerMessages(t *testing.T) {
	t.Parallel()
	for name, ending := range map[string][]rueidis.RedisMessage{
		"everything": nil, "not a string": {{}},
	} {
		_, f, l := unconnected(t, 2)
		key := f.tracker.store.keys.of("n:k")
		f.tell(key.value())
		f.tell(key.lane.nonceOf("t"))
		f.tell(key.lane.nonceOf(generation))
		f.hear(ending)
		if !f.over.Load() {
			t.Errorf("%s: the feed has not ended", name)
		}
		f.hear(nil)
		want := []string{"key n:k", "tag " + key.lane.nonceOf("t"), "tag " + key.lane.nonceOf(generation), "end"}
		if !slices.Equal(*l, want) || !f.over.Load() {
			t.Errorf("%s: the Listener has heard %q, want %q", name, *l, want)
		}
	}
	_, f, _ := unconnected(t, 2)
	for _, key := range []string{"", "n", "n:", "n:v:", "n:v:{", "n:v:{0}", "n:x:{0}:k", "m:v:{0}:k", "n:f:{0}:", "n2:v:{0}:k"} {
		if f.tell(key) {
			t.Errorf("%q is taken for a key of ours", key)
		}
	}
}

// The room for reads shrinks while heartbeats are late, and grows when they are not. Reads whose
// callers have left keep their places until a heartbeat that was sent later is answered.
func TestTrackerRoom(t *testing.T) {
	t.Parallel()
	tracker, f, _ := unconnected(t, 1)
	enter := func() (n int) {
		for n < 10*maxReads && f.enter() {
			n++
		}
		return n
	}
	if n := enter(); n != minRoom {
		t.Errorf("room for %d at first", n)
	}
	f.adapt(false)
	if n := enter(); n != moreRoom {
		t.Errorf("room for %d more", n)
	}
	for range 100 {
		f.adapt(false)
	}
	if n := enter(); n != maxReads-minRoom-moreRoom {
		t.Errorf("room for %d more at last", n)
	}
	f.adapt(true)
	for range maxReads / 2 {
		f.leave()
	}
	if n := enter(); n != 0 {
		t.Errorf("room for %d in spite of late heartbeats", n)
	}
	f.leave()
	if n := enter(); n != 1 {
		t.Errorf("room for %d after one has left", n)
	}
	for range 100 {
		f.adapt(true)
	}
	if f.room.Load() != minRoom {
		t.Errorf("room for %d at the least", f.room.Load())
	}
	tracker.agreed.Store(&heartbeat{sent: now(), lag: time.Hour})
	f.answered.Store(&heartbeat{sent: now()})
	tracker.store.reader = new(reader)
	if why := tracker.admit(f, "n:k"); why != notProven {
		t.Errorf("admitted before it has proved anything: %s", outcomeNames[why])
	}
	f.proven.Store(true)
	tracker.store.reader.slow.add("n:k")
	if why := tracker.admit(f, "n:k"); why != tooSlow {
		t.Errorf("admitted an entry that is too slow: %s", outcomeNames[why])
	}
	f.answered.Store(&heartbeat{})
	if why := tracker.admit(f, "n:other"); why != notFresh {
		t.Errorf("admitted while heartbeats are late: %s", outcomeNames[why])
	}
	if why := tracker.admit(nil, "n:k"); why != noFeed {
		t.Errorf("admitted without a feed: %s", outcomeNames[why])
	}
}

// A feed is dialled once: rueidis may make a second connection before it says that the first one
// was lost.
func TestTrackerDialsOnce(t *testing.T) {
	t.Parallel()
	_, f, _ := unconnected(t, 1)
	f.life, f.keeper = t.Context(), &keeper{address: "127.0.0.1:1"}
	if _, err := f.dial(t.Context()); err == nil || errors.Is(err, errFeedEnded) {
		t.Errorf("first: %v", err)
	}
	if _, err := f.dial(t.Context()); !errors.Is(err, errFeedEnded) {
		t.Errorf("second: %v", err)
	}
}

// hurried is a clock that is an hour later each time.
type hurried struct{ hours atomic.Int64 }

func (c *hurried) Now() time.Time { return time.Now().Add(time.Duration(c.hours.Add(1)-1) * time.Hour) }

// What was read over a feed that has ended since is not kept. What has expired since is not found.
func TestTrackerAfterTheReply(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	agreed := fmt.Sprintf(`{"format":%d,"lanes":1,"id":"abc","settled":true,"lag_ms":500,"usable_ms":500}`, format)
	if _, err := server.Do(t.Context(), "SET", "n:f:{0}:", agreed); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Addresses: server.Addrs()})
	if d, ok := any(s).(interface{ DeclareLag(lag time.Duration) error }); ok && err == nil {
		err = d.DeclareLag(500 * time.Millisecond)
	}
	if err == nil {
		err = s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: 2 * time.Second}))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Destroy(context.Background()) }()
	if err := s.Set(t.Context(), "n:k", []byte("v"), driver.SetOptions{TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	tracker, err := s.Track(new(told), TrackerOptions{Lag: minLag})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tracker.Close(context.Background()) }()
	var f *feed
	for f == nil || !f.proven.Load() {
		tracker.Feed("n:k")
		if f = tracker.lanes[0].Load(); t.Context().Err() != nil {
			t.Fatal("no feed")
		}
		runtime.Gosched()
	}
	k, ctx := tracker.store.keys.of("n:k"), t.Context()
	clock := tracker.store.reader.clock
	for name, want := range map[string]outcome{"as it is": tracked, "expired": missed, "ended": endedSince} {
		tracker.store.reader.clock = clock
		if want == missed {
			tracker.store.reader.clock = new(hurried)
		}
		f.over.Store(want == endedSince)
		f.inside.Add(1)
		result, why, err := f.read(ctx, "n:k", k, nil)
		if err != nil || why != want || (result.Feed != 0) != (want == tracked) || result.Found != (want != missed) {
			t.Errorf("%s: %+v, %q, %v", name, result, outcomeNames[why], err)
		}
	}
}
