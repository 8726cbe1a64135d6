package checker

import (
	"sync"
	"time"
)

// FaultLog is what was broken when. It is safe for concurrent use.
type FaultLog struct {
	mu     sync.Mutex
	faults []fault
	// A replica may become master now, or might have since conditions was last asked.
	failing, lossy bool
	// How wrong clocks are now, and were at worst since conditions was last asked.
	skew, worst time.Duration
	// unskewedAt is when they were set right; 0 while they are not.
	unskewedAt int64
}

type fault struct {
	kind       string
	begin, end int64 // end is 0 while it lasts
}

// begin notes that a fault begins; call the result when it is over.
func (l *FaultLog) begin(kind string) (over func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fault{kind: kind, begin: Now()})
	i := len(l.faults) - 1
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.faults[i].end = Now()
	}
}

// failover notes that a replica may become master from now on, until over is called.
func (l *FaultLog) failover() (over func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lossy, l.failing = true, true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failing = false
	}
}

// skewed notes how wrong a clock is set.
func (l *FaultLog) skewed(by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.skew, l.unskewedAt = max(l.skew, by.Abs()), 0
	l.worst = max(l.worst, l.skew)
}

// unskewed notes that clocks are right again. Sessions that were stored by a wrong one are still
// there.
func (l *FaultLog) unskewed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unskewedAt = Now()
}

// cleared notes that all sessions were cleared, those included that were stored before began.
func (l *FaultLog) cleared(began int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unskewedAt != 0 && began > l.unskewedAt {
		l.skew = 0
	}
}

// at is the fault that may be to blame at a time: the latest that began before, if not over for
// longer than its traces last; "" is none. during says that it was not over.
func (l *FaultLog) at(when, traces int64) (kind string, during bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.faults) - 1; i >= 0; i-- {
		f := l.faults[i]
		switch {
		case f.begin > when:
		case f.end == 0 || when <= f.end:
			return f.kind, true
		case when <= f.end+traces:
			return f.kind, false
		default:
			return "", false
		}
	}
	return "", false
}

// counts are how many faults of each kind there were.
func (l *FaultLog) counts() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make(map[string]int)
	for _, f := range l.faults {
		counts[f.kind]++
	}
	return counts
}

// conditions returns what the judge has to know about a window that ends now.
func (l *FaultLog) conditions() (lossy bool, skew int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lossy, l.lossy = l.lossy, l.failing
	skew, l.worst = int64(l.worst), l.skew
	return lossy, skew
}
