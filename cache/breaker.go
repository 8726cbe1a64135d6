package cache

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

const (
	// tolerated: a strategy of whose operations one in so many succeeds is worth asking.
	tolerated = 10
	// evidence: of the operations under way, one in so many must have failed. It counts where there are
	// more of them than breaker_failures.
	evidence = 4
	// lasting is for how many timeouts a run of failures must have gone on.
	lasting = 10
	// restless: the first pause is that part of breaker_pause, and each that follows it without a success twice
	// as long. Should it have been opened for no good reason, that is soon over.
	restless = 16
	// tries is how many operations after a pause may be ended by this process and not by the strategy.
	tries = 3
)

// breaker leaves a strategy that fails alone for a while, so that requests do not wait for it one
// timeout after the other. Reads, leases and fills ask it; revocations never do.
//
// What opens it is a run of failures. Many at once prove nothing: when 2,000 operations are under way and
// the process does not run for a moment, hundreds fail together. So a run has to last for some timeouts, only
// operations count that began within it, and the more are under way, the more have to fail. Successes
// end it, as soon as they are one in ten.
//
// After the pause one operation is let in, and each success makes room for one more. If all came at once,
// they would fail because they are so many. The others wait for a while: callers that are refused, and try
// again at once, would take the time that the one who was let in needs.
type breaker struct {
	failures       int // Options.BreakerFailures
	pause, timeout time.Duration

	mu sync.Mutex
	// inside are the operations that were let in since the breaker opened last. generation tells them from
	// those that are under way from before.
	inside, generation int

	// The run of failures.
	since             time.Time // zero: there is none
	failed, succeeded int

	broken  bool
	worked  bool          // an operation has succeeded since it was opened
	late    int           // operations let in since then that learned too late of their end to say much
	rest    time.Duration // the pause in force
	until   time.Time     // nobody is let in until then
	room    int           // for operations inside after that
	short   time.Time     // when there was no room last
	waiting list.List     // for room: of chan int, which receives the generation to be let in with, or refused
}

// turnedAway is no generation.
const turnedAway = -1

// pass is what an operation gets that is let in.
type pass struct {
	generation int
	began      time.Time
}

// enter lets an operation in, or refuses. waited is how much of its time is over.
func (b *breaker) enter(ctx context.Context) (p pass, waited time.Duration, ok bool) {
	now := time.Now()
	b.mu.Lock()
	if !b.broken || now.After(b.until) && b.inside < b.room {
		b.inside++
		p = pass{b.generation, now}
		b.mu.Unlock()
		return p, 0, true
	}
	b.short = now
	if !now.After(b.until) {
		b.mu.Unlock()
		return p, 0, false
	}
	decided := make(chan int, 1)
	e := b.waiting.PushBack(decided)
	b.mu.Unlock()
	patience := time.NewTimer(b.timeout / 2) // or too little is left for the operation itself
	defer patience.Stop()
	select {
	case p.generation = <-decided:
	case <-patience.C:
		p.generation = b.giveUp(e)
	case <-ctx.Done():
		p.generation = b.giveUp(e)
	}
	p.began = time.Now()
	if waited = p.began.Sub(now); waited > b.timeout*3/4 && p.generation != turnedAway { // this process was not run
		b.leave(p, errLeft)
		p.generation = turnedAway
	}
	return p, waited, p.generation != turnedAway
}

// giveUp takes one who waits out, unless that was decided on meanwhile.
func (b *breaker) giveUp(e *list.Element) (generation int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting.Remove(e)
	select {
	case generation = <-e.Value.(chan int):
		return generation
	default:
		return turnedAway
	}
}

// leave takes note of how an operation ended.
func (b *breaker) leave(p pass, err error) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.generation != b.generation {
		return
	}
	b.inside--
	switch {
	case errors.Is(err, errLeft) || errors.Is(err, ErrOverloaded): // which says nothing about the strategy
	case err == nil || isRefusal(err) || isBadEntry(err):
		b.success(now)
	default:
		b.failure(p.began, now)
	}
	for b.waiting.Len() > 0 && (!b.broken || b.inside < b.room) {
		b.inside++
		// The last one: it has the most time left, and there are more than can be served.
		b.waiting.Remove(b.waiting.Back()).(chan int) <- b.generation
	}
}

func (b *breaker) success(now time.Time) {
	if b.succeeded++; b.succeeded*tolerated >= b.succeeded+b.failed {
		b.endRun()
	}
	if !b.broken {
		return
	}
	b.worked = true
	if b.room++; now.Sub(b.short) >= b.timeout {
		b.broken = false
	}
}

func (b *breaker) failure(began, now time.Time) {
	if b.since.IsZero() {
		b.since, b.failed, b.succeeded = now, 1, 0
	} else if !began.Before(b.since) {
		b.failed++
	}
	enough := b.failed >= max(b.failures, b.inside/evidence) && now.Sub(b.since) >= lasting*b.timeout
	switch {
	case !b.broken && enough:
		b.rest = b.pause / restless
		b.open(now)
	case b.broken && !b.worked && now.Sub(began) > b.timeout*3/2 && b.late < tries:
		// This process did not run: everybody was waking up to wait. Now they do, and the next one has time.
		b.late++
	case b.broken && (enough || !b.worked):
		b.rest = min(2*b.rest, b.pause)
		b.open(now)
	}
}

// open lets nobody in for a while.
func (b *breaker) open(now time.Time) {
	b.broken, b.worked, b.late, b.until, b.room = true, false, 0, now.Add(b.rest), 1
	b.generation++
	b.inside = 0
	b.endRun()
	for b.waiting.Len() > 0 {
		b.waiting.Remove(b.waiting.Front()).(chan int) <- turnedAway
	}
}

func (b *breaker) endRun() { b.since, b.failed, b.succeeded = time.Time{}, 0, 0 }

// isRefusal reports whether err says that the call was wrong, and not that the strategy is.
func isRefusal(err error) bool {
	refusals := []error{ErrInvalidKey, ErrInvalidTTL, ErrValueTooLarge, ErrTooManyTags, ErrUnsupported}
	return everyLeaf(err, func(leaf error) bool { return slices.Contains(refusals, leaf) })
}

// isBadEntry reports whether err concerns the keys of the call, and not the storage.
func isBadEntry(err error) bool {
	return everyLeaf(err, func(leaf error) bool { return leaf == driver.ErrBadEntry }) //nolint:errorlint // the leaf itself
}

// errLeft says that an operation ended because its caller did.
var errLeft = errors.New("cache: the caller left")

// errEnded stands where the strategy ended the goroutine.
var errEnded = errors.New("cache: the strategy ended the goroutine")

// guarded runs one operation within the deadline, unless the strategy has been failing.
func (s *Service) guarded(ctx context.Context, op string, operation func(context.Context) error) error {
	if s.features.Immediate {
		return s.call(ctx, op, operation)
	}
	p, waited, ok := s.breaker.enter(ctx)
	if !ok {
		s.counters.shortCircuited.Add(1)
		if waited > 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: it has been failing, and is left alone for a moment", ErrUnavailable)
	}
	outcome := errEnded
	defer func() { s.breaker.leave(p, outcome) }()
	err := s.callWithin(ctx, op, s.options.Timeout-waited, operation)
	// None of these says anything about the strategy, least of all that it had less time than it should have.
	if outcome = err; err != nil && (ctx.Err() != nil || errors.Is(err, driver.ErrEntryUnavailable) || waited > s.options.Timeout/4) {
		outcome = errLeft
	}
	return err
}
