package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/breaker"
	"github.com/fxcache/fxcache/cache/internal/failure"
	"github.com/fxcache/fxcache/internal/panics"
)

// errNoHits is what reads get until every pending revocation is applied.
var errNoHits = fmt.Errorf("%w for reads: %w", ErrUnavailable, ErrRevocationPending)

// mayHit reports whether an entry may be served.
func (s *store) mayHit(ctx context.Context) error {
	if s.pending.Drain(ctx) != nil {
		return errNoHits
	}
	return nil
}

// get reads an entry. If known, its tags are expected to be tags.
func (s *store) get(ctx context.Context, key string, tags []string, known bool) (encoded []byte, found bool, err error) {
	if err = s.mayHit(ctx); err != nil {
		return nil, false, err
	}
	err = s.withBreaker(ctx, func(ctx context.Context) (err error) {
		if known && s.features.Hinted != nil {
			encoded, found, err = s.features.Hinted.GetHinted(ctx, key, tags)
		} else {
			encoded, found, err = s.leaser.Get(ctx, key)
		}
		return err
	})
	return encoded, found, err
}

// getOrLease reads an entry, or asks for a lease on it.
func (s *store) getOrLease(ctx context.Context, key string) (encoded []byte, found bool, lease *driver.Lease, err error) {
	if err = s.mayHit(ctx); err != nil {
		return nil, false, nil, err
	}
	err = s.withBreaker(ctx, func(ctx context.Context) (err error) {
		encoded, found, lease, err = s.leaser.GetOrLease(ctx, key)
		return err
	})
	return encoded, found, lease, err
}

// call runs one operation on the strategy within the deadline.
func (s *store) call(ctx context.Context, operation func(context.Context) error) error {
	return s.callWithin(ctx, s.timeout, operation)
}

func (s *store) callWithin(ctx context.Context, timeout time.Duration, operation func(context.Context) error) (err error) {
	defer panics.Catch(&err)
	bounded, cancel := s.withTimeout(ctx, timeout)
	defer cancel()
	return timeoutError(ctx, timeout, operation(bounded))
}

// withTimeout gives ctx the deadline of one operation.
func (s *store) withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if s.features.Immediate {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// timeoutError says ErrUnavailable if it was the operation's deadline that ended it, and not the
// caller's.
func timeoutError(ctx context.Context, timeout time.Duration, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%w: no answer within %v: %w", ErrUnavailable, timeout, err)
	}
	return err
}

// errEnded is the outcome of an operation in which the strategy ended the goroutine.
var errEnded = errors.New("cache: the strategy ended the goroutine")

// withBreaker runs one operation within the deadline, unless the strategy has been failing.
func (s *store) withBreaker(ctx context.Context, operation func(context.Context) error) error {
	if s.features.Immediate {
		return s.call(ctx, operation)
	}
	pass, waited, ok := s.breaker.Enter(ctx)
	if !ok {
		s.counters.shortCircuited.Add(1)
		if waited > 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: it has been failing, and is left alone for a moment", ErrUnavailable)
	}
	outcome := errEnded
	defer func() { s.breaker.Leave(pass, outcome) }()
	err := s.callWithin(ctx, s.timeout-waited, operation)
	// These do not say that the strategy fails. In the last case it had too little time.
	if outcome = err; err != nil && (ctx.Err() != nil || errors.Is(err, driver.ErrEntryUnavailable) || waited > s.timeout/4) {
		outcome = breaker.ErrAbandoned
	}
	return err
}

// fail wraps err in an Error, once. A Service that NewService has not made has no store.
func (s *store) fail(op string, err error) error {
	if _, wrapped := err.(*Error); wrapped { //nolint:errorlint // only an Error on the outside counts
		return err
	}
	if s == nil {
		return &Error{Op: op, Err: err}
	}
	return &Error{Op: op, Strategy: s.name, Err: err}
}

// getMany is get for many keys.
func (s *store) getMany(ctx context.Context, keys, tags []string, known bool) []driver.Result {
	results := make([]driver.Result, len(keys))
	if s.features.Batcher == nil || len(keys) == 0 {
		for i, key := range keys {
			r := &results[i]
			r.Value, r.Found, r.Err = s.get(ctx, key, tags, known)
		}
		return results
	}
	if err := s.getBatch(ctx, keys, tags, known, results); err != nil {
		for i := range results {
			results[i] = driver.Result{Err: err}
		}
	}
	return results
}

// getBatch is getMany by a Batcher. For the circuit breaker it is one operation, which fails if no
// key succeeds.
func (s *store) getBatch(ctx context.Context, keys, tags []string, known bool, results []driver.Result) error {
	if err := s.mayHit(ctx); err != nil {
		return err
	}
	switch {
	case !known:
		tags = nil
	case tags == nil:
		tags = []string{} // none are expected
	}
	return s.withBreaker(ctx, func(bounded context.Context) error {
		if err := copyAll(results, s.features.Batcher.GetMany(bounded, keys, tags)); err != nil {
			return err
		}
		failures, worst := 0, error(nil)
		for i, r := range results {
			if r.Err == nil {
				continue
			}
			failures++
			results[i] = driver.Result{Err: timeoutError(ctx, s.timeout, r.Err)}
			// prefer an error that concerns the whole strategy
			if worst == nil || failure.IsBadEntry(worst) {
				worst = results[i].Err
			}
		}
		if failures == len(results) {
			return worst
		}
		return nil
	})
}

// copyAll copies answer to dst. It is an error if they differ in length.
func copyAll[P any](dst, answer []P) error {
	if len(answer) != len(dst) {
		return fmt.Errorf("the strategy answered for %d of %d keys", len(answer), len(dst))
	}
	copy(dst, answer)
	return nil
}
