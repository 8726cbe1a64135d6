package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// source is the load or write that a value comes from. The TTL of the value counts from its start.
// The lease is extended until its end.
type source struct {
	store *store
	clock driver.Clock
	lease *driver.Lease // nil: there is none
	began time.Time     // by clock: what was read is no older than this
	took  time.Duration // by the machine's clock
	ttl   time.Duration // what was stored is good for so long, counted from began

	started time.Time // as began, by the machine's clock
	// held is when the lease was last known to be good. revoked says that it ended before its time.
	// Both belong to extend until end has returned.
	held    time.Time
	revoked bool

	ctx     context.Context //nolint:containedctx // a source lives no longer than a load
	timer   *time.Timer     // nil: the lease is not extended
	ended   bool
	stopped chan struct{} // closed by extend

	mu     sync.Mutex
	over   bool
	cancel context.CancelFunc // of extend; nil before
}

// newSource begins a load or a write under lease, which may be nil. The lease is extended from time
// to time until end is called, or ctx ends. That costs a timer, and a goroutine only if it takes
// long.
func newSource(ctx context.Context, s *store, clock driver.Clock, lease *driver.Lease) *source {
	now := time.Now()
	o := &source{store: s, clock: clock, lease: lease, began: clock.Now(), started: now, held: now, ctx: ctx}
	if lease != nil && s.features.LeaseExtender != nil {
		o.stopped = make(chan struct{})
		o.timer = time.AfterFunc(o.pause(), o.extend)
	}
	return o
}

// pause is the time between two extensions.
func (o *source) pause() time.Duration { return max(o.store.leaseTerm/3, time.Millisecond) }

// end ends the load or write. It waits for an extension that is under way. It may be called twice.
func (o *source) end() {
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
func (o *source) extend() {
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

func (o *source) extendUntil(ctx context.Context) {
	for {
		asked, pause := time.Now(), o.pause()
		held, err := o.store.extend(ctx, o.lease)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			o.store.logger.warn(ctx, ofFills, "cache: a lease could not be extended", err)
			if o.leaseExpired() {
				return
			}
			pause /= 4
		case !held:
			o.revoked = !o.leaseExpired() && time.Since(o.started)+o.store.leaseTerm <= o.store.leaseTTL
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

// leaseExpired reports whether the lease has had its time.
func (o *source) leaseExpired() bool { return time.Since(o.held) >= o.store.leaseTerm }

// age is how old what was read is by now, in whole milliseconds, as storages count. A clock that
// was set back makes nothing younger than 0.
func (o *source) age() time.Duration {
	return max(0, o.clock.Now().Sub(o.began)).Truncate(time.Millisecond)
}

// errOutlived: a TTL counts from the start of the load, and has ended before the load has.
var errOutlived = errors.New("the load took longer than the TTL of what it loaded")

// remaining returns what a TTL leaves of itself.
func (o *source) remaining(ttl time.Duration) (time.Duration, error) {
	left := ttl - o.age()
	if o.ttl = ttl; left <= 0 {
		return 0, fmt.Errorf("%w: %v", errOutlived, ttl)
	}
	return left, nil
}

// outlived reports whether the TTL of what was stored has ended.
func (o *source) outlived() bool { return o.age() >= o.ttl }
