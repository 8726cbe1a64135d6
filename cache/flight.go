package cache

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/chain"
)

// A flight loads one key for all who wait for it. Its rule makes single-flight safe beside
// invalidations: a caller may be given what was read after it came, or what was stored under a lease
// after it came, because nothing was invalidated until then. Anybody else is carried over to a next
// flight. So nobody who comes after an invalidation sees what was read before it.
type flight[T any] struct {
	key string
	// owner is the caller whose loader runs: the first one, or whoever is there when the load begins.
	owner *waiter[T]
	// unleased: the strategy failed, so that nothing will be stored.
	unleased bool
	// stale: there is an entry, but the policy says that it must be loaded again.
	stale bool
	// vacant: there was no entry when the lease was granted, so that there is none until it is used or void.
	vacant bool
	life   context.Context // of the Service
	cancel context.CancelFunc

	// Guarded by flights.mu.
	early   []*waiter[T] // came before the latest read of the flight began
	late    []*waiter[T] // came after
	waiting int          // how many of both are not gone
}

type waiter[T any] struct {
	ctx    context.Context
	load   func(context.Context) (T, error)
	result chan result[T] // buffered: delivering never blocks
	// nested: it came within another load or write, and there was a flight to wait for.
	nested bool

	// Guarded by flights.mu.
	flight *flight[T]
	gone   bool
}

// result is what a waiter gets. All but one receive the value encoded, to make a copy of their own.
type result[T any] struct {
	value  T
	sealed []byte
	err    error
}

// errLoadAlone goes to those who cannot be given a copy, because the value does not encode.
var errLoadAlone = errors.New("cache: load alone")

// flights are those of one Cache.
type flights[T any] struct {
	mu    sync.Mutex
	byKey map[string]*flight[T]
}

// join waits for the flight of a physical key, and starts one where there is none. A caller within another
// load or write waits for no longer than lock_wait for the load of somebody else, which may be waiting
// for this caller, and then runs its own.
func (c *Cache[T]) join(ctx context.Context, within *chain.Link, physical string, load func(context.Context) (T, error), unleased bool) (T, error) {
	w := &waiter[T]{ctx: ctx, load: load, result: make(chan result[T], 1)}
	c.flights.mu.Lock()
	f, running := c.flights.byKey[physical]
	if running = running && f.life.Err() == nil; running { // not one that Stop left behind
		f.late = append(f.late, w)
		f.waiting++
		w.flight, w.nested = f, within != nil
	} else {
		c.depart(physical, unleased, []*waiter[T]{w})
	}
	c.flights.mu.Unlock()
	if running {
		c.service.counters.sharedLoads.Add(1)
	}
	if !running {
		within = nil // its own load runs
	}
	over, stop := patience(within, c.service.options.LockWait)
	defer stop()
	for {
		select {
		case r := <-w.result:
			switch {
			case r.err == errLoadAlone: //nolint:errorlint // never wrapped
				return c.alone(ctx, chain.Load, physical, load)
			case r.sealed != nil:
				if value, _, err := c.decode(r.sealed); err == nil {
					return value, nil
				}
				return c.alone(ctx, chain.Load, physical, load) // it does not survive its own codec
			default:
				return r.value, r.err
			}
		case <-over:
			if c.giveUp(w) {
				c.service.counters.leaseTimeouts.Add(1)
				return c.alone(ctx, chain.LoadAfterWait, physical, load)
			}
			over = nil // its own load runs
		case <-ctx.Done():
			c.leave(w)
			var zero T
			return zero, c.service.fail("load", ctx.Err())
		}
	}
}

// depart starts a flight for waiters, of whom at least one is there. Callers hold flights.mu.
func (c *Cache[T]) depart(physical string, unleased bool, waiters []*waiter[T]) {
	first := waiters[0]
	f := &flight[T]{key: physical, owner: first, unleased: unleased, early: waiters, waiting: len(waiters)}
	for _, w := range waiters {
		w.flight = f
	}
	life, cancel, ok := c.service.loads.start(outsideScope(first.ctx), func(ctx context.Context) { c.fly(ctx, f) })
	if !ok {
		for _, w := range waiters {
			w.result <- result[T]{err: c.service.fail("load", ErrClosed)}
		}
		return
	}
	f.life, f.cancel = life, cancel
	if c.flights.byKey == nil {
		c.flights.byKey = make(map[string]*flight[T])
	}
	c.flights.byKey[physical] = f
}

// leave takes a caller out whose context ended. The last one cancels the load, and makes room for a
// new flight: who comes now must not board one that is cancelled.
func (c *Cache[T]) leave(w *waiter[T]) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	c.takeOut(w)
}

// giveUp is leave for a caller who has waited long enough for the load of somebody else. It reports false
// where the load is the caller's own.
func (c *Cache[T]) giveUp(w *waiter[T]) bool {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	if w.flight.owner == w {
		return false
	}
	c.takeOut(w)
	return true
}

// takeOut is leave for callers that hold flights.mu.
func (c *Cache[T]) takeOut(w *waiter[T]) {
	w.gone = true
	f := w.flight
	if f.waiting--; f.waiting > 0 || f.cancel == nil {
		return
	}
	f.cancel()
	c.forget(f)
}

// close lets nobody else on a flight: who comes from now on starts another.
func (c *Cache[T]) close(f *flight[T]) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	c.forget(f)
}

// forget is close for callers that hold flights.mu.
func (c *Cache[T]) forget(f *flight[T]) {
	if c.flights.byKey[f.key] == f {
		delete(c.flights.byKey, f.key)
	}
}

// board lets everybody who has come by now take part in what the flight reads next.
func (c *Cache[T]) board(f *flight[T]) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	f.early, f.late = append(f.early, f.late...), nil
}

// begin is board for the load itself, and returns its context. Where the owner has left, another caller
// becomes it: a loader may know no more than that its request has ended.
func (c *Cache[T]) begin(ctx context.Context, f *flight[T]) (context.Context, context.CancelFunc) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	f.early, f.late = append(f.early, f.late...), nil
	first := f.owner
	for _, w := range f.early {
		if f.owner.ctx.Err() == nil {
			break
		}
		if !w.gone && w.ctx.Err() == nil {
			f.owner = w
		}
	}
	if f.owner == first {
		return ctx, func() {}
	}
	return valuesOf(outsideScope(f.owner.ctx), ctx)
}

// left reports whether a load failed for its owner alone, whose context has ended: that says nothing to
// the others. A load whose own context has ended was nobody's any more.
func (f *flight[T]) left(ctx context.Context, err error) bool {
	return err != nil && !errors.Is(err, ErrNotFound) && f.owner.ctx.Err() != nil && ctx.Err() == nil
}

// present returns those of waiters who still wait.
func present[T any](waiters []*waiter[T]) []*waiter[T] {
	var here []*waiter[T]
	for _, w := range waiters {
		if !w.gone {
			here = append(here, w)
		}
	}
	return here
}

// fly runs a flight and lands it, whatever happens on the way.
func (c *Cache[T]) fly(ctx context.Context, f *flight[T]) {
	var value T
	var how outcome
	defer c.watch()()
	err := error(&PanicError{}) // stands where the loader ends the goroutine
	defer func() { c.land(f, value, how, err, f.left(ctx, err)) }()
	value, how, err = c.produce(ctx, f)
}

// land ends a flight: it hands the result to those who may have it, and sends the others on. left says
// that the failure is the owner's alone.
func (c *Cache[T]) land(f *flight[T], value T, how outcome, err error, left bool) {
	c.flights.mu.Lock()
	c.forget(f)
	arrived, late := present(f.early), present(f.late)
	switch {
	case how == stored:
		arrived, late = append(arrived, late...), nil
	case left || errors.Is(err, ErrRecursiveLoad): // every time there is one caller less
		late = slices.DeleteFunc(append(arrived, late...), func(w *waiter[T]) bool { return w == f.owner })
		arrived = present([]*waiter[T]{f.owner})
	}
	if len(late) > 0 {
		c.depart(f.key, f.unleased, late)
	}
	c.flights.mu.Unlock()

	var sealed []byte
	if err == nil && len(arrived) > 1 {
		// Before anybody has the value, and may change it.
		var encodeErr error
		if sealed, encodeErr = c.service.encode(c.shape, value, stamp{}); encodeErr != nil {
			err = errLoadAlone
		}
	}
	for i, w := range arrived {
		switch {
		case i == 0 && (err == nil || err == errLoadAlone): //nolint:errorlint // never wrapped
			w.result <- result[T]{value: value}
		case err != nil:
			w.result <- result[T]{err: err}
		default:
			w.result <- result[T]{sealed: bytes.Clone(sealed)}
		}
	}
}

// produce finds the value of a flight: in the cache after all, or by loading it.
func (c *Cache[T]) produce(ctx context.Context, f *flight[T]) (value T, how outcome, err error) {
	var lease *driver.Lease
	loading := false
	defer func() { // also when the loader ends the goroutine
		if lease != nil { // not used
			c.release(context.WithoutCancel(ctx), lease)
		}
		if loading {
			c.service.counters.loadErrors.Add(1)
		}
	}()
	if !f.unleased {
		var found bool
		if value, found, lease, err = c.await(ctx, f); found || err != nil {
			return value, failed, err
		}
	}
	if f.unleased {
		within, leave, err := c.service.admit(ctx, &c.service.loadersOf(c.policy.Reserved).outage)
		if err != nil {
			return value, failed, err
		}
		defer leave()
		ctx = within
	}
	owing := c.service.owed.failed.Load()
	working, end := c.begin(ctx, f)
	defer end()
	c.service.counters.loads.Add(1)
	loading = true
	o := c.service.origin(ctx, lease)
	defer o.end() // also when the loader ends the goroutine
	kind := chain.Load
	if f.owner.nested {
		kind = chain.LoadAfterWait
	}
	value, err = c.run(working, kind, f.key, f.owner.load)
	o.end()
	loading = err != nil
	absent := errors.Is(err, ErrNotFound)
	if lease != nil && (err == nil || absent && c.policy.NegativeTTL > 0) {
		// Who comes from now on may come after an invalidation that follows the storing.
		c.close(f)
		if c.service.owed.failed.Load() != owing {
			// The storage does not know yet that something was revoked while the loader ran, and would
			// take the value. Who came after that must not get it.
			c.service.counters.refused.Add(1)
			return value, refused, err
		}
		if absent {
			how = c.fillAbsent(context.WithoutCancel(ctx), lease, o)
		} else {
			how = c.fill(context.WithoutCancel(ctx), lease, value, o, o.took, f.vacant)
		}
		lease = nil
		if how == stored && !c.current(value, absent, o) {
			how = outlived
		}
	}
	if f.stale && absent && how < stored {
		if failure := c.delete(context.WithoutCancel(ctx), f.key); failure != nil {
			err = errors.Join(err, failure)
		}
	}
	return value, how, err
}
