package drivertest

import (
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// Propagate waits, after a revocation that strategy has answered with nil, until no other node may
// serve what was revoked, as the Service does: a tenth longer than driver.Propagator says. For a
// strategy without one it returns at once.
func Propagate(t testing.TB, strategy driver.Strategy) {
	t.Helper()
	p := driver.FeaturesOf(strategy).Propagator
	if p == nil {
		return
	}
	delay := p.Propagation()
	<-time.After(delay + delay/10)
}

// nodes checks that what one node revokes is not served by another one.
var nodes = []check{
	{"Delete", revokedElsewhere(func(s *subject) { s.delete("key") })},
	{"InvalidateTags", revokedElsewhere(func(s *subject) { s.invalidate("tag") })},
	{"Clear", revokedElsewhere(func(s *subject) {
		if !s.clear() {
			s.Skip("the strategy is not a cache.Clearer")
		}
	})},
	{"Set", replacedElsewhere(func(s *subject) { s.set("key", "new", time.Minute) })},
	{"Fill", replacedElsewhere(func(s *subject) {
		if s.features.Leaser == nil {
			s.Skip("the strategy is not a cache.Leaser")
		}
		s.fill(s.lease("key"), "new", time.Minute)
	})},
}

func revokedElsewhere(revoke func(s *subject)) func(s *subject) {
	return afterwards(revoke, func(other *subject) { other.miss("key", "after another node has revoked it") })
}

func replacedElsewhere(replace func(s *subject)) func(s *subject) {
	return afterwards(replace, func(other *subject) { other.hit("key", "new", "after another node has replaced it") })
}

// afterwards changes an entry on one node that another node has read, and then checks what that
// reads.
func afterwards(change, check func(s *subject)) func(s *subject) {
	return func(s *subject) {
		other := *s
		other.strategy = s.another(s, s.strategy)
		other.features = driver.FeaturesOf(other.strategy)
		other.init()
		for range s.count(20) {
			s.set("key", "old", time.Minute, "tag")
			Propagate(s, s.strategy)
			for range 3 { // so that it may keep the entry
				other.hit("key", "old", "after another node has stored it")
			}
			change(s)
			Propagate(s, s.strategy)
			check(&other)
		}
	}
}
