package drivertest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// Run runs the conformance suite. newStrategy must return a new strategy that is not initialised
// yet. If the storage is a server, all of them may use the same one. newStrategy is called once per
// check, also from parallel tests.
func Run(t *testing.T, newStrategy func(t testing.TB) driver.Strategy, options ...Option) {
	t.Helper()
	c := newConfig(options)
	for _, topic := range topics {
		if topic.applies != nil && !topic.applies(c) {
			continue
		}
		t.Run(topic.name, func(t *testing.T) {
			// What is not parallel runs first. The parallel checks begin after that.
			alone := topic.alone != nil && topic.alone(c)
			if !alone {
				t.Parallel()
			}
			for _, check := range topic.checks {
				t.Run(check.name, func(t *testing.T) {
					if !alone {
						t.Parallel()
					}
					s := newSubject(t, newStrategy(t), c)
					if !topic.cold {
						s.init()
					}
					check.run(s)
				})
			}
		})
	}
}

// A check proves one sentence of the contract.
type check struct {
	name string
	run  func(s *subject)
}

// A topic groups the checks that share what they need of a strategy.
type topic struct {
	name    string
	applies func(c config) bool // nil: always
	cold    bool                // the checks call Init themselves
	// alone says whether the checks would disturb others on the same server. nil: they do not.
	alone  func(c config) bool
	checks []check
}

func retains(c config) bool { return !c.noRetention }
func leases(c config) bool  { return retains(c) && !c.noLeases }
func stalls(c config) bool  { return c.stall != nil }
func evicts(c config) bool  { return retains(c) && !c.noEviction }
func shared(c config) bool  { return c.another != nil }

var topics = []topic{
	{name: "Capabilities", checks: capabilities, cold: true},
	{name: "Lifecycle", checks: lifecycle, cold: true},
	{name: "Cancellation", checks: cancellation, alone: stalls},
	{name: "NoRetention", checks: noRetention, applies: func(c config) bool { return c.noRetention }},
	{name: "Basics", checks: basics, applies: retains},
	{name: "TTL", checks: ttls, applies: retains},
	{name: "Tags", checks: tagging, applies: retains},
	{name: "Names", checks: names, applies: retains},
	{name: "Batches", checks: batches, applies: retains},
	{name: "Leases", checks: leasing, applies: leases},
	{name: "Extending", checks: extending, applies: leases},
	{name: "BatchLeases", checks: batchLeasing, applies: leases},
	{name: "HeldLoader", checks: heldLoader, applies: leases},
	{name: "Races", checks: races, applies: retains},
	{name: "LeaseRaces", checks: leaseRaces, applies: leases},
	{name: "Limits", checks: limits, applies: retains, alone: evicts},
	{name: "Eviction", checks: eviction, applies: evicts, alone: evicts},
	{name: "Isolation", checks: isolation, applies: retains},
	{name: "Concurrency", checks: concurrency, applies: retains},
	{name: "Restart", checks: restart, applies: retains},
	{name: "LeaseRestart", checks: leaseRestart, applies: leases},
	{name: "Nodes", checks: nodes, applies: shared},
	{name: "Vendure", checks: vendure, applies: retains},
}

// capabilities fails a strategy that can do more or less than was declared. Otherwise, a Leaser
// that lost a method would silently lose its checks, too.
var capabilities = []check{
	{"LeaserAsDeclared", func(s *subject) {
		ok := s.features.Leaser != nil
		switch {
		case ok && s.noLeases:
			s.Errorf("%T implements cache.Leaser; run the suite without NoLeases", s.strategy)
		case !ok && !s.noLeases && !s.noRetention:
			s.Errorf("%T does not implement cache.Leaser; implement it, or declare NoLeases", s.strategy)
		}
	}},
}

// config is the sum of the options of Run.
type config struct {
	noRetention bool
	noEviction  bool
	noLeases    bool
	wallClock   bool
	granularity time.Duration
	capacity    driver.Size
	effort      int // in percent
	seed        uint64
	options     cache.Options
	values      []any
	stall       func(t testing.TB, strategy driver.Strategy) (resume func())
	another     func(t testing.TB, strategy driver.Strategy) driver.Strategy

	// patience is how long a check waits for something that must happen soon. Only a check that
	// fails waits that long.
	patience time.Duration
}

func newConfig(options []Option) config {
	c := config{granularity: time.Millisecond, capacity: 64 * driver.MiB, seed: rand.Uint64(), patience: 10 * time.Second}
	for _, option := range options {
		option(&c)
	}
	if c.effort == 0 {
		c.effort = 100
		if c.wallClock || testing.Short() {
			c.effort = 10
		}
	}
	return c
}
