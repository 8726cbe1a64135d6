package drivertest

import (
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// extending checks that Extend makes a lease good for longer, and does nothing else. A Leaser that
// is not a driver.LeaseExtender skips these checks.
var extending = []check{
	{"KeepsTheLease", func(s *subject) {
		extender, term, limit := s.extender()
		s.needsClock()
		held := s.lease("key")
		for passed := term * 2 / 3; passed+term <= min(limit, 5*term); passed += term * 2 / 3 {
			s.elapse(term * 2 / 3)
			s.extended(extender, held, true, "within its term")
			s.noLease("while its holder extends it")
		}
		s.fill(held, "v", time.Minute)
		s.hit("key", "v", "after Fill with a lease that was extended")
	}},
	{"EndsWithLeaseTTL", func(s *subject) {
		extender, term, limit := s.extender()
		s.needsClock()
		held := s.lease("key")
		passed := time.Duration(0)
		for good := true; good; passed += term / 2 {
			if passed > limit {
				s.Fatalf("Extend keeps a lease for longer than %v", limit)
			}
			s.elapse(term / 2)
			var err error
			if good, err = extender.Extend(s.ctx, held); err != nil {
				s.Fatalf("Extend: %v", err)
			}
		}
		s.elapse(term)
		next := s.lease("key")
		s.refused(held, "with a lease that is extended no longer")
		s.fill(next, "v", time.Minute)
	}},
	{"OfNoUse", func(s *subject) {
		extender, _, _ := s.extender()
		s.extended(extender, nil, false, "without a lease")
		for when, end := range map[string]func(held *driver.Lease){
			"after Fill":    func(held *driver.Lease) { s.fill(held, "v", time.Minute) },
			"after Release": func(held *driver.Lease) { s.release(held) },
			"after Delete":  func(*driver.Lease) { s.delete("key") },
			"after Set":     func(*driver.Lease) { s.set("key", "v", time.Minute) },
		} {
			held := s.lease("key")
			end(held)
			s.extended(extender, held, false, when)
			next := s.lease("key")
			s.extended(extender, held, false, when+", with another holder")
			s.refused(held, when+", and Extend")
			s.extended(extender, next, true, "by the next holder")
			s.release(next)
		}
	}},
	{"OfExpired", func(s *subject) {
		extender, _, _ := s.extender()
		s.needsClock()
		held := s.lease("key")
		s.elapse(time.Hour)
		s.extended(extender, held, false, "after its term, with no other holder")
		s.refused(held, "after Extend of a lease that had expired")
	}},
	{"ForgivesNothing", func(s *subject) {
		extender, _, _ := s.extender()
		held := s.lease("key")
		s.invalidate("learned")
		if _, err := extender.Extend(s.ctx, held); err != nil {
			s.Fatalf("Extend: %v", err)
		}
		s.refused(held, "after InvalidateTags, and Extend")
		s.miss("key", "after a refused Fill")
	}},
}

// extender skips the check if the strategy cannot extend leases. term is how long a lease is good
// that is not extended, and limit is how long a lease is good at most.
func (s *subject) extender() (extender driver.LeaseExtender, term, limit time.Duration) {
	s.Helper()
	if extender = s.features.LeaseExtender; extender == nil {
		s.Skip("the strategy is not a cache.LeaseExtender")
	}
	term, limit = extender.LeaseTerm(), time.Minute
	if limiter := s.features.LeaseLimiter; limiter != nil {
		limit = limiter.LeaseTTL()
	}
	return extender, term, limit
}

func (s *subject) needsClock() {
	s.Helper()
	if s.clock == nil {
		s.Skip("leases expire by a clock that the test cannot set")
	}
}

// extended checks the result of Extend.
func (s *subject) extended(extender driver.LeaseExtender, lease *driver.Lease, want bool, when string) {
	s.Helper()
	if held, err := extender.Extend(s.ctx, lease); held != want || err != nil {
		s.Errorf("Extend %s: held %t, error %v; want %t", when, held, err, want)
	}
}
