package cache

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// admissionPatience is how long a load waits for a place. Without it, a caller that has no deadline
// would wait for ever behind loaders that hang.
const admissionPatience = 10 * time.Second

// admission is a semaphore with a number of places. A caller that finds none free waits. Places go
// to waiting callers in the order in which they came. The zero value has no places.
type admission struct {
	mu      sync.Mutex
	free    int
	waiting list.List // of chan struct{}, closed with a place
}

// tryEnter takes a place if one is free.
func (a *admission) tryEnter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.free <= 0 {
		return false
	}
	a.free--
	return true
}

// enter takes a place, and waits for one until ctx ends. waited reports whether it had to wait.
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
	case <-admitted: // leave was quicker than ctx's end
		return true, nil
	default:
		a.waiting.Remove(e)
		return true, ctx.Err()
	}
}

// leave gives a place to the caller that has waited longest. If nobody waits, the place is free.
func (a *admission) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.waiting.Front(); e != nil && a.free >= 0 {
		close(a.waiting.Remove(e).(chan struct{}))
		return
	}
	a.free++
}

// resize changes the number of places by some. Places that are taken stay taken, so free may be
// below zero for a while.
func (a *admission) resize(by int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.free += by; a.free > 0 && a.waiting.Len() > 0; a.free-- {
		close(a.waiting.Remove(a.waiting.Front()).(chan struct{}))
	}
}

// loaders holds the places for the loaders of one kind: those of reserved caches, or all others.
type loaders struct {
	outage  admission // for loads that run because the strategy fails
	refresh admission // for loads in the background
}

// admissions holds the places for all loaders of a Service. The loaders of caches with
// Policy.Reserved have places that the others cannot take.
type admissions struct {
	ordinary, reserved loaders
	counters           *counters
	places             int // of each kind; changed by one goroutine at a time
}

func newAdmissions(places int, counters *counters) *admissions {
	a := &admissions{counters: counters, places: places}
	for _, l := range []*loaders{&a.ordinary, &a.reserved} {
		l.outage.free, l.refresh.free = places, places
	}
	return a
}

// resize changes the number of places of each kind.
func (a *admissions) resize(places int) {
	for _, l := range []*loaders{&a.ordinary, &a.reserved} {
		l.outage.resize(places - a.places)
		l.refresh.resize(places - a.places)
	}
	a.places = places
}

func (a *admissions) of(reserved bool) *loaders {
	if reserved {
		return &a.reserved
	}
	return &a.ordinary
}

// placeKey is the context key of the place that a running loader has.
type placeKey struct{ of *admissions }

type place struct{ left atomic.Bool }

// admit waits until one more loader may run while the strategy fails. The loader must run with the
// context that admit returns. leave gives its place back. A loader that runs within another one
// needs no place of its own. The error is that of ctx, or ErrOverloaded.
func (a *admissions) admit(ctx context.Context, places *admission) (within context.Context, leave func(), err error) {
	if outer, ok := ctx.Value(placeKey{a}).(*place); ok && !outer.left.Load() {
		// All places could be held by loads that wait for a place for a load within them.
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
