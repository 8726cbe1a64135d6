package cache

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/internal/chain"
)

// PropagationError says that a change was applied, and that its caller did not wait until every
// node has noticed. Nothing is pending, and nothing is tried again: by itself, what was there
// before ends on all nodes. Find it with errors.As. errors.Is finds ErrNotPropagated and the cause.
type PropagationError struct {
	// For is how much longer other nodes may serve what was there before, from when the call has
	// returned. This node does not. Zero means that the strategy could not say.
	For time.Duration
	// Err is why the call did not wait: the error of its context, or a PanicError of the strategy.
	Err error
}

// Error implements error.
func (e *PropagationError) Error() string {
	if e.For == 0 {
		return fmt.Sprintf("%v: it is not known for how long other nodes may serve what was there before: %v", ErrNotPropagated, e.Err)
	}
	return fmt.Sprintf("%v: other nodes may serve what was there before for up to %v longer: %v", ErrNotPropagated, e.For, e.Err)
}

// Unwrap returns ErrNotPropagated and the cause, for errors.Is and errors.As.
func (e *PropagationError) Unwrap() []error { return []error{ErrNotPropagated, e.Err} }

// WithNewKey returns a context for one Set, SetMany or Update of keys that nobody can have used
// before, such as the random token of a log-in. No node has an old entry of such a key, so the call
// returns as soon as the storage has answered (driver.Propagator). Nothing else changes. Delete,
// InvalidateTags and Clear wait as ever, and so do all calls within the write of that Update.
//
// If the key was in use after all, then other nodes may serve the old value for a moment after the
// call has returned nil. So this is not for a key that a client chooses, that is derived from what
// a client sends, or that is used again after a Delete. In a cache with Policy.NegativeTTL, a key
// that somebody has asked for is not new either: other nodes may remember that there was nothing.
func WithNewKey(ctx context.Context) context.Context { return chain.WithoutPropagation(ctx) }

// propagated ends each call of the application that has changed entries of some stores, whatever
// was stored there. If there is no error, it waits until no other node serves what was there
// before: once, because the longest wait covers all. The caller holds nothing that others wait for.
// names is how many keys or tags there were.
func propagated(ctx context.Context, op string, names int, err error, stores ...*store) error {
	if err != nil || names == 0 {
		return err
	}
	delay, err := propagation(stores)
	switch {
	case err != nil:
		err = &PropagationError{Err: err}
	case delay > 0:
		err = elapse(ctx, delay+delay/10)
	}
	switch {
	case err == nil:
		return nil
	case len(stores) == 1:
		return stores[0].fail(op, err)
	default:
		return &Error{Op: op, Err: err}
	}
}

// written is propagated for a Set or Update of one store.
func written(ctx context.Context, op string, names int, err error, s *store) error {
	if chain.SkipsPropagation(ctx) {
		return err
	}
	return propagated(ctx, op, names, err, s)
}

// propagation returns the longest propagation of stores.
func propagation(stores []*store) (longest time.Duration, err error) {
	for _, s := range stores {
		delay, failed := s.doors.Load().propagation()
		longest, err = max(longest, delay), cmp.Or(err, failed)
	}
	return longest, err
}

// elapse waits. If ctx ends meanwhile, the error is a PropagationError. It is neither a failure of
// the storage nor pending.
func elapse(ctx context.Context, delay time.Duration) error {
	began := time.Now()
	if wait(ctx, delay) {
		return nil
	}
	left := delay - time.Since(began)
	if left <= 0 {
		return nil
	}
	return &PropagationError{For: left, Err: ctx.Err()}
}
