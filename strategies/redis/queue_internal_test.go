package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// crowded is a bulkhead of one place, which is taken, and so many who wait for it, each a
// millisecond after the other, with so much time. order is that in which they get it; each gives it
// back at once.
func crowded(t *testing.T, waiters int, patience time.Duration) (g *bulkhead, order func() []int) {
	g = &bulkhead{places: 1}
	g.room.Store(1)
	if err := g.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []int
	var done sync.WaitGroup
	for i := range waiters {
		done.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := g.enter(ctx)
			if err == nil {
				mu.Lock()
				all = append(all, i)
				mu.Unlock()
				g.leave()
			} else if !errors.Is(err, driver.ErrOverloaded) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who got no place: %v", err)
			}
		})
		<-time.After(time.Millisecond)
	}
	return g, func() []int {
		done.Wait()
		if n, w := g.inside.Load(), g.queue.waiting.Load(); n != 0 || w != 0 || g.queue.all.Len() != 0 {
			t.Errorf("%d are inside, %d wait, %d are in the queue", n, w, g.queue.all.Len())
		}
		return all
	}
}

// Those who wait for a place get it in their order, while they have more than half of their time
// left; beyond that the last one comes first, who still has time.
func TestQueueOrder(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		after time.Duration
		want  []int
	}{
		{0, []int{0, 1, 2, 3}},
		// Half of the time of the first three is over: the last one, and then the next to last.
		{49 * time.Millisecond, []int{3, 2, 1, 0}},
		{time.Second, nil},
		// Places were taken away.
		{-1, []int{3, 2, 1, 0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, order := crowded(t, 4, 100*time.Millisecond)
			if test.after < 0 {
				g.places = 2
			}
			<-time.After(test.after)
			g.leave()
			if got := order(); !slices.Equal(got, test.want) {
				t.Errorf("after %v: %v, want %v", test.after, got, test.want)
			}
		})
	}
}

// A place that is given back while one who waits gives up is lost to nobody.
func TestQueueLosesNoPlace(t *testing.T) {
	t.Parallel()
	g := &bulkhead{places: 3}
	g.room.Store(3)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for n := range 2000 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration((i+n)%4)*20*time.Microsecond)
				if g.enter(ctx) == nil {
					if n := g.inside.Load(); n > 3 {
						t.Errorf("%d are inside", n)
					}
					g.leave()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if n, w := g.inside.Load(), g.queue.waiting.Load(); n != 0 || w != 0 || g.queue.all.Len() != 0 {
		t.Errorf("%d are inside, %d wait, %d are in the queue", n, w, g.queue.all.Len())
	}
}

// An operation that gets no answer halves the room, those beside it do not halve it again, and each
// answer makes room for one more.
func TestRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := bare(t)
		g := &b.lanes[0]
		full := g.places
		g.room.Store(full)
		want := func(what string, room int64) {
			t.Helper()
			if got := g.room.Load(); got != room {
				t.Errorf("%s: room for %d, want %d", what, got, room)
			}
		}
		began := time.Now()
		<-time.After(minSilence)
		for range 2 {
			b.record(0, context.DeadlineExceeded, began)
			b.record(0, nil, began)
			<-time.After(time.Millisecond)
		}
		want("after operations that began together", full/2+2)
		began = time.Now()
		<-time.After(minSilence)
		b.record(0, context.DeadlineExceeded, began)
		want("after one that began later", (full/2+2)/2)
		for range full {
			b.record(0, nil, began)
		}
		want("after answers", full)
		for range 100 {
			began := time.Now()
			<-time.After(minSilence)
			b.record(0, context.DeadlineExceeded, began)
		}
		want("at the least", minPlaces)
		g.trust()
		want("after a suspicion", full/8)
	})
}

// Where many operations are under way, their silences must go on for a timeout to make a suspicion,
// or be so many that what they have left behind could fill the connections.
func TestSuspicionScales(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		inside  int64
		spread  time.Duration // between two silences
		silence int64         // so many make a suspicion
	}{
		{1, 0, maxUnanswered}, {12, 0, maxUnanswered}, {200, 0, 56}, {200, 30 * time.Millisecond, 3}, {200, 10 * time.Millisecond, 6},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := bare(t)
			b.client.timeout = 50 * time.Millisecond
			g := &b.lanes[0]
			g.inside.Store(test.inside)
			for n := int64(1); n <= test.silence; n++ {
				if g.suspect.Load() != nil {
					t.Fatalf("%+v: suspect after %d", test, n-1)
				}
				if n > 1 {
					<-time.After(test.spread)
				}
				b.record(0, context.DeadlineExceeded, time.Now().Add(-b.client.timeout))
			}
			if g.suspect.Load() == nil {
				t.Errorf("%+v: not suspect", test)
			}
		})
	}
}

// A suspicion that ends when half of an operation's time is over comes too late for it.
func TestSuspicionEndsTooLate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		after time.Duration
		want  error
	}{{20 * time.Millisecond, nil}, {30 * time.Millisecond, driver.ErrOverloaded}} {
		synctest.Test(t, func(t *testing.T) {
			b := bare(t)
			b.suspect(0)
			time.AfterFunc(test.after, b.lanes[0].trust)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := b.lanes[0].enter(ctx); !errors.Is(err, test.want) {
				t.Errorf("after %v: %v", test.after, err)
			}
		})
	}
}

// Those who left others behind, who wait for the same reply, are no evidence: there is one command
// for all.
func TestOthersTell(t *testing.T) {
	t.Parallel()
	b := bare(t)
	for range 1000 {
		b.record(0, &leftOthersError{context.DeadlineExceeded}, time.Now().Add(-minSilence))
	}
	if g, before := &b.lanes[0], bare(t).lanes[0].room.Load(); g.suspect.Load() != nil || g.room.Load() != before {
		t.Errorf("suspect %t, room for %d, and %d before", g.suspect.Load() != nil, g.room.Load(), before)
	}
}

// A read that joins another one's command takes no place while it waits, and when it leaves before
// the others it says so.
func TestNoPlaceForAReadWithoutCommand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, g := new(coalescer), &bulkhead{places: 2}
		g.room.Store(2)
		first := r.join(ctx, []string{"a"})
		g.inside.Store(2) // the first one, and the one that follows
		left := make(chan error)
		go func() {
			left <- r.mget(ctx, nil, g, []string{"b"}).err
		}()
		synctest.Wait()
		if n := g.inside.Load(); n != 1 {
			t.Errorf("%d places are taken by one command", n)
		}
		var others *leftOthersError
		if err := <-left; !errors.As(err, &others) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
		if n := g.inside.Load(); n != 2 {
			t.Errorf("%d are inside when both end", n)
		}
		r.seal(first.sharedRead)
	})
}
