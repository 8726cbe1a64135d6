package checker

import (
	"sync"
	"time"
)

// FaultLog records which faults there were, and when. It is safe for concurrent use.
type FaultLog struct {
	mu     sync.Mutex
	faults []fault
	// A replica may become master now, or might have since conditions was last called.
	failing, lossy bool
	// The error of the clocks now, and the greatest since conditions was last called.
	skew, worst time.Duration
	// unskewedAt is when the clocks were corrected. It is 0 while one is wrong.
	unskewedAt int64
}

type fault struct {
	kind       string
	begin, end int64 // end is 0 while it lasts
}

// begin records that a fault begins. The caller calls over when it ends.
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

// failover records that a replica may become master until over is called.
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

// skewed records that a clock was set wrong.
func (l *FaultLog) skewed(by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.skew, l.unskewedAt = max(l.skew, by.Abs()), 0
	l.worst = max(l.worst, l.skew)
}

// unskewed records that the clocks are correct again. Sessions that were stored under a wrong clock
// still exist.
func (l *FaultLog) unskewed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unskewedAt = Now()
}

// cleared records that a Clear removed all sessions stored before began.
func (l *FaultLog) cleared(began int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unskewedAt != 0 && began > l.unskewedAt {
		l.skew = 0
	}
}

// at returns the kind of fault that may explain what happened at a time, or "". It is the latest
// fault that began before then, unless it ended longer ago than its traces last. during means that
// the fault had not ended.
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

// counts returns the number of faults of each kind.
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
