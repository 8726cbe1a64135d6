package cache

import (
	"context"
	"reflect"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Stats are the counts of what a Service has done since NewService. Start and Stop do not reset
// them.
type Stats struct {
	// Hits are reads that returned an entry.
	Hits uint64 `json:"hits"`
	// Misses are reads that found no entry, or none that could be used.
	Misses uint64 `json:"misses"`
	// Errors are reads that failed. GetOrLoad treats them as misses.
	Errors uint64 `json:"errors"`
	// Corrupt are reads that found a damaged entry. They count as misses too.
	Corrupt uint64 `json:"corrupt"`
	// Foreign are reads that found an entry of another release, type or codec. They count as misses
	// too.
	Foreign uint64 `json:"foreign"`

	// CopyHits are reads of entries of which there was a copy in the process, in front of the
	// storage. They count as hits too, if the entry can be used.
	CopyHits uint64 `json:"copy_hits"`
	// StaleHits are the Hits past the TTL, because of Policy.StaleFor.
	StaleHits uint64 `json:"stale_hits"`
	// NegativeHits are reads that found a remembered ErrNotFound, because of Policy.NegativeTTL.
	// They count neither as hits nor as misses.
	NegativeHits uint64 `json:"negative_hits"`

	// Loads are calls of loaders by GetOrLoad and GetOrLoadMany.
	Loads uint64 `json:"loads"`
	// Refreshes are the Loads that ran in the background.
	Refreshes uint64 `json:"refreshes"`
	// LoadErrors are the Loads that failed.
	LoadErrors uint64 `json:"load_errors"`
	// NotFound are the Loads that returned ErrNotFound, and the keys that those of GetOrLoadMany
	// left out. They do not count as failed.
	NotFound uint64 `json:"not_found"`
	// NotModified are the Loads that returned ErrNotModified, and so kept the value.
	NotModified uint64 `json:"not_modified"`
	// SharedLoads are calls of GetOrLoad, and keys of GetOrLoadMany, that waited for another
	// caller's load.
	SharedLoads uint64 `json:"shared_loads"`
	// LeaseTimeouts are the Loads, and the keys of GetOrLoadMany, whose values were not stored,
	// because somebody else held the lease for longer than lock_wait.
	LeaseTimeouts uint64 `json:"lease_timeouts"`

	// WaitedLoads are loads that had to wait, because max_concurrent_loads were running.
	WaitedLoads uint64 `json:"waited_loads"`
	// RejectedLoads are the WaitedLoads that did not run: their callers left, or ten seconds
	// passed.
	RejectedLoads uint64 `json:"rejected_loads"`

	// Filled are values of loaders and Updates that were stored.
	Filled uint64 `json:"filled"`
	// Refused are such values that were not stored, because something was invalidated meanwhile.
	Refused uint64 `json:"refused"`
	// Unfilled are such values that were not stored for any other reason.
	Unfilled uint64 `json:"unfilled"`
	// Unstorable are such values that cannot be stored, however healthy the storage is: the codec
	// refuses them, or they exceed a limit. They are loaded by every read.
	Unstorable uint64 `json:"unstorable"`
	// LeaseExpired are such values that were not stored, because the load outlived its lease.
	LeaseExpired uint64 `json:"lease_expired"`

	// Sets are calls of Set and items of SetMany that succeeded.
	Sets uint64 `json:"sets"`
	// SetErrors are those that failed.
	SetErrors uint64 `json:"set_errors"`
	// Deletes are calls of Delete, InvalidateTags and Clear that succeeded.
	Deletes uint64 `json:"deletes"`
	// DeleteErrors are those that failed.
	DeleteErrors uint64 `json:"delete_errors"`

	// ShortCircuited are operations that were not tried, because the circuit breaker was open.
	ShortCircuited uint64 `json:"short_circuited"`
	// PendingRevocations is how many revocations are pending now.
	PendingRevocations uint64 `json:"pending_revocations"`
}

// counters are the live counts behind Stats. They are lock-free, and a hit adds to one of them
// only.
type counters struct {
	hits, misses, errors, corrupt, foreign atomic.Uint64
	loads, loadErrors, notFound            atomic.Uint64
	filled, refused, unfilled, unstorable  atomic.Uint64
	leaseExpired                           atomic.Uint64
	sets, setErrors, deletes, deleteErrors atomic.Uint64
	sharedLoads, leaseTimeouts             atomic.Uint64
	waitedLoads, rejectedLoads             atomic.Uint64
	shortCircuited                         atomic.Uint64
	staleHits, negativeHits, refreshes     atomic.Uint64
	notModified, copyHits                  atomic.Uint64
}

// read counts a read that failed or found nothing. Who decodes what was found counts that.
func (c *counters) read(found bool, err error) {
	switch {
	case err != nil:
		c.errors.Add(1)
	case !found:
		c.misses.Add(1)
	}
}

// Stats returns a snapshot of the counts of all stores together. The counts are read one by one, so
// two of them may be from slightly different moments.
func (s *Service) Stats() Stats {
	var sum Stats
	for _, store := range s.stores {
		sum = sum.plus(statsOf(store))
	}
	return sum
}

// statsOf returns the counts of one store.
func statsOf(s *store) Stats {
	c := &s.counters
	return Stats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Errors: c.errors.Load(),
		Corrupt: c.corrupt.Load(), Foreign: c.foreign.Load(),
		CopyHits:  c.copyHits.Load(),
		StaleHits: c.staleHits.Load(), NegativeHits: c.negativeHits.Load(), Refreshes: c.refreshes.Load(),
		Loads: c.loads.Load(), LoadErrors: c.loadErrors.Load(), NotFound: c.notFound.Load(), NotModified: c.notModified.Load(),
		Filled: c.filled.Load(), Refused: c.refused.Load(), Unfilled: c.unfilled.Load(), Unstorable: c.unstorable.Load(), LeaseExpired: c.leaseExpired.Load(),
		Sets: c.sets.Load(), SetErrors: c.setErrors.Load(),
		Deletes: c.deletes.Load(), DeleteErrors: c.deleteErrors.Load(),
		SharedLoads: c.sharedLoads.Load(), LeaseTimeouts: c.leaseTimeouts.Load(),
		WaitedLoads: c.waitedLoads.Load(), RejectedLoads: c.rejectedLoads.Load(), ShortCircuited: c.shortCircuited.Load(),
		PendingRevocations: uint64(pendingAt(s)), //nolint:gosec // a length
	}
}

// pendingAt returns how many revocations are pending for the storages of a store.
func pendingAt(s *store) (n int) {
	for _, d := range s.doors.Load().all() {
		n += d.pending.Len()
	}
	return n
}

// plus adds the counts of another store. Every field is a count.
func (s Stats) plus(other Stats) Stats {
	sum, with := reflect.ValueOf(&s).Elem(), reflect.ValueOf(other)
	for i := range sum.NumField() {
		sum.Field(i).SetUint(sum.Field(i).Uint() + with.Field(i).Uint())
	}
	return s
}

// StoreInfo describes one store of a Service.
type StoreInfo struct {
	// Name is the name of the store, "default" for the one of everything that is placed nowhere
	// else.
	Name string `json:"name"`
	// Strategy is the name of the strategy, as in the configuration.
	Strategy string `json:"strategy"`
	// Location is where the storage is, without secrets. It is empty if the strategy does not say.
	Location string `json:"location"`
	// Namespace separates applications that share the storage.
	Namespace string `json:"namespace"`
	// Stats are the counts of the store.
	Stats Stats `json:"stats"`
}

// Stores describes the stores, the one named "default" first.
func (s *Service) Stores() []StoreInfo {
	infos := make([]StoreInfo, len(s.stores))
	for i, store := range s.stores {
		infos[i] = StoreInfo{
			Name: store.name, Strategy: store.door().strategyName, Location: store.door().location(),
			Namespace: store.door().namespace, Stats: statsOf(store),
		}
	}
	return infos
}

// UnusedCaches returns the names in [Caches] that no cache has so far, and the names of the
// caches that there are, both in order.
func (s *Service) UnusedCaches() (unused, used []string) { return s.caches.names() }

// Health reports how the Service is. It asks no storage and never waits, so it can answer every
// probe. A breaker that has opened stays so until an operation succeeds, and it takes a request to
// try one. A Degraded Service should go on to get requests.
func (s *Service) Health(context.Context) Health { return healthOf(s) }

// ReloadFailed notes for Health that a changed configuration could not be used, or with nil that
// the last one is in force. Health does not repeat the text of err.
func (s *Service) ReloadFailed(err error) { s.health.reloadFailed.Store(err != nil) }

// instruments maps the counters to OpenTelemetry: one instrument for several counters, which differ
// in the attribute "outcome".
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
		"not_found":     func(c *counters) *atomic.Uint64 { return &c.notFound },
		"not_modified":  func(c *counters) *atomic.Uint64 { return &c.notModified },
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
		"unstorable":    func(c *counters) *atomic.Uint64 { return &c.unstorable },
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

// observe registers the counters of every store with the meter. They are read when metrics are
// collected, so they cost nothing on the hot path.
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
			for _, store := range s.stores {
				value, with := count(&store.counters), attribute.String("outcome", outcome)
				observers = append(observers, func(o metric.Observer) {
					o.ObserveInt64(counter, int64(value.Load()), attributesOf(store, with)) //nolint:gosec // wraps after 2^63 events
				})
			}
		}
	}
	pending, err := s.meter.Int64ObservableGauge("fxcache.pending_revocations",
		metric.WithDescription("Revocations that could not be applied yet."))
	if err != nil {
		return nil, err
	}
	observables = append(observables, pending)
	for _, store := range s.stores {
		observers = append(observers, func(o metric.Observer) { o.ObserveInt64(pending, int64(pendingAt(store)), attributesOf(store)) })
	}
	return s.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, observe := range observers {
			observe(o)
		}
		return nil
	}, observables...)
}

// attributesOf are those of the metrics of a store.
func attributesOf(s *store, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more,
		attribute.String("store", s.name), attribute.String("strategy", s.door().strategyName))...))
}
