package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// source is the load or write that a value comes from. The TTL of the value counts from the start
// of the source. The lease is extended until the source ends.
type source struct {
	door  *door
	clock driver.Clock
	lease *driver.Lease // nil: the value is not stored
	began time.Time     // by clock: what was read is no older than this
	took  time.Duration // by the machine's clock
	ttl   time.Duration // of the value that was stored, counted from began

	started time.Time // as began, by the machine's clock
	// held is when the lease was last known to be held. revoked says that it ended before it
	// expired. Both belong to extend until end has returned.
	held    time.Time
	revoked bool

	extension extension
	ended     bool
}

// newSource begins a load or a write under lease, which may be nil. The lease is extended from time
// to time until end is called or ctx ends. That takes a timer, and a goroutine only if the load or
// write takes long.
func newSource(ctx context.Context, d *door, clock driver.Clock, lease *driver.Lease) *source {
	now := time.Now()
	o := &source{door: d, clock: clock, lease: lease, began: clock.Now(), started: now, held: now}
	if lease != nil && d.features.LeaseExtender != nil {
		o.extension.begin(ctx, extendEvery(d), o)
	}
	return o
}

// extendEvery returns the time between two extensions.
func extendEvery(d *door) time.Duration { return max(d.leaseTerm/3, time.Millisecond) }

// end ends the load or write. It cancels a running extension and waits for it. A second call does
// nothing.
func (o *source) end() {
	if o.ended {
		return
	}
	o.ended, o.took = true, time.Since(o.started)
	o.extension.end()
}

// extendUntil implements extender.
func (o *source) extendUntil(ctx context.Context) {
	for {
		asked, pause := time.Now(), extendEvery(o.door)
		held, err := o.door.extend(ctx, o.lease)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			o.door.store.logger.warn(ctx, ofFills, "cache: a lease could not be extended", err)
			pause /= 4
		}
		if !o.extended(asked, held, err) || !wait(ctx, pause) {
			return
		}
	}
}

// extended takes the answer to an extension that was asked for at that time. It reports whether it
// is of any use to ask again.
func (o *source) extended(asked time.Time, held bool, err error) (again bool) {
	switch {
	case err != nil:
		return !o.leaseExpired()
	case !held:
		o.revoked = !o.leaseExpired() && time.Since(o.started)+o.door.leaseTerm <= o.door.leaseTTL
		return false
	default:
		o.held = asked
		return true
	}
}

// leaseExpired reports whether the lease has expired.
func (o *source) leaseExpired() bool { return time.Since(o.held) >= o.door.leaseTerm }

// age returns how old the value is by now, in whole milliseconds, as storages count. It is at least
// 0, even if the clock was set back.
func (o *source) age() time.Duration {
	return max(0, o.clock.Now().Sub(o.began)).Truncate(time.Millisecond)
}

// errOutlived: the TTL, which counts from the start of the load, ended before the load did.
var errOutlived = errors.New("the load took longer than the TTL of what it loaded")

// remaining returns what is left of a TTL, and errOutlived if nothing is.
func (o *source) remaining(ttl time.Duration) (time.Duration, error) {
	left := ttl - o.age()
	if o.ttl = ttl; left <= 0 {
		return 0, fmt.Errorf("%w: %v", errOutlived, ttl)
	}
	return left, nil
}

// outlived reports whether the TTL of what was stored has ended.
func (o *source) outlived() bool { return o.age() >= o.ttl }
