package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sony/gobreaker/v2"
)

// breaker leaves a strategy that fails alone for a while, so that requests do not wait for it one
// timeout after the other. Reads, leases and fills ask it; revocations never do.
type breaker struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
}

func newBreaker(failures int, pause time.Duration) breaker {
	return breaker{gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:      pause,
		ReadyToTrip:  func(counts gobreaker.Counts) bool { return int(counts.ConsecutiveFailures) >= failures },
		IsSuccessful: func(err error) bool { return err == nil || isRefusal(err) || isBadEntry(err) },
		// That a caller leaves says nothing about the strategy.
		IsExcluded: func(err error) bool { return errors.Is(err, errLeft) },
	})}
}

// isRefusal reports whether err says that the call was wrong, and not that the strategy is.
func isRefusal(err error) bool {
	refusals := []error{ErrInvalidKey, ErrInvalidTTL, ErrValueTooLarge, ErrTooManyTags, ErrUnsupported}
	return everyLeaf(err, func(leaf error) bool { return slices.Contains(refusals, leaf) })
}

// isBadEntry reports whether err concerns the keys of the call, and not the storage.
func isBadEntry(err error) bool {
	return everyLeaf(err, func(leaf error) bool { return leaf == ErrBadEntry }) //nolint:errorlint // the leaf itself
}

// errLeft says that an operation ended because its caller did.
var errLeft = errors.New("cache: the caller left")

// errEnded stands where the strategy ended the goroutine.
var errEnded = errors.New("cache: the strategy ended the goroutine")

// guarded runs one operation within the deadline, unless the strategy has been failing.
func (s *Service) guarded(ctx context.Context, op string, operation func(context.Context) error) error {
	if s.local {
		return s.call(ctx, op, operation)
	}
	done, err := s.breaker.Allow()
	if err != nil {
		s.counters.shortCircuited.Add(1)
		return fmt.Errorf("%w: it has been failing, and is left alone for a moment", ErrUnavailable)
	}
	outcome := errEnded
	defer func() { done(outcome) }()
	err = s.call(ctx, op, operation)
	// Neither says anything about the strategy.
	if outcome = err; err != nil && (ctx.Err() != nil || errors.Is(err, ErrEntryUnavailable)) {
		outcome = errLeft
	}
	return err
}

// admit lets one loader run while the strategy fails. leave makes room for the next.
func (s *Service) admit() (leave func(), err error) {
	select {
	case s.outage <- struct{}{}:
		return func() { <-s.outage }, nil
	default:
		s.counters.rejectedLoads.Add(1)
		return nil, s.fail("load", fmt.Errorf("%w, and max_concurrent_loads loaders run already", ErrUnavailable))
	}
}
