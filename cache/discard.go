package cache

import (
	"context"
	"errors"
	"time"
)

// damaged counts an entry that was found and could not be decoded, and reports whether it is good for nobody:
// one of another release, type or codec is somebody's, and stays until it is replaced.
func (s *Service) damaged(cause error) bool {
	s.counters.misses.Add(1)
	if errors.Is(cause, ErrForeign) {
		s.counters.foreign.Add(1)
		return false
	}
	s.counters.corrupt.Add(1)
	return true
}

// undecoded takes note of an entry that was found and could not be decoded.
func (s *Service) undecoded(ctx context.Context, physical string, cause error) {
	if s.damaged(cause) {
		s.discard(ctx, cause, physical)
	}
}

// discard deletes damaged entries, as far as that is possible at once. Nobody is promised that it is done:
// they are no hits in any case, so a failure costs no more than meeting them again. It is never owed, is not
// tried for a caller who has left, nor for breaker_pause after it has failed, and the circuit breaker does
// not count it.
func (s *Service) discard(ctx context.Context, cause error, physical ...string) {
	if len(physical) == 0 {
		return
	}
	if ctx.Err() == nil && time.Now().UnixNano() >= s.discards.Load() {
		err := s.call(ctx, "delete", func(ctx context.Context) error { return s.leaser.Delete(ctx, physical...) })
		if err != nil && ctx.Err() == nil {
			s.discards.Store(time.Now().Add(s.options.BreakerPause).UnixNano())
		}
		cause = errors.Join(cause, err)
	}
	s.warn(ctx, &s.corruptWarning, "cache: an entry could not be decoded; it is deleted where that is possible", cause)
}
