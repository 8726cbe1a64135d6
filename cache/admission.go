package cache

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// admissionPatience is how long a load waits for a place. Otherwise a caller without a deadline
// would wait for ever behind loaders that hang.
const admissionPatience = 10 * time.Second

// admission has a number of places. Whoever finds none waits; places are given away in the order in
// which the callers came. The zero value has no places.
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

// loaders are the places of the loaders of one kind.
type loaders struct {
	outage  admission // because the strategy fails
	refresh admission // in the background
}

// admissions are the places of all loaders of a Service. The loaders of caches with Policy.Reserved
// have places that the others cannot take.
type admissions struct {
	ordinary, reserved loaders
	counters           *counters
}

func newAdmissions(places int, counters *counters) *admissions {
	a := &admissions{counters: counters}
	for _, l := range []*loaders{&a.ordinary, &a.reserved} {
		l.outage.free, l.refresh.free = places, places
	}
	return a
}

func (a *admissions) of(reserved bool) *loaders {
	if reserved {
		return &a.reserved
	}
	return &a.ordinary
}

// placeKey finds in the context of a loader the place that it has.
type placeKey struct{ of *admissions }

type place struct{ left atomic.Bool }

// admit waits until one more loader may run while the strategy fails. The loader runs with the
// context that admit returns. leave makes room for the next one.
func (a *admissions) admit(ctx context.Context, places *admission) (within context.Context, leave func(), err error) {
	if outer, ok := ctx.Value(placeKey{a}).(*place); ok && !outer.left.Load() {
		// Loads within loads would wait for places that only they could give back.
		return ctx, func() {}, nil
	}
	patient, cancel := context.WithTimeout(ctx, admissionPatience)
	defer cancel()
	waited, err := places.enter(patient)
	if waited {
		a.counters.waitedLoads.Add(1)
	}
	if err == nil {
		taken := new(place)
		return context.WithValue(ctx, placeKey{a}, taken), func() { taken.left.Store(true); places.leave() }, nil
	}
	a.counters.rejectedLoads.Add(1)
	if ctx.Err() == nil {
		err = fmt.Errorf("%w: max_concurrent_loads loaders were running for %v", ErrOverloaded, admissionPatience)
	}
	return nil, nil, err
}
