package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A revocation that the storage did not take is owed: it is tried again in the background until it
// is applied, and until then this Service serves no hit. Others may be serving what was revoked, so
// the caller gets a PendingError with the time until which that can go on.

// The pauses between two tries to apply what is owed. The longest one bounds how long a storage that
// is back stays unused.
const (
	firstRetry = 25 * time.Millisecond
	lastRetry  = 500 * time.Millisecond
)

const (
	// owedAtOnce is how many owed revocations one call of the strategy takes.
	owedAtOnce = 256
	// owedPatience bounds one try, each call of the Outbox, and a Clear that somebody waits for: that may
	// take its time where the storage has to look for the entries.
	owedPatience = 10 * time.Second
	// clearPatience bounds a Clear in the background.
	clearPatience = 10 * time.Minute
	// flushShare is the part of Stop's time that is spent on what is owed.
	flushShare = 0.5
)

// errNoHits is what reads get until everything that is owed was applied.
var errNoHits = fmt.Errorf("%w for reads: %w", ErrUnavailable, ErrRevocationPending)

// owed is what one Service owes.
type owed struct {
	pending atomic.Int64  // how many; every read looks at it
	calls   atomic.Uint64 // of Delete, InvalidateTags and Clear
	failed  atomic.Uint64 // those of which something is owed, or was

	mu sync.Mutex
	// items are the revocations with the number of the call that asked last. One that is owed again
	// while it is being applied stays.
	items    map[Revocation]debt
	retrying bool
	outbox   Outbox
	applied  []Revocation // rows that the outbox has to forget

	// writing has room for the one who changes the outbox: of a revocation that is owed again, the Add
	// must be the last word. Channels and not mutexes, because they are held while others do I/O.
	writing chan struct{}
	paying  chan struct{} // has room for the one who applies what is owed
}

type debt struct {
	call  uint64
	until time.Time    // no entry that it concerns can live longer
	rows  []Revocation // that stand for it in the outbox
}

// note takes revocations down; beyond the limit, one that covers all takes their place. It returns
// what stands for revocations now, until when if that covers others, and the rows of those. Callers hold owed.mu.
func (s *Service) note(call uint64, revocations []Revocation, until time.Time) (noted []Revocation, last time.Time, covered []Revocation) {
	o := &s.owed
	if o.items == nil {
		o.items = make(map[Revocation]debt)
	}
	for _, revocation := range revocations {
		// A call that came later may have failed earlier.
		old := o.items[revocation]
		o.items[revocation] = old.and(debt{call: call, until: until})
	}
	if len(o.items) > s.options.MaxPendingRevocations {
		all := debt{call: call, until: s.options.Clock.Now().Add(s.options.MaxTTL + s.leaseTTL)}
		for revocation, old := range o.items {
			if revocation != (Revocation{}) {
				covered = append(covered, s.storage.own(old.rows)...)
				old.rows = nil
			}
			all = all.and(old)
		}
		clear(o.items)
		revocations, last = []Revocation{{}}, all.until
		o.items[Revocation{}] = all
	}
	o.pending.Store(int64(len(o.items)))
	return revocations, last, covered
}

func (d debt) and(other debt) debt {
	d.call = max(d.call, other.call)
	if other.until.After(d.until) {
		d.until = other.until
	}
	for _, row := range other.rows {
		if !slices.Contains(d.rows, row) {
			d.rows = append(d.rows, row)
		}
	}
	return d
}

// owe notes revocations that could not be applied, and returns what the caller is told.
func (s *Service) owe(ctx context.Context, call uint64, revocations []Revocation, bound time.Duration, cause error) error {
	o := &s.owed
	o.mu.Lock()
	// What is owed stays so for as long as any entry may live, because another process may give its
	// entries more time than this one's policy; bound is what this one knows.
	now := s.options.Clock.Now()
	noted, until, covered := s.note(call, revocations, now.Add(s.options.MaxTTL+s.leaseTTL))
	if until.IsZero() {
		until = now.Add(bound + s.leaseTTL)
	}
	o.failed.Add(1)
	o.mu.Unlock()
	s.retryOwed()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), owedPatience)
	defer cancel()
	if err := s.keepOwed(ctx, noted, covered); err != nil {
		cause = errors.Join(cause, err)
	}
	if s.phase.Load() != phaseStarted { // Stop came meanwhile: nobody tries again
		cause = errors.Join(cause, ErrClosed)
	}
	return &PendingError{Until: until, Err: cause}
}

// settle takes off what the call with that number, or an earlier one, asked for. The outbox forgets what this
// storage was to forget; where over says that the time of it is over, all.
func (s *Service) settle(call uint64, revocations []Revocation, over bool) {
	o := &s.owed
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, revocation := range revocations {
		if debt, ok := o.items[revocation]; ok && debt.call <= call {
			delete(o.items, revocation)
			if !over {
				debt.rows = s.storage.own(debt.rows)
			}
			o.applied = append(o.applied, debt.rows...)
		}
	}
	o.pending.Store(int64(len(o.items)))
}

// mayHit reports whether an entry may be served: not before everything that is owed was applied. A
// reader tries that itself, one at a time, so that a storage that is back is used at once.
func (s *Service) mayHit(ctx context.Context) error {
	if s.owed.pending.Load() == 0 {
		return nil
	}
	select {
	case s.owed.paying <- struct{}{}:
	default:
		return errNoHits
	}
	defer func() { <-s.owed.paying }()
	bounded, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if err := s.payOwed(bounded); err != nil || s.owed.pending.Load() > 0 {
		return errNoHits
	}
	return nil
}

// retryOwed sees to it that somebody tries to apply what is owed, and tells the outbox.
func (s *Service) retryOwed() {
	o := &s.owed
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.retrying || len(o.items)+len(o.applied) == 0 {
		return
	}
	_, _, o.retrying = s.loads.start(context.Background(), func(ctx context.Context) {
		finished := false
		defer func() { // also when a strategy ends the goroutine
			if !finished {
				o.mu.Lock()
				o.retrying = false
				o.mu.Unlock()
			}
		}()
		for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
			s.forgetApplied(ctx)
			if finished = s.nothingOwed(); finished {
				return
			}
			timer := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // not a secret
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
			if err := s.payAllOwed(ctx); err != nil {
				s.warn(ctx, &s.owedWarning, "cache: revocations cannot be applied; no hits are served until they are", err)
			}
		}
	})
}

// nothingOwed reports whether the retrying is over, and ends it then.
func (s *Service) nothingOwed() bool {
	s.owed.mu.Lock()
	defer s.owed.mu.Unlock()
	if len(s.owed.items)+len(s.owed.applied) > 0 {
		return false
	}
	s.owed.retrying = false
	return true
}

// payAllOwed is payOwed with patience.
func (s *Service) payAllOwed(ctx context.Context) error {
	patience := owedPatience
	s.owed.mu.Lock()
	if _, everything := s.owed.items[Revocation{}]; everything {
		patience = clearPatience
	}
	s.owed.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case s.owed.paying <- struct{}{}:
		defer func() { <-s.owed.paying }()
		return s.payOwed(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// payOwed tries once to apply what is owed. Callers hold owed.paying.
func (s *Service) payOwed(ctx context.Context) error {
	o := &s.owed
	now := s.options.Clock.Now()
	o.mu.Lock()
	call := o.calls.Load()
	var keys, tags, over, all []Revocation
	for revocation, debt := range o.items {
		switch {
		case !now.Before(debt.until):
			over = append(over, revocation)
		case revocation == Revocation{}:
			all = append(all, revocation)
		case revocation.Tag != "":
			tags = append(tags, revocation)
		default:
			keys = append(keys, revocation)
		}
	}
	o.mu.Unlock()
	s.settle(call, over, true)
	defer s.retryOwed() // for the outbox
	// What fails must not keep the rest from being applied.
	var failures error
	lists := slices.Concat(chunks(all), chunks(keys), chunks(tags))
	for i, list := range lists {
		if err := s.apply(ctx, list); err == nil {
			s.settle(call, list, false)
		} else if failures = errors.Join(failures, err); ctx.Err() != nil {
			break
		} else if i == 0 && len(all) > 0 && !isRefusal(err) {
			break // the others are covered by it
		}
	}
	return failures
}

// chunks divides revocations into what one call of the strategy takes.
func chunks(revocations []Revocation) [][]Revocation {
	return slices.Collect(slices.Chunk(revocations, owedAtOnce))
}

// apply hands revocations of one kind to the strategy. It does not ask the circuit breaker: what must
// not be served goes before what would be nice to have. ErrNotReplicated is a failure here: nobody is told
// of it, and a replica that is promoted would bring back what this node has said it will not serve.
func (s *Service) apply(ctx context.Context, revocations []Revocation) (err error) {
	defer s.recovered("delete", &err)
	names := make([]string, len(revocations))
	for i, revocation := range revocations {
		names[i] = s.prefix + revocation.Key + revocation.Tag // one of them is empty
	}
	switch first := revocations[0]; {
	case first == Revocation{}:
		return s.clear(ctx)
	case first.Tag != "":
		bounded, cancel := s.bounded(ctx, s.options.Timeout)
		defer cancel()
		return s.cause(ctx, s.options.Timeout, s.leaser.InvalidateTags(bounded, names...))
	default:
		bounded, cancel := s.bounded(ctx, s.options.Timeout)
		defer cancel()
		return s.cause(ctx, s.options.Timeout, s.leaser.Delete(bounded, names...))
	}
}

// isApplied reports whether err says no more than that replicas are behind.
func isApplied(err error) bool {
	return everyLeaf(err, func(leaf error) bool {
		return leaf == ErrNotReplicated //nolint:errorlint // the leaf itself
	})
}

// everyLeaf reports whether all that err tells of is so: an error may tell of several parts of the storage,
// and errors.Is is true for one of them.
func everyLeaf(err error, is func(leaf error) bool) bool {
	switch wrapper := err.(type) { //nolint:errorlint // walks the tree
	case interface{ Unwrap() error }:
		if inner := wrapper.Unwrap(); inner != nil {
			return everyLeaf(inner, is)
		}
	case interface{ Unwrap() []error }:
		for _, part := range wrapper.Unwrap() {
			if !everyLeaf(part, is) {
				return false
			}
		}
		return len(wrapper.Unwrap()) > 0
	}
	return is(err)
}

func (s *Service) clear(ctx context.Context) error {
	if s.features.Clearer == nil {
		return ErrUnsupported
	}
	return s.features.Clearer.Clear(ctx)
}

// flushOwed tries to apply what is owed until a part of ctx's time is over, and reports what is left.
func (s *Service) flushOwed(ctx context.Context) error {
	patience := owedPatience
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Duration(float64(time.Until(deadline)) * flushShare)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer s.forgetApplied(ctx)
	for pause := firstRetry; s.owed.pending.Load() > 0; pause = min(2*pause, lastRetry) {
		err := s.payAllOwed(ctx)
		if err == nil {
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %d are left: %w", ErrRevocationPending, s.owed.pending.Load(), err)
		}
	}
	return nil
}

// revocationKind says what is revoked.
type revocationKind int

const (
	ofAll revocationKind = iota
	ofKeys
	ofTags
)

// revocations are those of physical keys or tags, or the one of everything.
func (s *Service) revocations(kind revocationKind, physical []string) []Revocation {
	if kind == ofAll {
		return []Revocation{{}}
	}
	revocations := make([]Revocation, len(physical))
	for i, name := range physical {
		name = strings.TrimPrefix(name, s.prefix)
		if kind == ofTags {
			revocations[i].Tag = name
		} else {
			revocations[i].Key = name
		}
	}
	return revocations
}
