package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// assumedLeaseTTL is how long a lease is thought to be good where the strategy is no LeaseLimiter.
const assumedLeaseTTL = time.Minute

// measureLeases finds out how long leases are good.
func (s *Service) measureLeases() {
	s.leaseTTL = assumedLeaseTTL
	if limiter := s.features.LeaseLimiter; limiter != nil {
		s.leaseTTL = limiter.LeaseTTL()
	}
	s.leaseTerm = s.leaseTTL
	if extender := s.features.LeaseExtender; extender != nil {
		s.leaseTerm = extender.LeaseTerm()
	}
}

// origin is where a value comes from: what its TTL is counted from, and the lease that it is stored under.
type origin struct {
	service *Service
	lease   *driver.Lease
	began   time.Time     // by Options.Clock: what was read is no older than this
	took    time.Duration // by the machine's clock
	ttl     time.Duration // what was stored is good for so long, counted from began

	started time.Time // as began, by the machine's clock
	// held is when the lease was last known to be good, and revoked says that it ended before its time. Both
	// belong to extend until end has returned.
	held    time.Time
	revoked bool

	ctx     context.Context //nolint:containedctx // an origin is no longer than a load
	timer   *time.Timer     // nil: the lease is not extended
	ended   bool
	stopped chan struct{} // closed by extend

	mu     sync.Mutex
	over   bool
	cancel context.CancelFunc // of extend; nil before
}

// origin begins a load or write under lease, which may be nil. The lease is extended from time to time
// until end is called, or ctx ends. That costs a timer, and a goroutine only where it takes long.
func (s *Service) origin(ctx context.Context, lease *driver.Lease) *origin {
	now := time.Now()
	o := &origin{service: s, lease: lease, began: s.options.Clock.Now(), started: now, held: now, ctx: ctx}
	if lease != nil && s.features.LeaseExtender != nil {
		o.stopped = make(chan struct{})
		o.timer = time.AfterFunc(s.extendEvery(), o.extend)
	}
	return o
}

// extendEvery is the pause between two extensions.
func (s *Service) extendEvery() time.Duration { return max(s.leaseTerm/3, time.Millisecond) }

// end ends the load or write; what is being extended meanwhile is waited for. It may be called twice.
func (o *origin) end() {
	if o.ended {
		return
	}
	o.ended, o.took = true, time.Since(o.started)
	if o.timer == nil || o.timer.Stop() {
		return
	}
	o.mu.Lock()
	if o.over = true; o.cancel != nil {
		o.cancel()
	}
	o.mu.Unlock()
	<-o.stopped
}

// extend extends the lease until end is called, or somebody else may have it.
func (o *origin) extend() {
	defer close(o.stopped)
	o.mu.Lock()
	if o.over {
		o.mu.Unlock()
		return
	}
	ctx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	o.cancel = cancel
	o.mu.Unlock()
	o.extendUntil(ctx)
}

func (o *origin) extendUntil(ctx context.Context) {
	s := o.service
	for {
		asked, held, pause := time.Now(), false, s.extendEvery()
		err := s.call(ctx, "extend", func(ctx context.Context) (err error) {
			held, err = s.features.LeaseExtender.Extend(ctx, o.lease)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.warn(ctx, &s.fillWarning, "cache: a lease could not be extended", err)
			if o.expired() {
				return
			}
			pause /= 4
		case !held:
			o.revoked = !o.expired() && time.Since(o.started)+s.leaseTerm <= s.leaseTTL
			return
		default:
			o.held = asked
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return
		}
	}
}

// expired reports whether the lease has had its time.
func (o *origin) expired() bool { return time.Since(o.held) >= o.service.leaseTerm }

// age is how old what was read is by now, in whole milliseconds, as storages count. A clock that was set
// back makes nothing younger than nothing.
func (o *origin) age() time.Duration {
	return max(0, o.service.options.Clock.Now().Sub(o.began)).Truncate(time.Millisecond)
}

// errOutlived: a TTL counts from the start of the load, and is over when that ends.
var errOutlived = errors.New("the load took longer than the TTL of what it loaded")

// remaining returns what a TTL leaves of itself.
func (o *origin) remaining(ttl time.Duration) (time.Duration, error) {
	left := ttl - o.age()
	if o.ttl = ttl; left <= 0 {
		return 0, fmt.Errorf("%w: %v", errOutlived, ttl)
	}
	return left, nil
}

// current reports whether what was just stored may be given to somebody who came after its load had
// begun, and might have found it in the storage.
func (c *Cache[T]) current(value T, absent bool, o *origin) bool {
	if o.age() >= o.ttl {
		return false
	}
	if absent {
		return true
	}
	fresh, err := c.fresh(value)
	return fresh && err == nil
}

// refusedFill counts a value that was not stored: something was invalidated meanwhile, or its lease had
// expired, about which something can be done.
func (c *Cache[T]) refusedFill(ctx context.Context, o *origin) {
	s := c.service
	if o.revoked || !o.expired() {
		s.counters.refused.Add(1)
		return
	}
	s.counters.leaseExpired.Add(1)
	s.warn(ctx, &c.slowWarning, "cache: a load outlived its lease; the value is not stored", errLeaseExpired,
		"cache", c.name, "took", o.took, "lease_ttl", s.leaseTerm)
}

var errLeaseExpired = errors.New("the lease expired: let loads be quicker, or raise lease_ttl")
