// Package breaker is the circuit breaker in front of a storage.
package breaker

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/failure"
)

const (
	// successShare: if one operation in 10 succeeds, the storage is worth asking.
	successShare = 10
	// failureShare: one in 4 of the operations under way must have failed, if that is more than
	// Options.Failures.
	failureShare = 4
	// minRun is how long a run of failures must have gone on, in timeouts.
	minRun = 10
	// firstPauseShare: the first pause is one 16th of Options.Pause. Each one that follows without
	// a success is twice as long. So a breaker that was opened for no good reason soon closes
	// again.
	firstPauseShare = 16
	// maxLate is how many operations after a pause may end late because this process did not run.
	// They are not held against the storage.
	maxLate = 3
)

// ErrAbandoned is the outcome of an operation that ended because its caller left. It says nothing
// about the storage.
var ErrAbandoned = errors.New("cache: the caller left")

// Options say when a Breaker opens. All fields are required.
type Options struct {
	// Failures is how many operations must have failed, at least.
	Failures int
	// Pause is how long the storage is left alone, at most, before one operation tries it again.
	Pause time.Duration
	// Timeout is the deadline of each operation.
	Timeout time.Duration
}

// Breaker leaves a storage that fails alone for a while, so that requests do not wait for one
// timeout after the other. Reads, leases and fills ask it; revocations never do.
//
// A run of failures opens it. Many failures at once prove nothing: if 2,000 operations are under
// way and the process does not run for a moment, hundreds fail together. So a run has to last for
// some timeouts, only operations count that began within it, and the more are under way, the more
// have to fail. Successes end a run as soon as they are one in ten.
//
// After the pause one operation is let in, and each success makes room for one more. If all came in
// at once, they would fail because they are too many. The others wait for a while. If they were
// refused, their callers would try again at once, and take the time that the operation inside
// needs.
//
// It is safe for concurrent use.
type Breaker struct {
	options Options

	mu sync.Mutex
	// inside counts the operations that were let in since the breaker opened last. generation tells
	// them from operations that began earlier.
	inside, generation int

	// The run of failures.
	since             time.Time // zero: there is none
	failed, succeeded int

	isOpen bool
	worked bool // an operation has succeeded since it opened
	// operations since then that ended late because this process did not run
	late      int
	pause     time.Duration // the one in force
	until     time.Time     // no operation is let in before
	room      int           // for operations inside after that
	fullSince time.Time     // when there was no room last
	// for room: of chan int, which receives the generation to be let in with, or refused
	waiting list.List
}

// Configure changes the options, for what follows.
func (b *Breaker) Configure(options Options) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.options = options
}

// New returns a closed Breaker: it lets everybody in.
func New(options Options) *Breaker { return &Breaker{options: options} }

// refused takes the place of a generation if an operation is not let in.
const refused = -1

// Pass is what an operation that is let in gets. It gives it back with Leave.
type Pass struct {
	generation int
	began      time.Time
}

// Enter lets an operation in, or refuses it. waited is how long the operation has waited, which
// counts towards its timeout.
func (b *Breaker) Enter(ctx context.Context) (p Pass, waited time.Duration, ok bool) {
	now := time.Now()
	b.mu.Lock()
	if !b.isOpen || now.After(b.until) && b.inside < b.room {
		b.inside++
		p = Pass{b.generation, now}
		b.mu.Unlock()
		return p, 0, true
	}
	b.fullSince = now
	if !now.After(b.until) {
		b.mu.Unlock()
		return p, 0, false
	}
	decided := make(chan int, 1)
	e := b.waiting.PushBack(decided)
	timeout := b.options.Timeout
	b.mu.Unlock()
	// or too little is left for the operation itself
	patience := time.NewTimer(timeout / 2)
	defer patience.Stop()
	select {
	case p.generation = <-decided:
	case <-patience.C:
		p.generation = b.giveUp(e)
	case <-ctx.Done():
		p.generation = b.giveUp(e)
	}
	p.began = time.Now()
	// this process was not run
	if waited = p.began.Sub(now); waited > timeout*3/4 && p.generation != refused {
		b.Leave(p, ErrAbandoned)
		p.generation = refused
	}
	return p, waited, p.generation != refused
}

// Open reports whether the breaker has opened, and not closed since.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.isOpen
}

// giveUp removes a waiting operation, unless it was let in or refused meanwhile.
func (b *Breaker) giveUp(e *list.Element) (generation int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting.Remove(e)
	select {
	case generation = <-e.Value.(chan int):
		return generation
	default:
		return refused
	}
}

// Leave records how an operation ended. ErrAbandoned and driver.ErrOverloaded say nothing about the
// storage.
func (b *Breaker) Leave(p Pass, err error) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.generation != b.generation {
		return
	}
	b.inside--
	switch {
	case errors.Is(err, ErrAbandoned) || errors.Is(err, driver.ErrOverloaded):
	case err == nil || failure.IsRefusal(err) || failure.IsBadEntry(err):
		b.success(now)
	default:
		b.failure(p.began, now)
	}
	for b.waiting.Len() > 0 && (!b.isOpen || b.inside < b.room) {
		b.inside++
		// Let the last one in: it has the most time left, and not all can be served in time.
		b.waiting.Remove(b.waiting.Back()).(chan int) <- b.generation
	}
}

func (b *Breaker) success(now time.Time) {
	if b.succeeded++; b.succeeded*successShare >= b.succeeded+b.failed {
		b.endRun()
	}
	if !b.isOpen {
		return
	}
	b.worked = true
	if b.room++; now.Sub(b.fullSince) >= b.options.Timeout {
		b.isOpen = false
	}
}

func (b *Breaker) failure(began, now time.Time) {
	if b.since.IsZero() {
		b.since, b.failed, b.succeeded = now, 1, 0
	} else if !began.Before(b.since) {
		b.failed++
	}
	enough := b.failed >= max(b.options.Failures, b.inside/failureShare) && now.Sub(b.since) >= minRun*b.options.Timeout
	switch {
	case !b.isOpen && enough:
		b.pause = b.options.Pause / firstPauseShare
		b.trip(now)
	case b.isOpen && !b.worked && now.Sub(began) > b.options.Timeout*3/2 && b.late < maxLate:
		// This process did not run for a while, because it was waking up all waiting operations.
		// They wait by now, so the next operation has its time.
		b.late++
	case b.isOpen && (enough || !b.worked):
		b.pause = min(2*b.pause, b.options.Pause)
		b.trip(now)
	}
}

// open opens the breaker: no operation is let in until the pause has passed.
func (b *Breaker) trip(now time.Time) {
	b.isOpen, b.worked, b.late, b.until, b.room = true, false, 0, now.Add(b.pause), 1
	b.generation++
	b.inside = 0
	b.endRun()
	for b.waiting.Len() > 0 {
		b.waiting.Remove(b.waiting.Front()).(chan int) <- refused
	}
}

func (b *Breaker) endRun() { b.since, b.failed, b.succeeded = time.Time{}, 0, 0 }
