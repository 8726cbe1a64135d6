package checker

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience is how long porcupine may take for a window. A window that takes longer is Unknown, and
// that is a failure: nobody knows what is in it.
const patience = 20 * time.Second

// grain is what a session's times are cut to.
const grain = time.Millisecond

// Judge judges windows one after the other.
type Judge struct {
	database    *Database
	faults      *FaultLog
	staleAfter  time.Duration
	minVersions minVersions

	// Patience is how long porcupine may take for a window. NewJudge sets it to 20 s.
	Patience time.Duration

	// Violations of G1, and Overdue Gets, which break G2.
	Violations, Overdue []Violation
	// Unknown windows, and those about which the two ways to judge disagree.
	Unknown, Disagreed int
	// Worst is, for each kind of fault, how long after a version was replaced it was still
	// returned; "" is the time in which nothing was broken.
	Worst map[string]time.Duration
	// Judged is how many operations were. Until is how many had begun when the first was found that
	// must not be; 0 is never.
	Judged, Until int
}

// NewJudge returns a judge of what is recorded over database.
func NewJudge(database *Database, faults *FaultLog, staleAfter time.Duration) *Judge {
	return &Judge{database: database, faults: faults, staleAfter: staleAfter, Patience: patience, Worst: make(map[string]time.Duration)}
}

// Failed reports whether anything was found that must not be.
func (j *Judge) Failed() bool {
	return len(j.Violations) > 0 || len(j.Overdue) > 0 || j.Unknown > 0 || j.Disagreed > 0
}

// Judge judges the next window.
func (j *Judge) Judge(w Window) {
	if w.Lossy {
		// What updates had stored in the old master may be lost, also from before this window.
		j.minVersions.all = j.minVersions.revoked
	}
	h := &history{Window: w, commits: j.database.Commits(), before: j.minVersions}
	violations, after := h.intervals()
	verdict := h.linearizable(j.Patience)
	switch {
	case verdict == porcupine.Unknown:
		j.Unknown++
	case (verdict == porcupine.Illegal) != (len(violations) > 0):
		j.Disagreed++
	}
	j.Violations = append(j.Violations, violations...)
	j.staleness(h)
	j.minVersions = after
	if first := slices.Concat(j.Violations, j.Overdue); j.Until == 0 && len(first) > 0 {
		j.Until = j.Judged
		for i := range w.Events {
			if w.Events[i].Call <= first[0].Event.Return {
				j.Until++
			}
		}
	}
	j.Judged += len(w.Events)
}

// staleness measures G2: whatever fails, a session is served no longer than stale_after after the
// read that produced it began, and a row no longer than its TTL and StaleFor. The read of a version
// began before the next one was committed. A clock that was set wrong adds as much as it was wrong.
func (j *Judge) staleness(h *history) {
	for _, get := range h.readings() {
		token, version := get.Read.Token, get.Read.Version
		if get.Gone || get.Foreign != "" || version >= h.committed(token, get.Call) {
			continue
		}
		bound := j.staleAfter + time.Duration(h.Skew) + grain
		if isRow(token) {
			bound += rowsServed - j.staleAfter
		}
		late := time.Duration(get.Call - h.commits[token][version+1].At)
		kind, _ := j.faults.at(get.Call, int64(j.staleAfter))
		j.Worst[kind] = max(j.Worst[kind], late)
		if late > bound {
			j.Overdue = append(j.Overdue, Violation{*get, fmt.Sprintf("it was replaced %v before, and %v is the bound", late, bound)})
		}
	}
}
