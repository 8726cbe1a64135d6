package cache

import (
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
type doors struct {
	current *door
	// also get every revocation.
	also []*door
}

// only reports whether there is no door but one.
func (ds *doors) only(d *door) bool { return ds.current == d && len(ds.also) == 0 }

// newest returns the door that is in use, or will be.
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
	others := slices.DeleteFunc(append(slices.Clone(ds.also), ds.current), func(other *door) bool { return other == d })
	return &doors{current: d, also: others}
}

// without returns the doors without one that is not in use.
func (ds *doors) without(d *door) *doors {
	return &doors{current: ds.current, also: slices.DeleteFunc(slices.Clone(ds.also), func(other *door) bool { return other == d })}
}

// all returns every door, the one in use first.
func (ds *doors) all() []*door { return append([]*door{ds.current}, ds.also...) }

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
	if len(ds.also) == 0 {
		err := revoke(ds.current)
		if s.doors.Load() == ds {
			return err
		}
		return pendingOf(append([]error{err}, s.otherDoors([]*door{ds.current}, revoke)...))
	}
	return pendingOf(s.otherDoors(nil, revoke))
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
			running.Go(func() {
				if err := revoke(d); err != nil && slices.Contains(s.doors.Load().all(), d) { // not retired meanwhile
					results[i] = err
				}
			})
		}
		running.Wait()
		done, failures = append(done, left...), append(failures, results...)
	}
}

// replace puts another strategy, which was initialised, in the place of the one in use. Nothing can
// fail any more.
func (s *store) replace(next *door) {
	current := s.door()
	handover := s.options().Handover
	if earlier := s.doors.Load().newest(); earlier != current {
		// A change that was not made yet. Other nodes may have made it.
		earlier.coming.Store(false)
		s.later(2*handover, func(context.Context) { s.retire(earlier) })
	}
	s.change(func(ds *doors) *doors { return ds.with(next) })
	if next.prefix == current.prefix && next.sameStorage(current) {
		// The same storage: it knows every revocation that it was told, by whichever door. What it
		// was not told yet, the new door must know.
		next.pending.Adopt(current.pending)
		s.change(func(ds *doors) *doors { return ds.to(next) })
		s.later(handover, func(context.Context) { s.retire(current) })
		return
	}
	next.coming.Store(true)
	s.logger.logger.Info("cache: the storage of a store is being replaced; both are told of every revocation meanwhile",
		"store", s.name, "from", current.strategyName, "to", next.strategyName, "handover", handover)
	next.closed.Store(true)
	begun := make(chan string, 1)
	s.later(0, func(ctx context.Context) { begun <- next.claimed(ctx) })
	s.later(handover, func(ctx context.Context) {
		if !s.enter(next) {
			return
		}
		s.later(handover, func(context.Context) { s.retire(current) })
		var old string
		select {
		case old = <-begun:
		default: // not known: no claim counts
			old = unknownClaim
		}
		next.open(ctx, old)
	})
}

// enter puts a door that was announced into use, unless a later change has announced another one.
func (s *store) enter(next *door) bool {
	s.changing.Lock()
	defer s.changing.Unlock()
	ds := s.doors.Load()
	if ds.newest() != next {
		return false
	}
	next.coming.Store(false)
	s.doors.Store(ds.to(next))
	return true
}

// later runs work after a while, in the background, unless the Service stops before.
func (s *store) later(after time.Duration, work func(ctx context.Context)) {
	s.tasks.Start(context.Background(), func(ctx context.Context) {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			work(ctx)
		case <-ctx.Done():
		}
	})
}

// retire ends a door that is not in use any more. What is still pending there is dropped with it.
func (s *store) retire(d *door) {
	s.change(func(ds *doors) *doors { return ds.without(d) })
	if left := d.pending.Close(); left > 0 {
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
		d.coming.Store(false)
		return &doors{current: d}
	})
}
