package cache

import (
	"fmt"
	"sync/atomic"
)

// Status is how a Service is.
type Status string

const (
	// Ready means that every store is in use.
	Ready Status = "ready"
	// Degraded means that the Service answers, but a store does not help: it is left alone because
	// it fails, or serves no hits until a revocation is applied. Loads run all the same.
	Degraded Status = "degraded"
	// Down means that the Service has not started, or has stopped. Every call is an error.
	Down Status = "down"
)

// Health is how a Service is, and why.
type Health struct {
	Status Status `json:"status"`
	// Reasons say why Status is not Ready, and what else somebody should look at. They name stores
	// and caches, and hold no key, value or secret.
	Reasons []string `json:"reasons,omitempty"`
}

// health is what a Service has been told about itself.
type health struct {
	reloadFailed atomic.Bool
}

// healthOf is the Health of a Service.
func healthOf(s *Service) Health {
	h := Health{Status: Ready}
	if s.main() == nil || s.phase.Load() == phaseNew {
		return Health{Status: Down, Reasons: []string{"the service has not been started"}}
	}
	if s.phase.Load() != phaseStarted {
		return Health{Status: Down, Reasons: []string{"the service has stopped"}}
	}
	for _, store := range s.stores {
		if store.door().breaker.Open() {
			h.degrade("store %s: its circuit breaker is open, because the storage fails", store.name)
		}
		d := store.door()
		if n := d.pending.Len(); n > 0 {
			h.degrade("store %s: %d revocations are pending, and it serves no hits until they are applied", store.name, n)
		}
		if d.closed.Load() {
			h.degrade("store %s: its new storage cannot be cleared, and it serves no hits until it is", store.name)
		}
		if n := pendingAt(store) - d.pending.Len(); n > 0 {
			h.Reasons = append(h.Reasons, fmt.Sprintf("store %s: its storage is being replaced, and %d revocations are pending for another one "+
				"than that in use", store.name, n))
		}
	}
	unused, _ := s.UnusedCaches()
	for _, name := range unused {
		h.Reasons = append(h.Reasons, fmt.Sprintf("caches.%s: the configuration names a cache that the application has not made", name))
	}
	if s.health.reloadFailed.Load() {
		h.Reasons = append(h.Reasons, "the changed configuration could not be used, and the earlier one is in force: see the log")
	}
	return h
}

func (h *Health) degrade(format string, args ...any) {
	h.Status = Degraded
	h.Reasons = append(h.Reasons, fmt.Sprintf(format, args...))
}
