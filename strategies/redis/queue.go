package redis

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// queue are those who wait for a place of a gate.
type queue struct {
	waiting atomic.Int64 // how many
	mu      sync.Mutex
	all     list.List // of *waiter, the one who came first in front
}

type waiter struct {
	came, deadline time.Time
	admitted       chan struct{}
}

// wait returns nil with a place.
func (g *bulkhead) wait(ctx context.Context) error {
	w := &waiter{came: time.Now(), admitted: make(chan struct{})}
	w.deadline, _ = ctx.Deadline()
	g.queue.mu.Lock()
	g.queue.waiting.Add(1) // before the last look: who leaves after it sees to those who wait
	if g.take() {
		g.queue.waiting.Add(-1)
		g.queue.mu.Unlock()
		return nil
	}
	e := g.queue.all.PushBack(w)
	g.queue.mu.Unlock()
	select {
	case <-w.admitted:
		return nil
	case <-ctx.Done():
	}
	g.queue.mu.Lock()
	defer g.queue.mu.Unlock()
	select {
	case <-w.admitted: // meanwhile
		return nil
	default:
		g.queue.waiting.Add(-1)
		g.queue.all.Remove(e)
		return fmt.Errorf("%w: %w", cache.ErrOverloaded, ctx.Err())
	}
}

// pass gives places to those who wait: to the one who came first, unless half of its time is over, or places
// were taken away because there were no answers in time. Then there are more than can be served, and
// whoever came first has no time left to be answered in: the last one is better off.
func (g *bulkhead) pass() {
	g.queue.mu.Lock()
	defer g.queue.mu.Unlock()
	for g.queue.all.Len() > 0 && g.take() {
		e := g.queue.all.Front()
		if w := e.Value.(*waiter); time.Since(w.came) > w.deadline.Sub(w.came)/2 || g.room.Load() < g.places {
			e = g.queue.all.Back()
		}
		g.queue.all.Remove(e)
		g.queue.waiting.Add(-1)
		close(e.Value.(*waiter).admitted)
	}
}
