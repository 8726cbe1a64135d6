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
	"github.com/fxcache/fxcache/cache/internal/task"
	"github.com/fxcache/fxcache/internal/panics"
)

// store is the door to one storage. Every call of a strategy is made here. It has a deadline, and a
// panic becomes an error. What stands in front of each operation:
//
//	                                    circuit breaker    pending revocations
//	get, getMany, getOrLease            may refuse         must be applied before
//	lease, fill                         may refuse         -
//	set, setMany, release, extend       is not asked       -
//	delete, invalidateTags, clear       is not asked       added if they fail
//	discard                             is not asked       never added
//
// Nothing here assumes that there is a single store.
type store struct {
	name     string          // of the strategy, as in the configuration
	prefix   string          // of every physical key and tag
	features driver.Features // with guard and fence around a strategy that needs them
	leaser   driver.Leaser   // the same as features.Leaser
	timeout  time.Duration
	breaker  *breaker.Breaker
	pending  *revocation.Queue
	logger   *throttledLogger
	counters *counters
	// leaseTTL is how long a lease is good at most, and leaseTerm how long if nobody extends it.
	leaseTTL, leaseTerm time.Duration
	pause               time.Duration // Options.BreakerPause
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

func newStore(features driver.Features, strategy driver.Strategy, options Options, tasks *task.Group, counters *counters) *store {
	if !features.Immediate && !features.Cancellable {
		guarded := newGuarded(strategy, features, options.Timeout)
		strategy, features = guarded, guarded.Features()
	}
	identity := revocation.StorageOf(features, options.StrategyName, options.KeyPrefix())
	if features.Leaser == nil {
		features = newFenced(strategy, features, options.Clock).Features()
	}
	s := &store{
		name:     options.StrategyName,
		prefix:   options.KeyPrefix(),
		features: features,
		leaser:   features.Leaser,
		timeout:  options.Timeout,
		breaker: breaker.New(breaker.Options{
			Failures: options.BreakerFailures, Pause: options.BreakerPause, Timeout: options.Timeout,
		}),
		logger:   &throttledLogger{logger: options.Logger, strategy: options.StrategyName},
		counters: counters,
		pause:    options.BreakerPause,
		leaseTTL: assumedLeaseTTL,
	}
	if limiter := features.LeaseLimiter; limiter != nil {
		s.leaseTTL = limiter.LeaseTTL()
	}
	s.leaseTerm = s.leaseTTL
	if extender := features.LeaseExtender; extender != nil && extender.LeaseTerm() > 0 {
		s.leaseTerm = extender.LeaseTerm()
	} else {
		s.features.LeaseExtender = nil
	}
	s.pending = revocation.New(revocation.Options{
		Limit:    options.MaxPendingRevocations,
		Longest:  options.MaxTTL + s.leaseTTL,
		Patience: options.Timeout,
		Clock:    options.Clock,
		Storage:  identity,
		Apply:    s.apply,
		Refused:  failure.IsRefusal,
		Start: func(work func(context.Context)) bool {
			_, _, ok := tasks.Start(context.Background(), work)
			return ok
		},
		Warn: func(ctx context.Context, message string, err error) { s.logger.warn(ctx, ofRevocations, message, err) },
	})
	return s
}

// lease asks for a lease. It is nil if somebody else has it.
func (s *store) lease(ctx context.Context, key string) (lease *driver.Lease, err error) {
	err = s.withBreaker(ctx, func(ctx context.Context) (err error) {
		lease, err = s.leaser.Lease(ctx, key)
		return err
	})
	return lease, err
}

// fill stores an entry under a lease.
func (s *store) fill(ctx context.Context, lease *driver.Lease, encoded []byte, opts SetOptions) (stored bool, err error) {
	err = s.withBreaker(ctx, func(ctx context.Context) (err error) {
		stored, err = s.leaser.Fill(ctx, lease, encoded, opts)
		return err
	})
	return stored, err
}

// extend extends a lease for another term.
func (s *store) extend(ctx context.Context, lease *driver.Lease) (held bool, err error) {
	err = s.call(ctx, func(ctx context.Context) (err error) {
		held, err = s.features.LeaseExtender.Extend(ctx, lease)
		return err
	})
	return held, err
}

// release gives a lease up unused. A failure costs no more than the wait until the lease expires.
func (s *store) release(ctx context.Context, lease *driver.Lease) {
	err := s.call(ctx, func(ctx context.Context) error { return s.leaser.Release(ctx, lease) })
	if err != nil {
		s.logger.warn(ctx, ofFills, "cache: a lease could not be released", err)
	}
}

// notify returns a channel that is closed when the lease on key ends, or nil. A panic of the
// strategy costs no more than a notice that does not come.
func (s *store) notify(ctx context.Context, key string) (notice <-chan struct{}) {
	var err error
	defer panics.Catch(&err)
	return s.features.Notifier.Notify(ctx, key)
}

// set stores an entry.
func (s *store) set(ctx context.Context, key string, encoded []byte, opts SetOptions) error {
	return s.call(ctx, func(ctx context.Context) error { return s.leaser.Set(ctx, key, encoded, opts) })
}

// setMany is set for many items. The error at i belongs to items[i].
func (s *store) setMany(ctx context.Context, items []driver.Item) []error {
	failures := make([]error, len(items))
	if s.features.Batcher == nil || len(items) == 0 {
		for i, item := range items {
			failures[i] = s.set(ctx, item.Key, item.Value, item.Options)
		}
		return failures
	}
	err := s.call(ctx, func(bounded context.Context) error {
		return copyAll(failures, s.features.Batcher.SetMany(bounded, items))
	})
	if err != nil {
		return slices.Repeat([]error{err}, len(items))
	}
	for i := range failures {
		failures[i] = timeoutError(ctx, s.timeout, failures[i])
	}
	return failures
}

// delete removes the entries of keys, none of which lives longer than bound.
func (s *store) delete(ctx context.Context, bound time.Duration, keys []string) error {
	return s.revoke(ctx, s.timeout, bound, func() []revocation.Revocation {
		return s.revocations(keys, func(name string) revocation.Revocation { return revocation.Revocation{Key: name} })
	}, func(ctx context.Context) error { return s.leaser.Delete(ctx, keys...) })
}

// invalidateTags revokes the entries with any of tags, none of which lives longer than bound.
func (s *store) invalidateTags(ctx context.Context, bound time.Duration, tags []string) error {
	return s.revoke(ctx, s.timeout, bound, func() []revocation.Revocation {
		return s.revocations(tags, func(name string) revocation.Revocation { return revocation.Revocation{Tag: name} })
	}, func(ctx context.Context) error { return s.leaser.InvalidateTags(ctx, tags...) })
}

// clear revokes everything.
func (s *store) clear(ctx context.Context, bound time.Duration) error {
	return s.revoke(ctx, clearTimeout, bound, func() []revocation.Revocation {
		return []revocation.Revocation{{}}
	}, s.clearStrategy)
}

func (s *store) clearStrategy(ctx context.Context) error {
	if s.features.Clearer == nil {
		return ErrUnsupported
	}
	return s.features.Clearer.Clear(ctx)
}

// revocations are those of physical keys or tags.
func (s *store) revocations(physical []string, of func(name string) revocation.Revocation) []revocation.Revocation {
	revocations := make([]revocation.Revocation, len(physical))
	for i, name := range physical {
		revocations[i] = of(strings.TrimPrefix(name, s.prefix))
	}
	return revocations
}

// revoke runs a revocation. One that fails is pending from then on, and its error is a
// PendingError.
func (s *store) revoke(ctx context.Context, timeout, bound time.Duration, all func() []revocation.Revocation, apply func(context.Context) error) error {
	call := s.pending.NewCall()
	err := s.callWithin(ctx, timeout, apply)
	if err == nil {
		s.pending.Applied(call, all)
		return nil
	}
	if failure.IsRefusal(err) || failure.IsApplied(err) {
		return err
	}
	revocations := all()
	if len(revocations) == 0 {
		return err
	}
	until, failed := s.pending.Add(ctx, call, revocations, bound+s.leaseTTL)
	if failed != nil {
		err = errors.Join(err, failed)
	}
	return &PendingError{Until: until, Err: err}
}

// apply revokes what is pending: everything, or keys, or tags. A replica that is behind is a
// failure here, because no caller is told of it: if that replica were promoted, this process would
// serve what it has promised not to serve.
func (s *store) apply(ctx context.Context, revocations []revocation.Revocation) (err error) {
	defer panics.Catch(&err)
	names := make([]string, len(revocations))
	for i, r := range revocations {
		names[i] = s.prefix + r.Key + r.Tag // one of them is empty
	}
	first := revocations[0]
	if first.Key == "" && first.Tag == "" {
		return s.clearStrategy(ctx)
	}
	bounded, cancel := s.withTimeout(ctx, s.timeout)
	defer cancel()
	if first.Tag != "" {
		return timeoutError(ctx, s.timeout, s.leaser.InvalidateTags(bounded, names...))
	}
	return timeoutError(ctx, s.timeout, s.leaser.Delete(bounded, names...))
}

// discard tries once to delete damaged entries. They are never hits, so if it fails, they are only
// found again. So it is never pending. It is not tried for a caller that has left, and not within
// breaker_pause after it failed.
func (s *store) discard(ctx context.Context, cause error, keys ...string) {
	if len(keys) == 0 {
		return
	}
	if ctx.Err() == nil && time.Now().UnixNano() >= s.noDiscard.Load() {
		err := s.call(ctx, func(ctx context.Context) error { return s.leaser.Delete(ctx, keys...) })
		if err != nil && ctx.Err() == nil {
			s.noDiscard.Store(time.Now().Add(s.pause).UnixNano())
		}
		cause = errors.Join(cause, err)
	}
	s.logger.warn(ctx, ofDamage, "cache: an entry could not be decoded; it is deleted where that is possible", cause)
}
