package cache

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// admissionPatience is how long a load waits for a place at the most: a caller without a deadline would
// wait for ever behind loaders that hang.
const admissionPatience = 10 * time.Second

// admission lets so many in at a time; the others wait in the order in which they came. The zero value
// lets nobody in.
type admission struct {
	mu      sync.Mutex
	free    int
	waiting list.List // of chan struct{}, closed with a place
}

// tryEnter takes a place if one is free.
func (a *admission) tryEnter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.free == 0 {
		return false
	}
	a.free--
	return true
}

// enter waits for a place until ctx ends. waited says that there was none at first.
func (a *admission) enter(ctx context.Context) (waited bool, err error) {
	a.mu.Lock()
	if a.free > 0 {
		a.free--
		a.mu.Unlock()
		return false, nil
	}
	admitted := make(chan struct{})
	e := a.waiting.PushBack(admitted)
	a.mu.Unlock()
	select {
	case <-admitted:
		return true, nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-admitted: // meanwhile
		return true, nil
	default:
		a.waiting.Remove(e)
		return true, ctx.Err()
	}
}

// leave gives a place back, or to whoever has waited for one for the longest.
func (a *admission) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.waiting.Front(); e != nil {
		close(a.waiting.Remove(e).(chan struct{}))
		return
	}
	a.free++
}

// loaders are the places of the loaders of one kind: those of caches with Policy.Reserved, or those of the
// others, which cannot take the places of the former.
type loaders struct {
	outage  admission // because the strategy fails
	refresh admission // in the background
}

// loadersOf returns the places that the loaders of a cache may take.
func (s *Service) loadersOf(reserved bool) *loaders {
	if reserved {
		return &s.reserved
	}
	return &s.ordinary
}

// placeKey finds in the context of a loader the place that it has in a Service.
type placeKey struct{ service *Service }

type place struct{ left atomic.Bool }

// admit waits until one more loader may run while the strategy fails, with the context that it returns.
// leave makes room for the next.
func (s *Service) admit(ctx context.Context, places *admission) (within context.Context, leave func(), err error) {
	if outer, ok := ctx.Value(placeKey{s}).(*place); ok && !outer.left.Load() {
		// Loads within loads would wait for places that only they could give back.
		return ctx, func() {}, nil
	}
	patient, cancel := context.WithTimeout(ctx, admissionPatience)
	defer cancel()
	waited, err := places.enter(patient)
	if waited {
		s.counters.waitedLoads.Add(1)
	}
	if err == nil {
		taken := new(place)
		return context.WithValue(ctx, placeKey{s}, taken), func() { taken.left.Store(true); places.leave() }, nil
	}
	s.counters.rejectedLoads.Add(1)
	if ctx.Err() == nil {
		err = fmt.Errorf("%w: max_concurrent_loads loaders were running for %v", ErrOverloaded, admissionPatience)
	}
	return nil, nil, s.fail("load", err)
}
