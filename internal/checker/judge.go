package checker

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience is how long porcupine may take for a window. A window that takes longer is Unknown. That
// is a failure, because nobody knows whether it was legal.
const patience = 20 * time.Second

// grain is the precision of the times in a session.
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
	// Unknown counts the windows for which porcupine ran out of time, and Disagreed those about
	// which the two judges disagree.
	Unknown, Disagreed int
	// Worst is, by kind of fault, the longest time for which a version was still returned after it
	// had been replaced. The key "" stands for the time without a fault.
	Worst map[string]time.Duration
	// Judged is the number of operations judged. Until is how many of them had begun when the first
	// violation occurred, or 0 if there was none.
	Judged, Until int
}

// NewJudge returns a judge for operations on database.
func NewJudge(database *Database, faults *FaultLog, staleAfter time.Duration) *Judge {
	return &Judge{database: database, faults: faults, staleAfter: staleAfter, Patience: patience, Worst: make(map[string]time.Duration)}
}

// Failed reports whether the judge found a violation, an unknown window or a disagreement.
func (j *Judge) Failed() bool {
	return len(j.Violations) > 0 || len(j.Overdue) > 0 || j.Unknown > 0 || j.Disagreed > 0
}

// Judge judges the next window.
func (j *Judge) Judge(w Window) {
	if w.Lossy {
		// Updates that the old master had stored may be lost, even those from before this window.
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

// staleness measures G2. Whatever fails, a session is served for at most stale_after, and a row for
// at most its TTL plus StaleFor, counted from the begin of the read that produced it. That read
// began before the next version was committed. A wrong clock adds its error.
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
