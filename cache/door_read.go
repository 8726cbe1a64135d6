package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/breaker"
	"github.com/fxcache/fxcache/internal/panics"
)

// errNoHits is what reads get until every pending revocation is applied.
var errNoHits = fmt.Errorf("%w for reads: %w", ErrUnavailable, ErrRevocationPending)

// mayHit reports whether an entry may be served.
func (d *door) mayHit(ctx context.Context) error {
	if d.closed.Load() || d.pending.Drain(ctx) != nil {
		return errNoHits
	}
	return nil
}

// expected is what the caller knows about an entry that it reads.
type expected struct {
	tags   []string // physical, if known
	known  bool     // the entry carries exactly tags
	copies driver.CopyOptions
}

// get reads an entry.
func (d *door) get(ctx context.Context, key string, want expected) (encoded []byte, found bool, err error) {
	if err = d.mayHit(ctx); err != nil {
		return nil, false, err
	}
	key = d.key(key)
	if encoded, found, err = d.near(ctx, key, want.copies); found || err != nil {
		return encoded, found, err
	}
	err = d.withBreaker(ctx, func(ctx context.Context) (err error) {
		switch {
		case d.features.Near != nil:
			encoded, found, err = d.features.Near.GetFar(ctx, key, d.hint(want), want.copies)
		case want.known && d.features.Hinted != nil:
			encoded, found, err = d.features.Hinted.GetHinted(ctx, key, d.keys(want.tags))
		default:
			encoded, found, err = d.leaser.Get(ctx, key)
		}
		return err
	})
	return encoded, found, err
}

// near returns an entry of which there is a copy in the process. Nothing there waits, so it needs
// neither a deadline nor the circuit breaker.
func (d *door) near(ctx context.Context, key string, copies driver.CopyOptions) (encoded []byte, found bool, err error) {
	if d.features.Near == nil || copies.Off || ctx.Err() != nil {
		return nil, false, nil
	}
	defer panics.Catch(&err)
	if encoded, found = d.features.Near.GetNear(key); found {
		d.store.counters.copyHits.Add(1)
	}
	return encoded, found, nil
}

// hint returns the tags that an entry should carry. It is nil if that is not known.
func (d *door) hint(want expected) []string {
	switch {
	case !want.known:
		return nil
	case want.tags == nil:
		return []string{} // none are expected
	}
	return d.keys(want.tags)
}

// getOrLease reads an entry, or asks for a lease on it.
func (d *door) getOrLease(ctx context.Context, key string) (encoded []byte, found bool, lease *driver.Lease, err error) {
	if err = d.mayHit(ctx); err != nil {
		return nil, false, nil, err
	}
	err = d.withBreaker(ctx, func(ctx context.Context) (err error) {
		encoded, found, lease, err = d.leaser.GetOrLease(ctx, d.key(key))
		return err
	})
	return encoded, found, lease, err
}

// call runs one operation on the strategy within the deadline.
func (d *door) call(ctx context.Context, operation func(context.Context) error) error {
	return d.callWithin(ctx, d.timeout(), operation)
}

func (d *door) callWithin(ctx context.Context, timeout time.Duration, operation func(context.Context) error) (err error) {
	defer panics.Catch(&err)
	bounded, cancel := d.withTimeout(ctx, timeout)
	defer cancel()
	return timeoutError(ctx, timeout, operation(bounded))
}

// withTimeout gives ctx the deadline of one operation.
func (d *door) withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if d.features.Immediate {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// timeoutError says ErrUnavailable if it was the operation's deadline that ended it, and not the
// caller'd.
func timeoutError(ctx context.Context, timeout time.Duration, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%w: no answer within %v: %w", ErrUnavailable, timeout, err)
	}
	return err
}

// errEnded is the outcome of an operation in which the strategy ended the goroutine.
var errEnded = errors.New("cache: the strategy ended the goroutine")

// withBreaker runs one operation within the deadline, unless the strategy has been failing.
func (d *door) withBreaker(ctx context.Context, operation func(context.Context) error) error {
	if d.features.Immediate {
		return d.call(ctx, operation)
	}
	pass, waited, ok := d.breaker.Enter(ctx)
	if !ok {
		d.store.counters.shortCircuited.Add(1)
		if waited > 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: it has been failing, and is left alone for a moment", ErrUnavailable)
	}
	outcome := errEnded
	defer func() { d.breaker.Leave(pass, outcome) }()
	err := d.callWithin(ctx, d.timeout()-waited, operation)
	// These do not say that the strategy fails. In the last case it had too little time.
	if outcome = err; err != nil && (ctx.Err() != nil || errors.Is(err, driver.ErrEntryUnavailable) || waited > d.timeout()/4) {
		outcome = breaker.ErrAbandoned
	}
	return err
}

// getMany is get for many keys.
func (d *door) getMany(ctx context.Context, keys []string, want expected) []driver.Result {
	results := make([]driver.Result, len(keys))
	if d.features.Batcher == nil || len(keys) == 0 {
		for i, key := range keys {
			r := &results[i]
			r.Value, r.Found, r.Err = d.get(ctx, key, want)
		}
		return results
	}
	if err := d.getBatch(ctx, keys, want, results); err != nil {
		for i := range results {
			results[i] = driver.Result{Err: err}
		}
	}
	return results
}

// getBatch is getMany by a Batcher. For the circuit breaker it is one operation, which fails if no
// key succeeds.
func (d *door) getBatch(ctx context.Context, keys []string, want expected, results []driver.Result) error {
	if err := d.mayHit(ctx); err != nil {
		return err
	}
	keys = d.keys(keys)
	if d.features.Near == nil {
		return batched(ctx, d, results, func(bounded context.Context) []driver.Result {
			return d.features.Batcher.GetMany(bounded, keys, d.hint(want))
		}, func(r *driver.Result) *error { return &r.Err })
	}
	var far []string
	var places []int // in results
	for i, key := range keys {
		r := &results[i]
		if r.Value, r.Found, r.Err = d.near(ctx, key, want.copies); !r.Found && r.Err == nil {
			far, places = append(far, key), append(places, i)
		}
	}
	if len(far) == 0 {
		return nil
	}
	rest := make([]driver.Result, len(far))
	err := batched(ctx, d, rest, func(bounded context.Context) []driver.Result {
		return d.features.Near.GetManyFar(bounded, far, d.hint(want), want.copies)
	}, func(r *driver.Result) *error { return &r.Err })
	for n, i := range places {
		if results[i] = rest[n]; err != nil {
			results[i] = driver.Result{Err: err}
		}
	}
	return nil
}

// copyAll copies answer to dst. It is an error if they differ in length.
func copyAll[P any](dst, answer []P) error {
	if len(answer) != len(dst) {
		return fmt.Errorf("the strategy answered for %d of %d keys", len(answer), len(dst))
	}
	copy(dst, answer)
	return nil
}
