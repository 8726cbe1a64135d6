package cache

import (
	"context"
	"fmt"
	"slices"
)

// Outbox keeps owed revocations where they outlive the process, such as the application's database.
// In an fx application, provide one; otherwise put it into the container that Start receives.
// Methods must be safe for concurrent use, and are called with a deadline of ten seconds.
type Outbox interface {
	// Add keeps revocations; one that is there already is fine.
	Add(ctx context.Context, owed []Revocation) error
	// Remove forgets revocations, because they were applied; one that is not there is fine. Where several
	// processes share the storage, it must forget only what this one has added, or was given by Owed:
	// another one may owe the same again by now.
	Remove(ctx context.Context, applied []Revocation) error
	// Owed returns what was added and not removed. Start applies it before the first hit is served.
	Owed(ctx context.Context) ([]Revocation, error)
}

// keepOwed has the outbox keep what is owed. What that covers goes afterwards, in the background.
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
	if err := callOutbox(func() error { return outbox.Add(ctx, noted) }); err != nil {
		return fmt.Errorf("the outbox cannot keep it: %w", err)
	}
	o.mu.Lock()
	o.applied = append(o.applied, covered...)
	for _, revocation := range noted {
		if _, owed := o.items[revocation]; !owed { // applied meanwhile
			o.applied = append(o.applied, revocation)
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
	applied := slices.DeleteFunc(o.applied, func(r Revocation) bool { _, again := o.items[r]; return again })
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
	if len(old) == 0 {
		return nil
	}
	o.mu.Lock()
	noted, _, covered := s.note(0, old, s.options.Clock.Now().Add(s.options.MaxTTL+s.leaseTTL))
	o.mu.Unlock()
	if len(covered) > 0 {
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
