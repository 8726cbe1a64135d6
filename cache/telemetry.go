package cache

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Stats are the counts of what a Service did since it was made.
type Stats struct {
	Hits    uint64 `json:"hits"`    // reads that returned an entry
	Misses  uint64 `json:"misses"`  // reads that found none, or none that was any good
	Errors  uint64 `json:"errors"`  // reads that failed; GetOrLoad treats them as misses
	Corrupt uint64 `json:"corrupt"` // entries found but damaged; they count as misses too
	Foreign uint64 `json:"foreign"` // entries found but of another release, type or codec; they count as misses too

	StaleHits    uint64 `json:"stale_hits"`    // hits past the TTL, because of Policy.StaleFor
	NegativeHits uint64 `json:"negative_hits"` // reads that found that there is nothing, because of Policy.NegativeTTL; neither hits nor misses

	Loads         uint64 `json:"loads"`          // loader calls of GetOrLoad
	Refreshes     uint64 `json:"refreshes"`      // those of them that ran in the background
	LoadErrors    uint64 `json:"load_errors"`    // those that failed
	SharedLoads   uint64 `json:"shared_loads"`   // callers of GetOrLoad that waited for another caller's load
	LeaseTimeouts uint64 `json:"lease_timeouts"` // loads that did not store because somebody else held the lease for too long

	WaitedLoads   uint64 `json:"waited_loads"`   // loads that had to wait because max_concurrent_loads ran already
	RejectedLoads uint64 `json:"rejected_loads"` // those of them that did not run: nobody wanted them any more, or ten seconds were over

	Filled   uint64 `json:"filled"`   // values of loaders that were stored
	Refused  uint64 `json:"refused"`  // values that were not, because of an invalidation meanwhile
	Unfilled uint64 `json:"unfilled"` // values that were not, for any other reason

	LeaseExpired uint64 `json:"lease_expired"` // values that were not, because their load outlived its lease

	Sets         uint64 `json:"sets"` // plain writes that succeeded
	SetErrors    uint64 `json:"set_errors"`
	Deletes      uint64 `json:"deletes"` // Delete, InvalidateTags and Clear calls that succeeded
	DeleteErrors uint64 `json:"delete_errors"`

	ShortCircuited     uint64 `json:"short_circuited"`     // operations that were not tried, because the circuit breaker was open
	PendingRevocations uint64 `json:"pending_revocations"` // how many are pending now
}

// counters is Stats in the making. Reading and adding is lock-free; the hot path adds once.
type counters struct {
	hits, misses, errors, corrupt, foreign atomic.Uint64
	loads, loadErrors                      atomic.Uint64
	filled, refused, unfilled              atomic.Uint64
	leaseExpired                           atomic.Uint64
	sets, setErrors, deletes, deleteErrors atomic.Uint64
	sharedLoads, leaseTimeouts             atomic.Uint64
	waitedLoads, rejectedLoads             atomic.Uint64
	shortCircuited                         atomic.Uint64
	staleHits, negativeHits, refreshes     atomic.Uint64
}

// Stats returns a snapshot. Safe for concurrent use.
func (s *Service) Stats() Stats {
	c := &s.counters
	return Stats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Errors: c.errors.Load(),
		Corrupt: c.corrupt.Load(), Foreign: c.foreign.Load(),
		StaleHits: c.staleHits.Load(), NegativeHits: c.negativeHits.Load(), Refreshes: c.refreshes.Load(),
		Loads: c.loads.Load(), LoadErrors: c.loadErrors.Load(),
		Filled: c.filled.Load(), Refused: c.refused.Load(), Unfilled: c.unfilled.Load(), LeaseExpired: c.leaseExpired.Load(),
		Sets: c.sets.Load(), SetErrors: c.setErrors.Load(),
		Deletes: c.deletes.Load(), DeleteErrors: c.deleteErrors.Load(),
		SharedLoads: c.sharedLoads.Load(), LeaseTimeouts: c.leaseTimeouts.Load(),
		WaitedLoads: c.waitedLoads.Load(), RejectedLoads: c.rejectedLoads.Load(), ShortCircuited: c.shortCircuited.Load(),
		PendingRevocations: uint64(s.store.pending.Len()), //nolint:gosec // a length
	}
}

// instruments is what the counters look like to OpenTelemetry: a counter and its outcomes.
var instruments = []struct {
	name, description string
	outcomes          map[string]func(*counters) *atomic.Uint64
}{
	{"fxcache.reads", "Reads of entries.", map[string]func(*counters) *atomic.Uint64{
		"hit":      func(c *counters) *atomic.Uint64 { return &c.hits },
		"miss":     func(c *counters) *atomic.Uint64 { return &c.misses },
		"error":    func(c *counters) *atomic.Uint64 { return &c.errors },
		"corrupt":  func(c *counters) *atomic.Uint64 { return &c.corrupt },
		"foreign":  func(c *counters) *atomic.Uint64 { return &c.foreign },
		"stale":    func(c *counters) *atomic.Uint64 { return &c.staleHits },
		"negative": func(c *counters) *atomic.Uint64 { return &c.negativeHits },
	}},
	{"fxcache.loads", "Loader calls.", map[string]func(*counters) *atomic.Uint64{
		"background":    func(c *counters) *atomic.Uint64 { return &c.refreshes },
		"started":       func(c *counters) *atomic.Uint64 { return &c.loads },
		"failed":        func(c *counters) *atomic.Uint64 { return &c.loadErrors },
		"shared":        func(c *counters) *atomic.Uint64 { return &c.sharedLoads },
		"lease_timeout": func(c *counters) *atomic.Uint64 { return &c.leaseTimeouts },
		"waited":        func(c *counters) *atomic.Uint64 { return &c.waitedLoads },
		"rejected":      func(c *counters) *atomic.Uint64 { return &c.rejectedLoads },
	}},
	{"fxcache.short_circuits", "Operations that were not tried, because the circuit breaker was open.", map[string]func(*counters) *atomic.Uint64{
		"open": func(c *counters) *atomic.Uint64 { return &c.shortCircuited },
	}},
	{"fxcache.fills", "Values of loaders, stored or not.", map[string]func(*counters) *atomic.Uint64{
		"stored":        func(c *counters) *atomic.Uint64 { return &c.filled },
		"refused":       func(c *counters) *atomic.Uint64 { return &c.refused },
		"lease_expired": func(c *counters) *atomic.Uint64 { return &c.leaseExpired },
		"failed":        func(c *counters) *atomic.Uint64 { return &c.unfilled },
	}},
	{"fxcache.sets", "Plain writes.", map[string]func(*counters) *atomic.Uint64{
		"ok":    func(c *counters) *atomic.Uint64 { return &c.sets },
		"error": func(c *counters) *atomic.Uint64 { return &c.setErrors },
	}},
	{"fxcache.revocations", "Deletions, tag invalidations and clears.", map[string]func(*counters) *atomic.Uint64{
		"ok":    func(c *counters) *atomic.Uint64 { return &c.deletes },
		"error": func(c *counters) *atomic.Uint64 { return &c.deleteErrors },
	}},
}

// observe registers the counters with the meter. They are read when metrics are collected, so the
// hot path pays nothing for them.
func (s *Service) observe() (metric.Registration, error) {
	var observables []metric.Observable
	var observers []func(metric.Observer)
	for _, i := range instruments {
		counter, err := s.meter.Int64ObservableCounter(i.name, metric.WithDescription(i.description))
		if err != nil {
			return nil, err
		}
		observables = append(observables, counter)
		for outcome, count := range i.outcomes {
			attributes := metric.WithAttributeSet(attribute.NewSet(
				attribute.String("strategy", s.options.StrategyName), attribute.String("outcome", outcome)))
			value := count(&s.counters)
			observers = append(observers, func(o metric.Observer) {
				o.ObserveInt64(counter, int64(value.Load()), attributes) //nolint:gosec // wraps after 2^63 events
			})
		}
	}
	pending, err := s.meter.Int64ObservableGauge("fxcache.pending_revocations",
		metric.WithDescription("Revocations that could not be applied yet."))
	if err != nil {
		return nil, err
	}
	strategy := metric.WithAttributeSet(attribute.NewSet(attribute.String("strategy", s.options.StrategyName)))
	observables = append(observables, pending)
	observers = append(observers, func(o metric.Observer) { o.ObserveInt64(pending, int64(s.store.pending.Len()), strategy) })
	return s.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, observe := range observers {
			observe(o)
		}
		return nil
	}, observables...)
}
