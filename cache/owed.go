package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/internal/sabotage"
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
	// owedPatience bounds one try, and each call of the Outbox. It is longer than the deadline of an
	// operation, because Clear may take its time where the storage has to look for the entries.
	owedPatience = 10 * time.Second
	// flushShare is the part of Stop's time that is spent on what is owed.
	flushShare = 0.5
)

// errNoHits is what reads get until everything that is owed was applied.
var errNoHits = fmt.Errorf("%w for reads: %w", ErrUnavailable, ErrRevocationPending)

// Revocation is one thing that must not be served any more.
type Revocation struct {
	// Key is a key that was deleted, as the Strategy knows it but without the namespace: for caches with
	// Policy.HashKeys a digest. It may hold any bytes.
	Key string
	// Tag is a tag that was invalidated. Where Key and Tag are empty, everything was revoked.
	Tag string
}

// Outbox keeps owed revocations where they outlive the process, such as the application's database.
// Export one (fxcache.Export[cache.Outbox]), or provide it to the container that Start receives.
// Methods must be safe for concurrent use, and are called with a deadline of ten seconds.
type Outbox interface {
	// Add keeps revocations; one that is there already is fine.
	Add(ctx context.Context, owed []Revocation) error
	// Remove forgets revocations, because they were applied; one that is not there is fine.
	Remove(ctx context.Context, applied []Revocation) error
	// Owed returns what was added and not removed. Start applies it before the first hit is served.
	Owed(ctx context.Context) ([]Revocation, error)
}

// owed is what one Service owes.
type owed struct {
	pending atomic.Int64  // how many; every read looks at it
	calls   atomic.Uint64 // of Delete, InvalidateTags and Clear

	mu sync.Mutex
	// items are the revocations with the number of the call that asked last. One that is owed again
	// while it is being applied stays.
	items    map[Revocation]debt
	retrying bool
	outbox   Outbox

	paying sync.Mutex // held while what is owed is applied
}

type debt struct {
	call  uint64
	until time.Time // no entry that it concerns can live longer
}

// owe notes revocations that could not be applied, and returns what the caller is told.
func (s *Service) owe(ctx context.Context, call uint64, revocations []Revocation, bound time.Duration, cause error) error {
	o := &s.owed
	until := s.options.Clock.Now().Add(bound)
	o.mu.Lock()
	var covered []Revocation
	if len(o.items)+len(revocations) > s.options.MaxPendingRevocations {
		// One that covers them all.
		until = s.options.Clock.Now().Add(s.options.MaxTTL)
		covered = slices.Collect(maps.Keys(o.items))
		clear(o.items)
		revocations = []Revocation{{}}
	}
	if o.items == nil {
		o.items = make(map[Revocation]debt)
	}
	for _, revocation := range revocations {
		if !sabotage.Off(sabotage.OwedRetry) {
			o.items[revocation] = debt{call, until}
		}
	}
	o.pending.Store(int64(len(o.items)))
	outbox := o.outbox
	o.mu.Unlock()
	s.retryOwed()
	if outbox != nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), owedPatience)
		defer cancel()
		err := callOutbox(func() error { return outbox.Add(bounded, revocations) })
		if err == nil && len(covered) > 0 {
			err = callOutbox(func() error { return outbox.Remove(bounded, covered) })
		}
		if err != nil {
			cause = errors.Join(cause, fmt.Errorf("the outbox cannot keep it: %w", err))
		}
	}
	return &PendingError{Until: until, Err: cause}
}

// settle takes off what the call with that number, or an earlier one, asked for.
func (s *Service) settle(ctx context.Context, call uint64, revocations []Revocation) {
	o := &s.owed
	var applied []Revocation
	o.mu.Lock()
	for _, revocation := range revocations {
		if debt, ok := o.items[revocation]; ok && debt.call <= call {
			delete(o.items, revocation)
			applied = append(applied, revocation)
		}
	}
	o.pending.Store(int64(len(o.items)))
	outbox := o.outbox
	o.mu.Unlock()
	if outbox == nil || len(applied) == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), owedPatience)
	defer cancel()
	if err := callOutbox(func() error { return outbox.Remove(bounded, applied) }); err != nil {
		// It will be applied once more, after the next start.
		s.warn(ctx, &s.owedWarning, "cache: the outbox cannot forget what was applied", err)
	}
}

// mayHit reports whether an entry may be served: not before everything that is owed was applied. A
// reader tries that itself, one at a time, so that a storage that is back is used at once.
func (s *Service) mayHit(ctx context.Context) error {
	if s.owed.pending.Load() == 0 || sabotage.Off(sabotage.DrainBeforeServe) {
		return nil
	}
	if !s.owed.paying.TryLock() {
		return errNoHits
	}
	defer s.owed.paying.Unlock()
	bounded, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if err := s.payOwed(bounded); err != nil || s.owed.pending.Load() > 0 {
		return errNoHits
	}
	return nil
}

// retryOwed sees to it that somebody tries to apply what is owed.
func (s *Service) retryOwed() {
	o := &s.owed
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.retrying || len(o.items) == 0 {
		return
	}
	_, _, o.retrying = s.loads.start(context.Background(), func(ctx context.Context) {
		pause := firstRetry
		for !s.nothingOwed() {
			timer := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // not a secret
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				o.mu.Lock()
				o.retrying = false
				o.mu.Unlock()
				return
			}
			if err := s.payAllOwed(ctx); err != nil {
				s.warn(ctx, &s.owedWarning, "cache: revocations cannot be applied; no hits are served until they are", err)
			}
			pause = min(2*pause, lastRetry)
		}
	})
}

// nothingOwed reports whether the retrying is over, and ends it then.
func (s *Service) nothingOwed() bool {
	s.owed.mu.Lock()
	defer s.owed.mu.Unlock()
	if len(s.owed.items) > 0 {
		return false
	}
	s.owed.retrying = false
	return true
}

// payAllOwed is payOwed with patience.
func (s *Service) payAllOwed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, owedPatience)
	defer cancel()
	s.owed.paying.Lock()
	defer s.owed.paying.Unlock()
	return s.payOwed(ctx)
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
	s.settle(ctx, call, over)
	if len(all) > 0 {
		if err := s.apply(ctx, all); err != nil {
			return err
		}
		s.settle(ctx, call, all)
	}
	for _, list := range [][]Revocation{keys, tags} {
		for len(list) > 0 {
			n := min(len(list), owedAtOnce)
			if err := s.apply(ctx, list[:n]); err != nil {
				return err
			}
			s.settle(ctx, call, list[:n])
			list = list[n:]
		}
	}
	return nil
}

// apply hands revocations of one kind to the strategy. It does not ask the circuit breaker: what must
// not be served goes before what would be nice to have.
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
		bounded, cancel := s.bounded(ctx)
		defer cancel()
		return s.cause(ctx, s.leaser.InvalidateTags(bounded, names...))
	default:
		bounded, cancel := s.bounded(ctx)
		defer cancel()
		return s.cause(ctx, s.leaser.Delete(bounded, names...))
	}
}

func (s *Service) clear(ctx context.Context) error {
	clearer, ok := s.leaser.(Clearer)
	if !ok {
		return ErrUnsupported
	}
	return clearer.Clear(ctx)
}

// recallOwed takes over what an earlier process owed, and tries at once to apply it.
func (s *Service) recallOwed(ctx context.Context, outbox Outbox) (err error) {
	s.owed.mu.Lock()
	s.owed.outbox = outbox
	s.owed.mu.Unlock()
	if outbox == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, owedPatience)
	defer cancel()
	var old []Revocation
	if err := callOutbox(func() (err error) { old, err = outbox.Owed(ctx); return err }); err != nil {
		return fmt.Errorf("the outbox cannot be read: %w", err)
	}
	until := s.options.Clock.Now().Add(s.options.MaxTTL)
	s.owed.mu.Lock()
	if s.owed.items == nil {
		s.owed.items = make(map[Revocation]debt)
	}
	for _, revocation := range old {
		s.owed.items[revocation] = debt{0, until}
	}
	s.owed.pending.Store(int64(len(s.owed.items)))
	s.owed.mu.Unlock()
	if len(old) > 0 {
		if err := s.payAllOwed(ctx); err != nil {
			s.warn(ctx, &s.owedWarning, "cache: revocations of an earlier run cannot be applied yet; no hits are served until they are", err)
		}
	}
	return nil
}

// flushOwed tries to apply what is owed until a part of ctx's time is over, and reports what is left.
func (s *Service) flushOwed(ctx context.Context) error {
	patience := owedPatience
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Duration(float64(time.Until(deadline)) * flushShare)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
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

// callOutbox runs foreign code.
func callOutbox(call func() error) (err error) {
	defer asPanicError(&err)
	return call()
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
