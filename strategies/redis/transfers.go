package redis

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// minInFlight and maxInFlight bound how many bytes may be transferred at the same time. A body
	// that is larger by itself is transferred alone.
	minInFlight = 64 << 10
	maxInFlight = 16 << 20
)

// errAbandoned is what the transfer of a body ends with if nobody waits for it any longer.
var errAbandoned = errors.New("nobody waits for it")

// transfers limits how many bytes are transferred at the same time. It learns the limit from how
// long transfers take: on a slow link there is one body at a time, so that others find a gap, and
// on a fast link as many as there are.
type transfers struct {
	timeout time.Duration // of an operation

	mu       sync.Mutex
	room     int64 // how many bytes may be under way
	underway int64
	queue    []chan struct{} // those who wait for room, in their order; closed when there may be some
}

// enter waits until there is room for size bytes. It gives up when wanted or life ends.
func (t *transfers) enter(life, wanted context.Context, size int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.underway > 0 && t.underway+size > t.room {
		turn := make(chan struct{})
		t.queue = append(t.queue, turn)
		t.mu.Unlock()
		select {
		case <-turn:
		case <-wanted.Done():
		case <-life.Done():
		}
		t.mu.Lock()
		if wanted.Err() != nil || life.Err() != nil {
			t.forget(turn)
			return errAbandoned
		}
	}
	t.underway += size
	t.next()
	return nil
}

// forget removes from the queue one that no longer waits. If it was its turn, the turn passes on.
func (t *transfers) forget(turn chan struct{}) {
	for i, waiting := range t.queue {
		if waiting == turn {
			t.queue = append(t.queue[:i], t.queue[i+1:]...)
			return
		}
	}
	t.next()
}

// next lets the one that has waited longest look for room.
func (t *transfers) next() {
	if len(t.queue) > 0 {
		close(t.queue[0])
		t.queue = t.queue[1:]
	}
}

// leave gives the room back, and adapts the limit to the time that the transfer took.
func (t *transfers) leave(size int64, took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.underway -= size
	switch {
	case err != nil || took > t.timeout/2:
		t.room = max(minInFlight, t.room/2)
	case took < t.timeout/4:
		t.room = min(maxInFlight, t.room+size)
	}
	t.next()
}
