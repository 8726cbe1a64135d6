package cache

import (
	"context"
	"errors"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/flight"
	"github.com/fxcache/fxcache/cache/internal/memo"
	"github.com/fxcache/fxcache/internal/chain"
	"github.com/fxcache/fxcache/internal/panics"
	"github.com/fxcache/fxcache/internal/throttle"
)

// loader runs the loads and writes of one cache. It decides whether a loaded value may be stored.
// Leases are in lease.go, refreshes in the background in refresh.go.
type loader[T any] struct {
	name    string // of the cache
	service *Service
	named   *namedCache
	store   *store
	values  *values[T]
	flights *flight.Group[T]
	// refreshing holds the keys for which no refresh may be started now.
	refreshing refreshes
	cold       coldness // of its batches
	// These are of this cache alone, because the warnings name it.
	hung, slow, panicked throttle.Throttle
	unstored             [causes]throttle.Throttle
}

func newLoader[T any](service *Service, named *namedCache, values *values[T]) *loader[T] {
	l := &loader[T]{name: named.name, service: service, named: named, store: named.store, values: values}
	l.flights = flight.New(flight.Options[T]{
		Start:   service.tasks.Start,
		Stopped: l.store.fail("load", ErrClosed),
		Joined:  func() { l.store.counters.sharedLoads.Add(1) },
		Run: func(ctx context.Context, f *flight.Flight[T]) (T, flight.Sharing, error) {
			defer l.watch()()
			return l.produce(ctx, f)
		},
		RunMany: func(ctx context.Context, b *flight.Batch[T]) {
			defer l.watch()()
			manyLoader[T]{l, l.store.door()}.produce(ctx, b)
		},
		Encode: func(value T) ([]byte, error) { return values.typ.Encode(value, noStamp) },
		Decode: func(encoded []byte) (T, error) {
			value, _, err := values.decode(encoded)
			return value, err
		},
		NotFound: ErrNotFound,
	})
	return l
}

// load waits for the load of a key, and starts one if there is none.
func (l *loader[T]) load(ctx context.Context, physical string, load func(context.Context) (T, error), unleased bool) (T, error) {
	value, err := l.flights.Do(ctx, physical, load, unleased, l.store.options().LockWait)
	switch {
	case err == flight.ErrLoadAlone: //nolint:errorlint // never wrapped
		return l.alone(ctx, chain.Load, physical, load)
	case err == flight.ErrPatience: //nolint:errorlint // never wrapped
		l.store.counters.leaseTimeouts.Add(1)
		return l.alone(ctx, chain.LoadAfterWait, physical, load)
	case err != nil && err == ctx.Err(): //nolint:errorlint // ctx's own
		return value, l.store.fail("load", err)
	}
	return value, err
}

// produce finds the value of a flight: in the cache after all, or by loading it.
func (l *loader[T]) produce(ctx context.Context, f *flight.Flight[T]) (value T, sharing flight.Sharing, err error) {
	d := l.store.door()
	var held found[T]
	loading := false
	defer func() { // also if the loader ends the goroutine
		if held.lease != nil { // not used
			d.release(context.WithoutCancel(ctx), held.lease)
		}
		if loading {
			l.loadFailed(err)
		}
	}()
	if !f.Unleased {
		if held, err = l.await(ctx, d, f); held.found || err != nil {
			return held.value, flight.Admitted, err
		}
	}
	if f.Unleased {
		within, leave, err := l.store.admissions.admit(ctx, &l.admissions().outage)
		if err != nil {
			return value, flight.Admitted, l.store.fail("load", err)
		}
		defer leave()
		ctx = within
	}
	generation := d.pending.Generation()
	working, end := l.flights.Begin(ctx, f)
	replaced := newPrevious(d, l.values, f.Key, held.stale)
	defer end()
	l.store.counters.loads.Add(1)
	loading = true
	source := newSource(ctx, d, l.store.options().Clock, held.lease)
	defer source.end() // also if the loader ends the goroutine
	kind := chain.Load
	if f.Nested() {
		kind = chain.LoadAfterWait
	}
	value, err = l.run(working, kind, f.Key, f.Load, replaced)
	source.end()
	loading = err != nil
	absent := errors.Is(err, ErrNotFound)
	how := failed
	if held.lease != nil && (err == nil || absent && l.values.policy().NegativeTTL > 0) {
		// A caller that comes from now on may come after an invalidation that follows the fill.
		l.flights.Detach(f)
		if d.outdated(generation) {
			// The storage does not know yet that something was revoked while the loader ran, and
			// would take the value. Callers that came after that must not get it.
			l.store.counters.refused.Add(1)
			return value, flight.Admitted, err
		}
		if absent {
			how = l.fillAbsent(context.WithoutCancel(ctx), source)
		} else {
			how = l.fill(context.WithoutCancel(ctx), f.Key, value, source, source.took, held.vacant)
		}
		held.lease = nil
		if how == stored && l.values.current(value, absent, source) {
			sharing = flight.Everybody
		}
	}
	if held.stale && absent && how != stored {
		if failure := l.delete(context.WithoutCancel(ctx), f.Key); failure != nil {
			err = errors.Join(err, failure)
		}
	}
	return value, sharing, err
}

// run runs a load or a write of an entry. A load that may say ErrNotModified has replaced.
func (l *loader[T]) run(ctx context.Context, kind chain.Kind, physical string, function func(context.Context) (T, error), replaced *previous[T]) (T, error) {
	ctx, link := chain.Enter(ctx, kind, entryID{l.store, physical})
	defer link.End()
	if replaced != nil {
		link.Carry(replaced)
	}
	value, err := panics.Run(ctx, function)
	if chain.SaysNotModified(err) {
		if value, err = replaced.again(err); err != nil {
			op := "load"
			if kind == chain.Write {
				op = "update"
			}
			return value, l.store.fail(op, err)
		}
		l.store.counters.notModified.Add(1)
	}
	return value, l.blame(ctx, err)
}

// blame gives a panic of a loader or a write the name of the cache.
func (l *loader[T]) blame(ctx context.Context, err error) error {
	// not that of a cache within, which has its name
	if p, panicked := err.(*PanicError); panicked && p.Cache == "" { //nolint:errorlint // as it is
		named := *p
		named.Cache, err = l.name, &named
		l.store.logger.warnOnce(ctx, &l.panicked, "cache: a loader or a write panicked", err, "cache", l.name)
	}
	return err
}

// alone runs load for its caller alone, and stores nothing.
func (l *loader[T]) alone(ctx context.Context, kind chain.Kind, physical string, load func(context.Context) (T, error)) (value T, err error) {
	l.store.counters.loads.Add(1)
	err = panics.ErrEnded // if load ends the goroutine
	defer func() {
		if err != nil {
			l.loadFailed(err)
		}
	}()
	return l.run(memo.OutsideScope(ctx), kind, physical, load, nil)
}

// loadFailed counts a load without a value. That there is nothing to load is no failure.
func (l *loader[T]) loadFailed(err error) {
	if errors.Is(err, ErrNotFound) {
		l.store.counters.notFound.Add(1)
	} else {
		l.store.counters.loadErrors.Add(1)
	}
}

// write runs write and stores what it returns. Unless that is stored, the entry is deleted.
func (l *loader[T]) write(ctx context.Context, physical string, write func(context.Context) (T, error)) (value T, err error) {
	d := l.store.door()
	var lease *driver.Lease // without one, the entry is deleted
	if !ReadsThrough(ctx) && l.named.enabled() {
		lease, _ = l.lease(ctx, d, physical)
	}
	settled := false
	defer func() {
		if settled {
			return
		}
		// Also if write ended the goroutine.
		if failure := l.delete(context.WithoutCancel(ctx), physical); failure != nil {
			err = errors.Join(err, failure)
		}
	}()
	source := newSource(ctx, d, l.store.options().Clock, lease)
	defer source.end() // also if write ended the goroutine
	value, err = l.run(memo.OutsideScope(ctx), chain.Write, physical, write, nil)
	source.end()
	if errors.Is(err, ErrUnchanged) {
		if settled = true; lease != nil {
			d.release(context.WithoutCancel(ctx), lease)
		}
		return value, err
	}
	if err == nil && lease != nil {
		// The database has changed, so this must not depend on the caller staying.
		kept := context.WithoutCancel(ctx)
		if settled = l.fill(kept, physical, value, source, 0, false) == stored; settled {
			err = l.store.elsewhere(kept, d, l.values.bound(), physical)
		}
	}
	return value, err
}

// delete removes entries of this cache.
func (l *loader[T]) delete(ctx context.Context, physical ...string) error {
	return l.store.delete(ctx, l.values.bound(), physical...)
}

// deleteReplaced removes the entries that should have been replaced by values that cannot be
// stored.
func (l *loader[T]) deleteReplaced(ctx context.Context, physical ...string) error {
	if len(physical) == 0 {
		return nil
	}
	return l.delete(ctx, physical...)
}

// admissions returns the places that the loads of this cache may take.
func (l *loader[T]) admissions() *loaders {
	return l.store.admissions.of(l.values.policy().Reserved)
}

// watch logs a warning if stop is not called within a minute.
func (l *loader[T]) watch() (stop func()) {
	timer := time.AfterFunc(chain.HungAfter, func() {
		l.store.logger.warnOnce(context.Background(), &l.hung, "cache: a load does not end, and who asks for its key waits for it",
			chain.ErrHung, "cache", l.name)
	})
	return func() { timer.Stop() }
}
