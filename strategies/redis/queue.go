package redis

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// queue holds the operations that wait for a place in a bulkhead.
type queue struct {
	waiting atomic.Int64 // how many
	mu      sync.Mutex
	all     list.List // of *waiter, the oldest in front
}

type waiter struct {
	came, deadline time.Time
	admitted       chan struct{}
}

// wait returns nil with a place.
func (b *bulkhead) wait(ctx context.Context) error {
	w := &waiter{came: time.Now(), admitted: make(chan struct{})}
	w.deadline, _ = ctx.Deadline()
	b.queue.mu.Lock()
	// Before the last attempt: whoever leaves after it then sees that somebody waits.
	b.queue.waiting.Add(1)
	if b.take() {
		b.queue.waiting.Add(-1)
		b.queue.mu.Unlock()
		return nil
	}
	e := b.queue.all.PushBack(w)
	b.queue.mu.Unlock()
	select {
	case <-w.admitted:
		return nil
	case <-ctx.Done():
	}
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	select {
	case <-w.admitted: // meanwhile
		return nil
	default:
		b.queue.waiting.Add(-1)
		b.queue.all.Remove(e)
		return fmt.Errorf("%w: %w", driver.ErrOverloaded, ctx.Err())
	}
}

// pass gives free places to those who wait. Normally the oldest comes first. But if half of its
// time has passed, or room is smaller than places, more operations wait than can be served. The
// oldest would then have no time left for its answer, so the newest comes first.
func (b *bulkhead) pass() {
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	for b.queue.all.Len() > 0 && b.take() {
		e := b.queue.all.Front()
		if w := e.Value.(*waiter); time.Since(w.came) > w.deadline.Sub(w.came)/2 || b.room.Load() < b.places {
			e = b.queue.all.Back()
		}
		b.queue.all.Remove(e)
		b.queue.waiting.Add(-1)
		close(e.Value.(*waiter).admitted)
	}
}
