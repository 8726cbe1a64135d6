package checker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/strategies/tiered"
)

// A run with less than this proves nothing and is void.
const (
	minRate    = 500 // operations per second
	minRevoked = 100 // revocations while something was broken
)

// Report is the result of a run.
type Report struct {
	Strategy   string
	Duration   time.Duration
	Windows    int
	Operations int
	Gets       int
	// Hits are the hits of the cache, including Stale ones. Negative are the hits on a cached "not
	// found". Refreshes are the loads in the background.
	Hits, Stale, Negative, Refreshes uint64
	// Copies are the reads that a copy in a node's process has served.
	Copies uint64
	// Revocations counts the revocations that returned nil, whether of sessions, users or
	// everything. Pending and Failed count the others. InFaults counts how many of all three began
	// during a fault.
	Revocations, Pending, Failed, InFaults int
	Faults                                 map[string]int
	Errors                                 map[string]int
	Worst                                  map[string]time.Duration
	Violations, Overdue                    []Violation
	Unknown, Disagreed                     int
	// Until is how many operations had begun when the first violation was seen.
	Until int

	stats map[int]cache.Stats // by node
}

func newReport(strategy string) *Report {
	return &Report{Strategy: strategy, Errors: make(map[string]int), stats: make(map[int]cache.Stats)}
}

func (r *Report) batch(b Batch) {
	r.stats[b.Node] = b.Stats
	for text, n := range b.Errors {
		r.Errors[text] += n
	}
}

func (r *Report) count(w Window, faults *FaultLog) {
	r.Windows++
	for i := range w.Events {
		e := &w.Events[i]
		r.Operations++
		if e.Kind == Get {
			r.Gets++
		}
		if !e.Kind.revokes() {
			continue
		}
		switch e.Outcome {
		case Done:
			r.Revocations++
		case Pending:
			r.Pending++
		default:
			r.Failed++
		}
		if _, during := faults.at(e.Call, 0); during {
			r.InFaults++
		}
	}
}

func (r *Report) finish(run *Run, took time.Duration) {
	r.Duration = took
	for _, stats := range r.stats {
		r.Hits += stats.Hits
		r.Stale += stats.StaleHits
		r.Negative += stats.NegativeHits
		r.Refreshes += stats.Refreshes
		r.Copies += stats.CopyHits
	}
	r.Faults = run.Log.counts()
	j := run.judge
	r.Worst, r.Violations, r.Overdue, r.Unknown, r.Disagreed = j.Worst, j.Violations, j.Overdue, j.Unknown, j.Disagreed
	r.Until = j.Until
}

// Rate is the number of operations per second.
func (r *Report) Rate() float64 { return float64(r.Operations) / r.Duration.Seconds() }

// Found reports whether the run found anything.
func (r *Report) Found() bool {
	return len(r.Violations) > 0 || len(r.Overdue) > 0 || r.Unknown > 0 || r.Disagreed > 0
}

// Void says why the run proves nothing, or "" if it does.
func (r *Report) Void() string {
	var reasons []string
	if r.Rate() < minRate {
		reasons = append(reasons, fmt.Sprintf("%.0f operations/s, fewer than %d", r.Rate(), minRate))
	}
	if r.InFaults < minRevoked {
		reasons = append(reasons, fmt.Sprintf("%d revocations while something was broken, fewer than %d", r.InFaults, minRevoked))
	}
	for _, met := range []struct {
		name string
		n    uint64
	}{{"hit", r.Hits}, {"stale hit", r.Stale}, {"negative hit", r.Negative}, {"refresh", r.Refreshes}} {
		if met.n == 0 && r.Strategy != "noop" {
			reasons = append(reasons, "no "+met.name)
		}
	}
	if r.Copies == 0 && strings.HasPrefix(r.Strategy, tiered.Name) {
		reasons = append(reasons, "no copy")
	}
	return strings.Join(reasons, "; ")
}

// String returns the report as a Markdown table.
func (r *Report) String() string {
	verdict := "holds"
	if void := r.Void(); void != "" {
		verdict = "void: " + void
	}
	if r.Found() {
		verdict = "VIOLATED"
	}
	rows := [][2]string{
		{"verdict", verdict},
		{"duration", r.Duration.Round(time.Second).String()},
		{"operations", fmt.Sprintf("%d, %.0f/s, in %d windows", r.Operations, r.Rate(), r.Windows)},
		{"gets", fmt.Sprintf("%d, %d hits of the cache, %d of them stale; %d negative hits, %d refreshes; %d copies served",
			r.Gets, r.Hits, r.Stale, r.Negative, r.Refreshes, r.Copies)},
		{"revocations", fmt.Sprintf("%d applied, %d pending, %d failed", r.Revocations, r.Pending, r.Failed)},
		{"revocations while broken", fmt.Sprint(r.InFaults)},
		{"faults", inline(r.Faults)},
		{"stale reads (G1)", fmt.Sprint(len(r.Violations))},
		{"served too long (G2)", fmt.Sprint(len(r.Overdue))},
		{"unknown windows", fmt.Sprint(r.Unknown)},
		{"disagreements of the two judges", fmt.Sprint(r.Disagreed)},
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Worst)) {
		during := kind
		if kind == "" {
			during = "no fault"
		}
		rows = append(rows, [2]string{"worst staleness, " + during, r.Worst[kind].Round(10 * time.Microsecond).String()})
	}
	for _, text := range slices.Sorted(maps.Keys(r.Errors)) {
		rows = append(rows, [2]string{"returned by " + text, fmt.Sprint(r.Errors[text])})
	}
	var text strings.Builder
	fmt.Fprintf(&text, "| %s | |\n|---|---|\n", r.Strategy)
	for _, row := range rows {
		fmt.Fprintf(&text, "| %s | %s |\n", row[0], row[1])
	}
	text.WriteString("\n")
	return text.String()
}

// inline lists counts in one line.
func inline(counts map[string]int) string {
	var parts []string
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", kind, counts[kind]))
		total += counts[kind]
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(parts, ", "))
}
