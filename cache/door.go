package cache

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/breaker"
	"github.com/fxcache/fxcache/cache/internal/failure"
	"github.com/fxcache/fxcache/cache/internal/revocation"
	"github.com/fxcache/fxcache/internal/panics"
)

// door is the only way to one storage. Every call of a strategy is made here. It has a deadline,
// and a panic becomes an error. What stands in front of each operation:
//
//	                                    circuit breaker    pending revocations
//	get, getMany, getOrLease            may refuse         must be applied before
//	lease, fill                         may refuse         -
//	set, setMany, release, extend       is not asked       -
//	delete, invalidateTags, clear       is not asked       added if they fail
//	discard                             is not asked       never added
type door struct {
	store        *store
	strategyName string
	namespace    string
	limits       driver.Limits   // those of Init
	prefix       string          // of every physical key and tag; that of the store may be another one
	closed       atomic.Bool     // no hits: the storage is being cleared
	coming       atomic.Bool     // will be put into use, at the time enters
	enters       time.Time       // zero if it was in use from the start
	retired      atomic.Bool     // nothing reads it any more, on any node
	fenced       bool            // its leases are this door's own
	storage      *storage        // where it leads to; known doors to the same place have the same
	features     driver.Features // with guard and fence around a strategy that needs them
	leaser       driver.Leaser   // the same as features.Leaser
	breaker      *breaker.Breaker
	pending      *revocation.Queue
	// leaseTTL is how long a lease is good at most, and leaseTerm how long if nobody extends it.
	leaseTTL, leaseTerm time.Duration
	// noDiscard is until when no damaged entry is discarded, in Unix nanoseconds.
	noDiscard atomic.Int64
}

// assumedLeaseTTL is how long a lease may be good if the strategy is not a LeaseLimiter.
const assumedLeaseTTL = time.Minute

// clearTimeout bounds a Clear that somebody waits for. The storage may have to look for the
// entries. stopTimeout bounds the Destroy of a strategy if nothing else does.
const (
	clearTimeout = 10 * time.Second
	stopTimeout  = 10 * time.Second
)

func newDoor(s *store, features driver.Features, strategy driver.Strategy, options Options) *door {
	if !features.Immediate && !features.Cancellable {
		guarded := newGuarded(strategy, features, func() time.Duration { return s.options().Timeout })
		strategy, features = guarded, guarded.Features()
	}
	identity := revocation.StorageOf(features, storeTag(s.name), options.StrategyName, options.KeyPrefix())
	fenced := features.Leaser == nil
	if fenced {
		features = newFenced(strategy, features, options.Clock).Features()
	}
	d := &door{
		fenced:       fenced,
		storage:      new(storage),
		store:        s,
		strategyName: options.StrategyName,
		namespace:    options.Namespace,
		limits:       options.Limits(),
		prefix:       options.KeyPrefix(),
		features:     features,
		leaser:       features.Leaser,
		breaker: breaker.New(breaker.Options{
			Failures: options.BreakerFailures, Pause: options.BreakerPause, Timeout: options.Timeout,
		}),
		leaseTTL: assumedLeaseTTL,
	}
	if limiter := features.LeaseLimiter; limiter != nil {
		d.leaseTTL = limiter.LeaseTTL()
	}
	d.leaseTerm = d.leaseTTL
	if extender := features.LeaseExtender; extender != nil && extender.LeaseTerm() > 0 {
		d.leaseTerm = extender.LeaseTerm()
	} else {
		d.features.LeaseExtender = nil
	}
	d.pending = revocation.New(revocation.Options{
		Limit:    options.MaxPendingRevocations,
		Longest:  options.MaxTTL + d.leaseTTL,
		Patience: options.Timeout,
		Clock:    options.Clock,
		Storage:  identity,
		Apply:    d.apply,
		Refused:  failure.IsRefusal,
		Start: func(work func(context.Context)) bool {
			_, _, ok := s.tasks.Start(context.Background(), work)
			return ok
		},
		Warn: func(ctx context.Context, message string, err error) { s.logger.warn(ctx, ofRevocations, message, err) },
	})
	return d
}

// outdated reports whether what a load has begun to read may be out of date without the storage
// knowing: a revocation is pending that came after generation, or the storage is not in use any
// more.
func (d *door) outdated(generation uint64) bool {
	return d.pending.Generation() != generation || d.store.door() != d
}

// storeTag is how the outbox tells the storage of one store from that of another.
func storeTag(name string) string {
	if name == defaultStore {
		return ""
	}
	return name
}

// key returns the form that a physical key or tag of the store has in this storage.
func (d *door) key(physical string) string {
	if d.prefix == d.store.prefix {
		return physical
	}
	return d.prefix + physical[len(d.store.prefix):]
}

// keys is key for many.
func (d *door) keys(physical []string) []string {
	if d.prefix == d.store.prefix || physical == nil {
		return physical
	}
	keys := make([]string, len(physical))
	for i, name := range physical {
		keys[i] = d.key(name)
	}
	return keys
}

// timeout is the deadline of one operation.
func (d *door) timeout() time.Duration { return d.store.options().Timeout }

// lease asks for a lease. It is nil if somebody else has it.
func (d *door) lease(ctx context.Context, key string) (lease *driver.Lease, err error) {
	err = d.withBreaker(ctx, func(ctx context.Context) (err error) {
		lease, err = d.leaser.Lease(ctx, d.key(key))
		return err
	})
	return lease, err
}

// fill stores an entry under a lease.
func (d *door) fill(ctx context.Context, lease *driver.Lease, encoded []byte, opts SetOptions) (stored bool, err error) {
	err = d.withBreaker(ctx, func(ctx context.Context) (err error) {
		stored, err = d.leaser.Fill(ctx, lease, encoded, SetOptions{TTL: opts.TTL, Tags: d.keys(opts.Tags)})
		return err
	})
	return stored, err
}

// extend extends a lease for another term.
func (d *door) extend(ctx context.Context, lease *driver.Lease) (held bool, err error) {
	err = d.call(ctx, func(ctx context.Context) (err error) {
		held, err = d.features.LeaseExtender.Extend(ctx, lease)
		return err
	})
	return held, err
}

// release gives a lease up unused. A failure costs no more than the wait until the lease expires.
func (d *door) release(ctx context.Context, lease *driver.Lease) {
	err := d.call(ctx, func(ctx context.Context) error { return d.leaser.Release(ctx, lease) })
	if err != nil {
		d.store.logger.warn(ctx, ofFills, "cache: a lease could not be released", err)
	}
}

// notify returns a channel that is closed when the lease on key ends, or nil. A panic of the
// strategy costs no more than a notice that does not come.
func (d *door) notify(ctx context.Context, key string) (notice <-chan struct{}) {
	var err error
	defer panics.Catch(&err)
	return d.features.Notifier.Notify(ctx, d.key(key))
}

// set stores an entry.
func (d *door) set(ctx context.Context, key string, encoded []byte, opts SetOptions) error {
	return d.call(ctx, func(ctx context.Context) error {
		return d.leaser.Set(ctx, d.key(key), encoded, SetOptions{TTL: opts.TTL, Tags: d.keys(opts.Tags)})
	})
}

// setMany is set for many items. The error at i belongs to items[i].
func (d *door) setMany(ctx context.Context, items []driver.Item) []error {
	failures := make([]error, len(items))
	if d.features.Batcher == nil || len(items) == 0 {
		for i, item := range items {
			failures[i] = d.set(ctx, item.Key, item.Value, item.Options)
		}
		return failures
	}
	if d.prefix != d.store.prefix {
		items = slices.Clone(items)
		for i, item := range items {
			items[i].Key, items[i].Options.Tags = d.key(item.Key), d.keys(item.Options.Tags)
		}
	}
	err := d.call(ctx, func(bounded context.Context) error {
		return copyAll(failures, d.features.Batcher.SetMany(bounded, items))
	})
	if err != nil {
		return slices.Repeat([]error{err}, len(items))
	}
	for i := range failures {
		failures[i] = timeoutError(ctx, d.timeout(), failures[i])
	}
	return failures
}

// delete removes the entries of keys, none of which lives longer than bound.
func (d *door) delete(ctx context.Context, bound time.Duration, keys []string) error {
	return d.revoke(ctx, d.timeout(), bound, func() []revocation.Revocation {
		return d.revocations(keys, func(name string) revocation.Revocation { return revocation.Revocation{Key: name} })
	}, func(ctx context.Context) error { return d.leaser.Delete(ctx, d.keys(keys)...) })
}

// invalidateTags revokes the entries with any of tags, none of which lives longer than bound.
func (d *door) invalidateTags(ctx context.Context, bound time.Duration, tags []string) error {
	return d.revoke(ctx, d.timeout(), bound, func() []revocation.Revocation {
		return d.revocations(tags, func(name string) revocation.Revocation { return revocation.Revocation{Tag: name} })
	}, func(ctx context.Context) error { return d.leaser.InvalidateTags(ctx, d.keys(tags)...) })
}

// clear revokes everything.
func (d *door) clear(ctx context.Context, bound time.Duration) error {
	return d.revoke(ctx, clearTimeout, bound, func() []revocation.Revocation {
		return []revocation.Revocation{{}}
	}, d.clearStrategy)
}

func (d *door) clearStrategy(ctx context.Context) error {
	if d.features.Clearer == nil {
		return ErrUnsupported
	}
	return d.features.Clearer.Clear(ctx)
}

// revocations are those of physical keys or tags.
func (d *door) revocations(physical []string, of func(name string) revocation.Revocation) []revocation.Revocation {
	revocations := make([]revocation.Revocation, len(physical))
	for i, name := range physical {
		revocations[i] = of(strings.TrimPrefix(name, d.store.prefix))
	}
	return revocations
}

// revoke runs a revocation. One that fails is pending from then on, and its error is a
// PendingError.
func (d *door) revoke(ctx context.Context, timeout, bound time.Duration, all func() []revocation.Revocation, apply func(context.Context) error) error {
	call := d.pending.NewCall()
	err := d.callWithin(ctx, timeout, apply)
	if err == nil {
		d.pending.Applied(call, all)
		return nil
	}
	if failure.IsRefusal(err) || failure.IsApplied(err) {
		return err
	}
	revocations := all()
	if len(revocations) == 0 {
		return err
	}
	until, failed := d.pending.Add(ctx, call, revocations, bound+d.leaseTTL)
	if failed != nil {
		err = errors.Join(err, failed)
	}
	return &PendingError{Until: until, Err: err}
}

// propagation is that of the strategy (driver.Propagator), or 0.
func (d *door) propagation() (delay time.Duration, err error) {
	if d.features.Propagator == nil {
		return 0, nil
	}
	defer panics.Catch(&err)
	return d.features.Propagator.Propagation(), nil
}

// apply revokes what is pending: everything, or keys, or tags. A replica that is behind is a
// failure here, because no caller is told of it: if that replica were promoted, this process would
// serve what it has promised not to serve.
func (d *door) apply(ctx context.Context, revocations []revocation.Revocation) (err error) {
	defer panics.Catch(&err)
	names := make([]string, len(revocations))
	for i, r := range revocations {
		names[i] = d.prefix + r.Key + r.Tag // one of them is empty
	}
	first := revocations[0]
	if first.Key == "" && first.Tag == "" {
		return d.clearStrategy(ctx)
	}
	bounded, cancel := d.withTimeout(ctx, d.timeout())
	defer cancel()
	if first.Tag != "" {
		return timeoutError(ctx, d.timeout(), d.leaser.InvalidateTags(bounded, names...))
	}
	return timeoutError(ctx, d.timeout(), d.leaser.Delete(bounded, names...))
}

// discard tries once to delete damaged entries. They are never hits, so if it fails, they are only
// found again. So it is never pending. It is not tried for a caller that has left, and not within
// breaker_pause after it failed.
func (d *door) discard(ctx context.Context, cause error, keys ...string) {
	if len(keys) == 0 {
		return
	}
	if ctx.Err() == nil && time.Now().UnixNano() >= d.noDiscard.Load() {
		err := d.call(ctx, func(ctx context.Context) error { return d.leaser.Delete(ctx, d.keys(keys)...) })
		if err != nil && ctx.Err() == nil {
			d.noDiscard.Store(time.Now().Add(d.store.options().BreakerPause).UnixNano())
		}
		cause = errors.Join(cause, err)
	}
	d.store.logger.warn(ctx, ofDamage, "cache: an entry could not be decoded; it is deleted where that is possible", cause)
}
