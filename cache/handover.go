package cache

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// doors are those of one store. A store has one, unless its storage is being replaced. Nodes see a
// change of the configuration at different times, but all within one Options.Handover. What keeps
// guarantee G1 meanwhile:
//
//	announced      the old storage serves; revocations go to both
//	one handover   the new one serves, after it was cleared; revocations go to both
//	one handover   the old one is destroyed
//
// A node that still reads the old storage therefore learns of every revocation, and so does one
// that already reads the new one. What the new storage holds from earlier is not to be trusted,
// because revocations have not gone there, so the first node clears it. It leaves a claim there, by
// which the others know.
//
// A further change in the meantime goes the same way, and is never a short cut: each node uses at
// any time what it saw one handover ago. So also a change that is taken back is made, because
// another node may be using the new storage already.
type doors struct {
	current *door
	// also get every revocation: those that were replaced, and then those that are coming, in the
	// order in which they will be put into use.
	also []*door
}

// only reports whether there is no door but one.
func (ds *doors) only(d *door) bool { return ds.current == d && len(ds.also) == 0 }

// newest returns the door that is in use, or the last one that is coming.
func (ds *doors) newest() *door {
	if n := len(ds.also); n > 0 && ds.also[n-1].coming.Load() {
		return ds.also[n-1]
	}
	return ds.current
}

// with returns the doors with one more, and without the door in use changed.
func (ds *doors) with(d *door) *doors {
	return &doors{current: ds.current, also: append(slices.Clone(ds.also), d)}
}

// to returns the doors with another one in use. The former one stays among the others.
func (ds *doors) to(d *door) *doors {
	others := slices.DeleteFunc(append([]*door{ds.current}, ds.also...), func(other *door) bool { return other == d })
	return &doors{current: d, also: others}
}

// without returns the doors without one that is not in use.
func (ds *doors) without(d *door) *doors {
	return &doors{current: ds.current, also: slices.DeleteFunc(slices.Clone(ds.also), func(other *door) bool { return other == d })}
}

// all returns every door, the one in use first.
func (ds *doors) all() []*door { return append([]*door{ds.current}, ds.also...) }

// propagation returns the longest one of all doors: another node may be using any of them.
func (ds *doors) propagation() (longest time.Duration, err error) {
	longest, err = ds.current.propagation()
	for _, d := range ds.also {
		delay, failed := d.propagation()
		longest, err = max(longest, delay), cmp.Or(err, failed)
	}
	return longest, err
}

// change changes the doors.
func (s *store) change(to func(*doors) *doors) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.doors.Store(to(s.doors.Load()))
}

// everyDoor runs a revocation at every door. Doors that were added meanwhile count too: who added
// one relies on every revocation that returns later.
func (s *store) everyDoor(revoke func(*door) error) error {
	ds := s.doors.Load()
	if len(ds.also) > 0 {
		return pendingOf(s.otherDoors(nil, revoke))
	}
	err := revoke(ds.current)
	if s.doors.Load() == ds {
		return err
	}
	others := s.otherDoors([]*door{ds.current}, revoke)
	return pendingOf(append([]error{ds.current.unlessRetired(err)}, others...))
}

// otherDoors runs a revocation at every door that is not done, at the same time.
func (s *store) otherDoors(done []*door, revoke func(*door) error) (failures []error) {
	for {
		var left []*door
		for _, d := range s.doors.Load().all() {
			if !slices.Contains(done, d) {
				left = append(left, d)
			}
		}
		if len(left) == 0 {
			return failures
		}
		results := make([]error, len(left))
		var running sync.WaitGroup
		for i, d := range left {
			running.Go(func() { results[i] = d.unlessRetired(revoke(d)) })
		}
		running.Wait()
		done, failures = append(done, left...), append(failures, results...)
	}
}

// replace puts another strategy, which was initialised, in the place of the newest one. Nothing can
// fail any more. Callers hold the lifecycle.
func (s *store) replace(next *door) {
	ds := s.doors.Load()
	newest, handover := ds.newest(), s.options().Handover
	for _, d := range ds.all() {
		if next.leadsTo(d) {
			next.storage = d.storage
		}
	}
	if next.insteadOf(ds) {
		// It knows every revocation that it was told, by whichever door. What it was not told yet,
		// the new door must know: also what fails from here on.
		next.closed.Store(newest.closed.Load())
		s.change(func(ds *doors) *doors { return ds.with(next) })
		next.pending.Adopt(newest.pending)
		s.change(func(ds *doors) *doors { return ds.to(next) })
		s.later(handover, func(context.Context) { s.retire(newest) })
		if next.closed.Load() {
			s.later(0, func(ctx context.Context) { next.open(ctx, unknownClaim) })
		}
		return
	}
	s.logger.logger.Info("cache: the storage of a store is being replaced; both are told of every revocation meanwhile",
		"store", s.name, "from", newest.strategyName, "to", next.strategyName, "handover", handover)
	next.closed.Store(true)
	next.coming.Store(true)
	if next.enters = time.Now().Add(handover); newest.enters.After(next.enters) { // the handover was made shorter
		next.enters = newest.enters
	}
	s.change(func(ds *doors) *doors { return ds.with(next) })
	begun := make(chan string, 1)
	s.later(0, func(ctx context.Context) { begun <- next.claimed(ctx) })
	s.later(time.Until(next.enters), func(ctx context.Context) {
		former := s.enter(next)
		if former == nil {
			return
		}
		s.later(handover, func(context.Context) {
			for _, d := range former {
				s.retire(d)
			}
		})
		old := unknownClaim // no claim counts
		select {
		case old = <-begun:
		default:
		}
		next.open(ctx, old)
	})
}

// enter puts a door that was announced into use. It returns those that are to be retired: the
// former one, and those that should have come before. It is nil if a later one is in use already.
func (s *store) enter(next *door) (former []*door) {
	s.changing.Lock()
	defer s.changing.Unlock()
	ds := s.doors.Load()
	if !next.coming.Swap(false) {
		return nil
	}
	former = append(former, ds.current)
	for _, d := range ds.also[:slices.Index(ds.also, next)] {
		if d.coming.Swap(false) {
			former = append(former, d)
		}
	}
	s.doors.Store(ds.to(next))
	return former
}

// later runs work after a while, in the background, unless the Service stops before.
func (s *store) later(after time.Duration, work func(ctx context.Context)) {
	s.tasks.Start(context.Background(), func(ctx context.Context) {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			if ctx.Err() == nil {
				work(ctx)
			}
		case <-ctx.Done():
		}
	})
}

// retire ends a door that is not in use any more. What is still pending there is dropped with it.
func (s *store) retire(d *door) {
	d.retired.Store(true)
	s.change(func(ds *doors) *doors { return ds.without(d) })
	left := d.pending.Close()
	stays := slices.ContainsFunc(s.doors.Load().all(), func(other *door) bool { return other.storage == d.storage }) // and knows of them
	if left > 0 && !stays {
		s.logger.logger.Warn("cache: the handover is over, and revocations could not be applied to the storage that was replaced; "+
			"clear it before you go back to it", "store", s.name, "strategy", d.strategyName, "revocations", left)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := d.destroy(ctx); err != nil {
		s.logger.logger.Warn("cache: the strategy that was replaced could not be destroyed", "store", s.name, "strategy", d.strategyName, "error", err)
	}
}

// settle ends a handover at once, because the Service has stopped. Another Start uses what the
// configuration says.
func (s *store) settle() {
	s.change(func(ds *doors) *doors {
		d := ds.newest()
		for _, other := range ds.also {
			other.coming.Store(false)
		}
		return &doors{current: d}
	})
}
