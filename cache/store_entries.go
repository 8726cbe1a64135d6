package cache

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/chain"
)

// read returns the entry of a physical key, still encoded. It counts misses and errors. The caller
// counts the hit once it could decode it.
func (s *store) read(ctx context.Context, physical string, want expected) (encoded []byte, found bool, err error) {
	if err := s.ready(); err != nil {
		return nil, false, s.fail("get", err)
	}
	encoded, found, err = s.door().get(ctx, physical, want)
	if err != nil {
		s.counters.errors.Add(1)
		return nil, false, s.fail("get", err)
	}
	if !found {
		s.counters.misses.Add(1)
	}
	return encoded, found, nil
}

// unreadable reports whether an entry is a miss for the code that has ctx, whatever is stored.
func (s *store) unreadable(ctx context.Context, physical string) bool {
	within := chain.From(ctx)
	if within == nil || within.To(entryID{s, physical}) == chain.Apart || s.ready() != nil {
		return false
	}
	s.counters.misses.Add(1)
	return true
}

// undecoded handles an entry that was found and could not be decoded.
func (s *store) undecoded(ctx context.Context, physical string, cause error) {
	if s.damaged(cause) {
		s.door().discard(ctx, cause, physical)
	}
}

// damaged counts an entry that was found and could not be decoded, and reports whether it should be
// deleted. An entry of another release, type or codec may still be needed by another process, and
// stays until it is replaced.
func (s *store) damaged(cause error) bool {
	s.counters.misses.Add(1)
	if errors.Is(cause, ErrForeign) {
		s.counters.foreign.Add(1)
		return false
	}
	s.counters.corrupt.Add(1)
	return true
}

// set stores an encoded value. If there is a refusal, or nothing is to be stored (through), it
// deletes the previous entry instead.
func (s *store) set(ctx context.Context, physical string, encoded []byte, opts SetOptions, through bool, refusal error) (err error) {
	if refusal != nil || through {
		err = errors.Join(refusal, s.delete(ctx, s.options().MaxTTL, physical))
	} else {
		d := s.door()
		if err = d.set(ctx, physical, encoded, opts); err == nil {
			err = s.elsewhere(ctx, d, s.options().MaxTTL, physical)
		}
	}
	if err != nil {
		s.counters.setErrors.Add(1)
		return s.fail("set", err)
	}
	s.counters.sets.Add(1)
	return nil
}

// setMany is set for many items. The error at i belongs to items[i].
func (s *store) setMany(ctx context.Context, bound time.Duration, items []driver.Item) []error {
	d := s.door()
	failures := d.setMany(ctx, items)
	if s.doors.Load().only(d) {
		return failures
	}
	var replaced []string
	for i, item := range items {
		if failures[i] == nil {
			replaced = append(replaced, item.Key)
		}
	}
	if err := s.elsewhere(ctx, d, bound, replaced...); err != nil {
		for i := range failures {
			failures[i] = cmp.Or(failures[i], err)
		}
	}
	return failures
}

// elsewhere removes the entries that were just replaced at one door at the others.
func (s *store) elsewhere(ctx context.Context, d *door, bound time.Duration, physical ...string) error {
	if s.doors.Load().only(d) {
		return nil
	}
	return pendingOf(s.otherDoors([]*door{d}, func(other *door) error {
		if other.knows(d) { // it would remove what was just stored
			return nil
		}
		return other.delete(ctx, bound, physical)
	}))
}

// delete removes the entries of physical keys, none of which lives longer than bound.
func (s *store) delete(ctx context.Context, bound time.Duration, physical ...string) error {
	return s.revoke("delete", len(physical), nil, func(d *door) error { return d.delete(ctx, bound, physical) })
}

// invalidateTags revokes the entries of this store that carry any of tags.
func (s *store) invalidateTags(ctx context.Context, tags []string) error {
	physical, invalid := s.usable(tags, s.tag)
	return s.revoke("invalidate", len(physical), invalid, func(d *door) error { return d.invalidateTags(ctx, s.options().MaxTTL, physical) })
}

// revoke runs a revocation of n names and counts it. invalid are the names that it is without.
func (s *store) revoke(op string, n int, invalid *InvalidKeysError, run func(*door) error) error {
	err := s.ready()
	if err == nil && (n > 0 || invalid == nil) {
		err = s.everyDoor(run)
	}
	if err == nil && invalid == nil {
		s.counters.deletes.Add(1)
		return nil
	}
	var pending *PendingError
	// Stop came meanwhile: nobody tries again
	if errors.As(err, &pending) && s.phase.Load() != phaseStarted {
		pending.Err = errors.Join(pending.Err, ErrClosed)
	}
	if invalid != nil {
		err = errors.Join(invalid, err)
	}
	s.counters.deleteErrors.Add(1)
	return s.fail(op, err)
}
