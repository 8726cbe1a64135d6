package drivertest

import (
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// leasing checks that a lease is exclusive, and that Fill stores nothing if the key was revoked
// since the lease was granted.
var leasing = []check{
	{"GetOrLeaseHit", func(s *subject) {
		s.set("key", "v", time.Minute, "tag")
		value, found, lease, err := s.leaser().GetOrLease(s.ctx, s.physical("key"))
		if err != nil || !found || string(value) != "v" || lease != nil {
			s.Errorf("GetOrLease of a stored key: %s, found %t, lease %t, error %v; want the hit and no lease",
				show(string(value)), found, lease != nil, err)
		}
	}},
	{"GetOrLeaseMiss", func(s *subject) {
		value, found, lease, err := s.leaser().GetOrLease(s.ctx, s.physical("key"))
		if err != nil || found || lease == nil {
			s.Fatalf("GetOrLease of a missing key: found %t, lease %t, error %v; want a miss and a lease", found, lease != nil, err)
		}
		if len(value) > 0 || lease.Key != s.physical("key") {
			s.Errorf("GetOrLease of a missing key: value %s, lease for %s", show(string(value)), show(lease.Key))
		}
		s.fill(lease, "v", time.Minute, "tag")
		s.hit("key", "v", "after Fill")
	}},
	{"GetOrLeaseSeesWhatGetSees", func(s *subject) {
		s.set("expired", "1", short)
		s.set("invalidated", "2", time.Minute, "tag")
		s.set("deleted", "3", time.Minute)
		s.invalidate("tag")
		s.delete("deleted")
		s.elapse(2*short + s.granularity)
		for _, key := range []string{"expired", "invalidated", "deleted"} {
			if _, found, lease, err := s.leaser().GetOrLease(s.ctx, s.physical(key)); err != nil || found || lease == nil {
				s.Errorf("GetOrLease of an %s key: found %t, lease %t, error %v; want a miss and a lease", key, found, lease != nil, err)
			}
		}
	}},
	{"OneHolder", func(s *subject) {
		held := s.lease("key")
		s.noLease("while another holder has it")
		if _, found, lease, err := s.leaser().GetOrLease(s.ctx, s.physical("key")); err != nil || found || lease != nil {
			s.Errorf("GetOrLease while another holder has the lease: found %t, lease %t, error %v; want neither", found, lease != nil, err)
		}
		s.lease("other")
		s.fill(held, "v", time.Minute)
		s.hit("key", "v", "after Fill by the holder")
	}},
	{"FillFreesTheLease", func(s *subject) {
		for i := range 3 {
			value := fmt.Sprint("v", i)
			s.fill(s.lease("key"), value, time.Minute)
			s.hit("key", value, "after Lease and Fill of a stored key")
		}
	}},
	{"ReleaseFreesTheLease", func(s *subject) {
		s.set("key", "v", time.Minute)
		for range 3 {
			s.release(s.lease("key"))
		}
		s.hit("key", "v", "after Lease and Release, which change no entry")
	}},
	{"ReleaseOfNoUse", func(s *subject) {
		s.release(nil)
		used := s.lease("key")
		s.fill(used, "v", time.Minute)
		s.release(used)
		s.release(used)
		s.hit("key", "v", "after Release of a used lease")
		held := s.lease("key")
		s.release(used)
		s.noLease("after Release of an older lease on the same key")
		s.fill(held, "new", time.Minute)
		s.hit("key", "new", "after Release of an older lease, and Fill")
	}},
	{"FillStoresTTLAndTags", func(s *subject) {
		lease := s.lease("key")
		s.expires("v", short, func() { s.fill(lease, "v", short, "named") })
		for _, tag := range []string{"named", "learned"} {
			s.fill(s.lease("key"), "v", time.Minute, "named", "learned")
			s.hit("key", "v", "after Fill")
			s.invalidate(tag)
			s.miss("key", "after InvalidateTags of a tag given to Fill")
		}
	}},
	{"FillReplacesWhole", func(s *subject) {
		s.set("key", "old", short, "before")
		s.fill(s.lease("key"), "new", long, "after")
		s.invalidate("before")
		s.elapse(2*short + s.granularity)
		s.hit("key", "new", "after Fill, and the end of the replaced entry by tag and by TTL")
	}},
	{"FillTwice", func(s *subject) {
		lease := s.lease("key")
		s.fill(lease, "first", time.Minute)
		s.refused(lease, "after the lease was used")
		s.hit("key", "first", "after a second Fill with the same lease")
	}},
	{"FillAfterSuccessor", func(s *subject) {
		first := s.lease("key")
		s.release(first)
		s.fill(s.lease("key"), "second", time.Minute)
		s.refused(first, "after Release, and Fill by the next holder")
		s.hit("key", "second", "after Fill with a lease that was released before")
	}},
	{"FillAfterSet", func(s *subject) {
		lease := s.lease("key")
		s.set("key", "newer", time.Minute)
		s.refused(lease, "after Set of the key")
		s.hit("key", "newer", "after a refused Fill")
	}},
	{"FillAfterDelete", refusedAfter(func(s *subject) { s.delete("other", "key") })},
	{"FillAfterSetAndDelete", refusedAfter(func(s *subject) { s.set("key", "v", time.Minute); s.delete("key") })},
	{"FillAfterInvalidation", refusedAfter(func(s *subject) { s.invalidate("other", "named") })},
	{"FillAfterInvalidationOfLearnedTag", refusedAfter(func(s *subject) { s.invalidate("learned", "other") })},
	{"FillAfterManyInvalidations", refusedAfter(func(s *subject) { s.invalidate("learned"); s.invalidateMany() })},
	{"FillAfterManyDeletes", refusedAfter(func(s *subject) {
		s.delete("key")
		for i := range s.count(20_000) {
			s.delete(fmt.Sprint("other", i))
		}
	})},
	{"FillAfterRefusedSet", refusedAfter(func(s *subject) {
		if err := s.strategy.Set(s.ctx, s.physical("key"), []byte("v"), s.opts(-1)); err == nil {
			s.Fatal("Set with a negative TTL succeeded")
		}
	})},
	{"FillAfterClear", func(s *subject) {
		lease := s.lease("key")
		if !s.clear() {
			s.Skip("the strategy is not a cache.Clearer")
		}
		s.refused(lease, "after Clear")
		s.miss("key", "after Clear and a refused Fill")
		s.fill(s.lease("key"), "v", time.Minute)
	}},
	{"LeaseEndsWithInvalidation", func(s *subject) {
		// The next loader must not wait for a holder that cannot store any more.
		lease := s.lease("key")
		s.delete("key")
		next := s.lease("key")
		s.refused(lease, "after Delete, and with a newer lease granted")
		s.fill(next, "v", time.Minute)
		s.hit("key", "v", "after Delete, Lease and Fill")
	}},
	{"RefusedFillKeepsTheEntry", func(s *subject) {
		s.set("key", "stored", time.Minute)
		lease := s.lease("key")
		s.invalidate("tag")
		s.refused(lease, "after InvalidateTags of a tag that the stored entry does not have")
		s.hit("key", "stored", "after a Fill that was refused without an error")
	}},
	{"FillWithInvalidTTL", func(s *subject) {
		for _, ttl := range invalidTTLs {
			s.set("key", "old", time.Minute)
			lease := s.lease("key")
			stored, err := s.leaser().Fill(s.ctx, lease, []byte("new"), s.opts(ttl))
			if stored || !errors.Is(err, driver.ErrInvalidTTL) {
				s.Errorf("Fill with TTL %v: stored %t, error %v; want cache.ErrInvalidTTL", ttl, stored, err)
			}
			s.miss("key", "after Fill with an invalid TTL, which hides what was there")
			s.release(lease)
		}
	}},
	{"LeaseExpires", func(s *subject) {
		s.needsClock()
		lease := s.lease("key")
		s.elapse(time.Hour)
		next := s.lease("key")
		s.refused(lease, "an hour after the lease was granted")
		s.fill(next, "v", time.Minute)
		s.hit("key", "v", "after Fill with a newer lease")
		old := s.lease("unclaimed")
		s.elapse(time.Hour)
		s.refused(old, "an hour after the lease was granted, with no other holder")
		s.release(old)
	}},
	{"UnrelatedWritesRefuseFew", func(s *subject) {
		// A Fill may be refused without need, for example because keys share a fence. But if every
		// write refused every Fill, a busy cache would store nothing.
		refused := 0
		const rounds = 100
		for i := range rounds {
			lease := s.lease(fmt.Sprint("key", i))
			s.delete(fmt.Sprint("other", i))
			s.set(fmt.Sprint("another", i), "v", time.Minute, "tag")
			s.invalidate(fmt.Sprint("unrelated", i))
			stored, err := s.leaser().Fill(s.ctx, lease, []byte("v"), s.opts(time.Minute, "tag", "learned"))
			if err != nil {
				s.Fatalf("Fill: %v", err)
			}
			if !stored {
				refused++
			}
		}
		if refused > rounds/2 {
			s.Errorf("%d of %d Fills were refused because of writes to other keys and tags; want few or none", refused, rounds)
		}
	}},
	{"InvalidationBeforeTheLease", func(s *subject) {
		s.delete("key")
		s.invalidate("named", "learned")
		s.fill(s.lease("key"), "v", time.Minute, "named", "learned")
		s.hit("key", "v", "after Delete and InvalidateTags, Lease and Fill")
	}},
}

// refusedAfter checks that Fill is refused if event happens between Lease and Fill.
func refusedAfter(event func(s *subject)) func(s *subject) {
	return func(s *subject) {
		lease := s.lease("key")
		event(s)
		s.refused(lease, "after an event since the lease was granted")
		s.miss("key", "after a refused Fill")
	}
}

func (s *subject) leaser() driver.Leaser {
	s.Helper()
	l := s.features.Leaser
	if l == nil {
		s.Fatalf("%T does not implement cache.Leaser; declare NoLeases", s.strategy)
	}
	return l
}

// lease asks for a lease, which must be granted.
func (s *subject) lease(key string) *driver.Lease {
	s.Helper()
	lease, err := s.leaser().Lease(s.ctx, s.physical(key))
	if err != nil || lease == nil {
		s.Fatalf("Lease(%s): lease %t, error %v; want a lease, which nobody holds", show(key), lease != nil, err)
	}
	return lease
}

// noLease checks that the lease on "key" is taken.
func (s *subject) noLease(when string) {
	s.Helper()
	if lease, err := s.leaser().Lease(s.ctx, s.physical("key")); err != nil || lease != nil {
		s.Errorf("Lease %s: lease %t, error %v; want neither", when, lease != nil, err)
	}
}

// fill fills with a lease that is still good. The Fill must be stored.
func (s *subject) fill(lease *driver.Lease, value string, ttl time.Duration, tags ...string) {
	s.Helper()
	stored, err := s.leaser().Fill(s.ctx, lease, []byte(value), s.opts(ttl, tags...))
	if err != nil || !stored {
		s.Fatalf("Fill: stored %t, error %v; want it stored", stored, err)
	}
}

// refused checks that Fill with lease, and the tags "named" and "learned", stores nothing.
func (s *subject) refused(lease *driver.Lease, when string) {
	s.Helper()
	stored, err := s.leaser().Fill(s.ctx, lease, []byte("stale"), s.opts(time.Minute, "named", "learned", "tag"))
	if err != nil || stored {
		s.Errorf("Fill %s: stored %t, error %v; want it refused, without an error", when, stored, err)
	}
}

func (s *subject) release(lease *driver.Lease) {
	s.Helper()
	if err := s.leaser().Release(s.ctx, lease); err != nil {
		s.Errorf("Release: %v", err)
	}
}
