package cache

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// extension runs an extender while a load or write takes long: with a timer, and a goroutine only
// then. The zero value does nothing.
type extension struct {
	of      extender
	ctx     context.Context //nolint:containedctx // an extension lives no longer than a load
	timer   *time.Timer     // nil: nothing is extended
	stopped chan struct{}   // closed by extend

	mu     sync.Mutex
	over   bool
	cancel context.CancelFunc // of extend; nil before
}

// extender extends leases until ctx ends, or until somebody else may hold them.
type extender interface{ extendUntil(ctx context.Context) }

// begin runs an extender after the first pause, unless end is called or ctx ends before.
func (e *extension) begin(ctx context.Context, pause time.Duration, of extender) {
	e.ctx, e.of, e.stopped = ctx, of, make(chan struct{})
	e.timer = time.AfterFunc(pause, e.extend)
}

// end cancels the extender and waits for it.
func (e *extension) end() {
	if e.timer == nil || e.timer.Stop() {
		return
	}
	e.mu.Lock()
	if e.over = true; e.cancel != nil {
		e.cancel()
	}
	e.mu.Unlock()
	<-e.stopped
}

func (e *extension) extend() {
	defer close(e.stopped)
	e.mu.Lock()
	if e.over {
		e.mu.Unlock()
		return
	}
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	e.cancel = cancel
	e.mu.Unlock()
	e.of.extendUntil(ctx)
}

// wait waits, and reports false if ctx ends before.
func wait(ctx context.Context, pause time.Duration) bool {
	next := time.NewTimer(pause)
	select {
	case <-next.C:
		return true
	case <-ctx.Done():
		next.Stop()
		return false
	}
}

// sources are the sources of one load of many keys, which have begun together. Their leases are
// extended together.
type sources struct {
	door      *door
	all       []*source
	extension extension
	ended     bool
}

// newSources begins a load under leases. Those that are nil have a source as well.
func newSources(ctx context.Context, d *door, clock driver.Clock, leases []*driver.Lease) *sources {
	now, began := time.Now(), clock.Now()
	o, all := &sources{door: d, all: make([]*source, len(leases))}, make([]source, len(leases))
	extended := false
	for i, lease := range leases {
		all[i] = source{door: d, clock: clock, lease: lease, began: began, started: now, held: now}
		o.all[i] = &all[i]
		extended = extended || lease != nil
	}
	if extended && d.features.LeaseExtender != nil {
		o.extension.begin(ctx, extendEvery(d), o)
	}
	return o
}

// end ends the load, as source.end does.
func (o *sources) end() {
	if o.ended {
		return
	}
	o.ended = true
	for _, one := range o.all {
		one.end()
	}
	o.extension.end()
}

// extendUntil implements extender.
func (o *sources) extendUntil(ctx context.Context) {
	held := slices.DeleteFunc(slices.Clone(o.all), func(one *source) bool { return one.lease == nil })
	for len(held) > 0 {
		leases := make([]*driver.Lease, len(held))
		for i, one := range held {
			leases[i] = one.lease
		}
		asked, pause := time.Now(), extendEvery(o.door)
		results := leaseBatch{o.door}.extend(ctx, leases)
		if ctx.Err() != nil {
			return
		}
		var failed error
		left := held[:0]
		for i, one := range held {
			if results[i].Err != nil {
				failed = results[i].Err
			}
			if one.extended(asked, results[i].Held, results[i].Err) {
				left = append(left, one)
			}
		}
		if held = left; failed != nil {
			o.door.store.logger.warn(ctx, ofFills, "cache: a lease could not be extended", failed)
			pause /= 4
		}
		if !wait(ctx, pause) {
			return
		}
	}
}
