package cache

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Outbox keeps owed revocations where they outlive the process, such as the application's database.
// In an fx application, provide one; otherwise put it into the container that Start receives.
// Methods must be safe for concurrent use, and are called with a deadline of ten seconds.
//
// Each revocation is owed to one storage, and is forgotten when that has it, or when its time is over. So a
// process that runs on another storage meanwhile leaves it alone.
type Outbox interface {
	// Add keeps revocations, with all their fields; one that is there already, whatever its Until, is fine.
	Add(ctx context.Context, owed []Revocation) error
	// Remove forgets revocations, because they were applied; one that is not there is fine. Where several
	// processes share the storage, it must forget only what this one has added, or was given by Owed:
	// another one may owe the same again by now.
	Remove(ctx context.Context, applied []Revocation) error
	// Owed returns what was added and not removed, whichever storage it is owed to. Start applies what
	// concerns its own before the first hit is served.
	Owed(ctx context.Context) ([]Revocation, error)
}

// keepOwed has the outbox keep what is owed. The rows that it covers go afterwards, in the background.
func (s *Service) keepOwed(ctx context.Context, noted, covered []Revocation) error {
	o := &s.owed
	o.mu.Lock()
	outbox := o.outbox
	o.mu.Unlock()
	if outbox == nil {
		return nil
	}
	select {
	case o.writing <- struct{}{}:
		defer func() { <-o.writing }()
	case <-ctx.Done():
		return fmt.Errorf("the outbox cannot keep it: %w", ctx.Err())
	}
	rows := make([]Revocation, len(noted))
	o.mu.Lock()
	for i, revocation := range noted {
		rows[i] = s.storage.row(revocation, o.items[revocation].until)
	}
	o.mu.Unlock()
	if err := callOutbox(func() error { return outbox.Add(ctx, rows) }); err != nil {
		return fmt.Errorf("the outbox cannot keep it: %w", err)
	}
	o.mu.Lock()
	o.applied = append(o.applied, covered...)
	for _, row := range rows {
		if old, owed := o.items[row.target()]; owed {
			o.items[row.target()] = old.and(debt{rows: []Revocation{row}})
		} else { // applied meanwhile
			o.applied = append(o.applied, row)
		}
	}
	o.mu.Unlock()
	s.retryOwed()
	return nil
}

// forgetApplied has the outbox forget what was applied, and is not owed again.
func (s *Service) forgetApplied(ctx context.Context) {
	o := &s.owed
	ctx, cancel := context.WithTimeout(ctx, owedPatience)
	defer cancel()
	select {
	case o.writing <- struct{}{}:
		defer func() { <-o.writing }()
	case <-ctx.Done():
		return
	}
	o.mu.Lock()
	applied := slices.DeleteFunc(o.applied, func(row Revocation) bool {
		old, again := o.items[row.target()]
		if again {
			o.items[row.target()] = old.and(debt{rows: []Revocation{row}})
		}
		return again
	})
	o.applied = nil
	outbox := o.outbox
	o.mu.Unlock()
	if outbox == nil || len(applied) == 0 {
		return
	}
	if err := callOutbox(func() error { return outbox.Remove(ctx, applied) }); err != nil {
		// It will be applied once more, after the next start.
		s.warn(ctx, &s.owedWarning, "cache: the outbox cannot forget what was applied", err)
	}
}

// recallOwed takes over what an earlier process owed, and tries at once to apply it.
func (s *Service) recallOwed(ctx context.Context, outbox Outbox) (err error) {
	o := &s.owed
	o.mu.Lock()
	o.outbox, o.applied = outbox, nil
	o.mu.Unlock()
	if outbox == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, owedPatience)
	defer cancel()
	var old []Revocation
	if err := callOutbox(func() (err error) { old, err = outbox.Owed(ctx); return err }); err != nil {
		return fmt.Errorf("the outbox cannot be read: %w", err)
	}
	now, foreign := s.options.Clock.Now(), 0
	o.mu.Lock()
	if o.items == nil {
		o.items = make(map[Revocation]debt)
	}
	for _, row := range old {
		until := row.Until
		if until.IsZero() {
			until = now.Add(s.options.MaxTTL + s.leaseTTL)
		}
		switch target := row.target(); {
		case !now.Before(until) || s.storage.died(row):
			o.applied = append(o.applied, row)
		case s.storage.concerns(row):
			o.items[target] = o.items[target].and(debt{until: until, rows: []Revocation{row}})
		default:
			foreign++
		}
	}
	noted, _, covered := s.note(0, nil, time.Time{})
	owes := len(o.items) > 0
	o.mu.Unlock()
	if foreign > 0 {
		s.options.Logger.WarnContext(ctx, "cache: the outbox has revocations that are owed to another storage than the one in use; they are kept. "+
			"What is revoked from now on, that storage will not know: clear it before you go back to it", "strategy", s.options.StrategyName,
			"namespace", s.options.Namespace, "revocations", foreign)
	}
	if !owes {
		return nil
	}
	if len(noted) > 0 {
		if err := s.keepOwed(ctx, noted, covered); err != nil {
			return err
		}
	}
	if err := s.payAllOwed(ctx); err != nil {
		s.warn(ctx, &s.owedWarning, "cache: revocations of an earlier run cannot be applied yet; no hits are served until they are", err)
	}
	return nil
}

// callOutbox runs foreign code.
func callOutbox(call func() error) (err error) {
	defer asPanicError(&err)
	return call()
}
