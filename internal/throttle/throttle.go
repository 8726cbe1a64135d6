// Package throttle limits how often one kind of thing is logged. Otherwise a fault that every
// request meets would log once per request.
package throttle

import (
	"sync/atomic"
	"time"
)

// Interval is how often a Throttle lets something pass.
const Interval = 10 * time.Second

// Throttle lets one event per Interval pass and counts the others. The zero value is ready. It is
// safe for concurrent use.
type Throttle struct {
	next       atomic.Int64 // Unix nanoseconds
	suppressed atomic.Uint64
}

// Pass reports whether an event may be logged now, and how many were not, since the last one was.
func (t *Throttle) Pass() (suppressed uint64, ok bool) {
	now, next := time.Now(), t.next.Load()
	if now.UnixNano() < next || !t.next.CompareAndSwap(next, now.Add(Interval).UnixNano()) {
		t.suppressed.Add(1)
		return 0, false
	}
	return t.suppressed.Swap(0), true
}
