package revocation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fxcache/fxcache/internal/backoff"
)

// The pauses between two attempts. The longest one bounds how long a storage that is back stays
// unused.
const (
	firstPause = 25 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

const (
	// perCall is how many revocations one call of the strategy takes.
	perCall = 256
	// attempt bounds one attempt, and each call of the outbox.
	attempt = 10 * time.Second
	// clearAttempt bounds an attempt to revoke everything, for which the storage may have to look
	// for the entries.
	clearAttempt = 10 * time.Minute
	// flushShare is the part of Flush's time that is spent on pending revocations.
	flushShare = 0.5
)

// Len returns how many revocations are pending.
func (q *Queue) Len() int { return int(q.pending.Load()) }

// Drain returns nil if nothing is pending. Otherwise a reader tries to apply it, one reader at a
// time, so that a storage that is back is used at once. While Drain fails, no entry may be served.
func (q *Queue) Drain(ctx context.Context) error {
	if q.Len() == 0 {
		return nil
	}
	select {
	case q.applying <- struct{}{}:
	default:
		return ErrPending
	}
	defer func() { <-q.applying }()
	q.mu.Lock()
	patience := q.limits.patience
	q.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := q.apply(bounded); err != nil || q.Len() > 0 {
		return ErrPending
	}
	return nil
}

// Resume lets the background go on with what is pending, and with what the outbox has to forget.
func (q *Queue) Resume() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.retrying || len(q.items)+len(q.applied) == 0 {
		return
	}
	q.retrying = q.options.Start(func(ctx context.Context) {
		finished := false
		defer func() { // also if a strategy ends the goroutine
			if !finished {
				q.mu.Lock()
				q.retrying = false
				q.mu.Unlock()
			}
		}()
		for pauses := (backoff.Backoff{First: firstPause, Last: lastPause, Jitter: true}); ; {
			q.forgetApplied(ctx)
			if finished = q.finished(); finished || !pauses.Wait(ctx) {
				return
			}
			if err := q.applyPatiently(ctx); err != nil && ctx.Err() == nil { // not at the end
				q.options.Warn(ctx, "cache: revocations cannot be applied; no hits are served until they are", err)
			}
		}
	})
}

// finished reports whether there is nothing left to do, and lets the background end then.
func (q *Queue) finished() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items)+len(q.applied) > 0 {
		return false
	}
	q.retrying = false
	return true
}

// applyPatiently is apply with time.
func (q *Queue) applyPatiently(ctx context.Context) error {
	patience := attempt
	q.mu.Lock()
	if _, everything := q.items[Revocation{}]; everything {
		patience = clearAttempt
	}
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case q.applying <- struct{}{}:
		defer func() { <-q.applying }()
		return q.apply(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apply tries once to apply everything that is pending. Callers hold applying.
func (q *Queue) apply(ctx context.Context) error {
	now := q.options.Clock.Now()
	q.mu.Lock()
	call := q.calls.Load()
	var keys, tags, expired, everything []Revocation
	for r, i := range q.items {
		switch {
		case !now.Before(i.until):
			expired = append(expired, r)
		case r == Revocation{}:
			everything = append(everything, r)
		case r.Tag != "":
			tags = append(tags, r)
		default:
			keys = append(keys, r)
		}
	}
	q.mu.Unlock()
	q.remove(call, expired, true)
	defer q.Resume() // for the outbox
	// What fails must not keep the rest from being applied.
	var failures error
	parts := slices.Concat(split(everything), split(keys), split(tags))
	for n, part := range parts {
		if err := q.options.Apply(ctx, part); err == nil {
			q.remove(call, part, false)
		} else if failures = errors.Join(failures, err); ctx.Err() != nil {
			break
		} else if n == 0 && len(everything) > 0 && !q.options.Refused(err) {
			break // it covers the others
		}
	}
	return failures
}

// split divides revocations into what one call of the strategy takes.
func split(revocations []Revocation) [][]Revocation {
	return slices.Collect(slices.Chunk(revocations, perCall))
}

// Flush tries to apply what is pending for a part of ctx's time. Its error says how many are left.
func (q *Queue) Flush(ctx context.Context) error {
	patience := attempt
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Duration(float64(time.Until(deadline)) * flushShare)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer q.forgetApplied(ctx)
	for pauses := (backoff.Backoff{First: firstPause, Last: lastPause}); q.Len() > 0; {
		if err := q.applyPatiently(ctx); err != nil && !pauses.Wait(ctx) {
			return &leftError{q.Len(), err}
		}
	}
	return nil
}

// leftError is an ErrPending at the end, when nothing is tried again any more.
type leftError struct {
	left int
	err  error
}

// Error implements error.
func (e *leftError) Error() string {
	return fmt.Sprintf("cache: the time to stop is over, and revocations are not applied: %d are left: %v", e.left, e.err)
}

// Unwrap returns ErrPending and the cause.
func (e *leftError) Unwrap() []error { return []error{ErrPending, e.err} }
