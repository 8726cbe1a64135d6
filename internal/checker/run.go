package checker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
)

// Plan describes a run.
type Plan struct {
	// Strategy names the run in the report.
	Strategy string
	// Nodes are the processes. Socket, Node, FirstClient, Seed and Quota are filled in.
	Nodes []Spec
	// Duration is how long the run takes, without the time to repair the last fault.
	Duration time.Duration
	// Window is how long clients work between two moments at which all are idle.
	Window time.Duration
	// Quota is how many operations a client does in a window at most.
	Quota int
	// Seed makes the choices of clients and nemesis.
	Seed uint64
	// StopAtOnce ends the run at the first violation.
	StopAtOnce bool
	// Faults are what the nemesis may do, given the run.
	Faults func(*Run) []Fault

	home *redistest.Server // where the fingerprint is at first; nil: there is none
}

// windowGrace is how long the clients may take to finish after the end of a window. It is far
// longer than the deadline of any operation.
const windowGrace = 60 * time.Second

// Run is a run under way.
type Run struct {
	Plan
	t           testing.TB
	Fleet       *Fleet
	Log         *FaultLog
	database    *Database
	coordinator *coordinator
	judge       *Judge
	report      *Report
	found       context.CancelFunc
	trouble     error // why there are no more windows
}

// Start runs plan and returns its report. The nemesis runs in the calling goroutine. A failure of
// the checker itself ends the test. What the checker found in the product is in the report.
func Start(t testing.TB, plan Plan) *Report {
	t.Helper()
	database, log := NewDatabase(), &FaultLog{}
	r := &Run{Plan: plan, t: t, database: database, Log: log, coordinator: newCoordinator(database)}
	r.judge = NewJudge(database, log, plan.Nodes[0].StaleAfter)
	r.report = newReport(plan.Strategy)
	first := 0
	for i := range plan.Nodes {
		s := &plan.Nodes[i]
		s.Seed, s.Quota, s.FirstClient = plan.Seed, plan.Quota, first
		first += s.Clients
	}
	r.Fleet = startFleet(t, r.coordinator, plan.Nodes)
	var faults []Fault
	if plan.Faults != nil {
		faults = plan.Faults(r)
	}

	ctx, found := context.WithCancel(t.Context())
	r.found = found
	windows, finish := context.WithCancel(ctx)
	began := time.Now()
	var working sync.WaitGroup
	working.Go(func() { r.windows(windows) })
	defer func() { // also when a verb of redistest ends this goroutine
		finish()
		for i := range r.Fleet.slots {
			if t.Failed() {
				r.Fleet.Kill(i) // otherwise a paused node would never end its window
			}
		}
		working.Wait()
		found()
		if t.Failed() { // otherwise nobody would see the report
			r.report.finish(r, time.Since(began))
			t.Logf("the run was cut short:\n%v", r.report)
		}
	}()
	r.torment(ctx, faults, began.Add(plan.Duration))
	finish()
	working.Wait()
	r.report.finish(r, time.Since(began))
	if r.trouble != nil {
		t.Fatal(r.trouble)
	}
	return r.report
}

// windows runs one window after another until ctx ends. Each is judged while the next one runs.
func (r *Run) windows(ctx context.Context) {
	history := make(chan Window, 1)
	var judging sync.WaitGroup
	judging.Go(func() {
		for w := range history {
			r.judge.Judge(w)
			if r.StopAtOnce && r.judge.Failed() {
				r.found()
			}
		}
	})
	defer judging.Wait()
	defer close(history)
	for number := 1; ctx.Err() == nil; number++ {
		w, err := r.window(ctx, number)
		if err != nil {
			r.trouble = err
			r.found()
			return
		}
		r.report.count(w, r.Log)
		history <- w
	}
}

// window has the nodes work, and collects what they saw.
func (r *Run) window(ctx context.Context, number int) (Window, error) {
	w := Window{Number: number, Base: r.database.Top()}
	members := r.coordinator.members()
	for len(members) == 0 && wait(ctx, 20*time.Millisecond) { // the only node was killed
		members = r.coordinator.members()
	}
	for _, m := range members {
		m.order(Order{Begin: number})
	}
	end := time.NewTimer(r.Window)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over, ended, told := false, ctx.Done(), false
	var patience <-chan time.Time
	for len(members) > 0 {
		// A paused node cannot end its window. The other nodes should not be idle meanwhile.
		if over && !told && (!r.Fleet.paused() || ctx.Err() != nil) {
			for _, m := range members {
				m.order(Order{End: number})
			}
			told = true
		}
		if told && patience == nil && !r.Fleet.paused() {
			patience = time.After(windowGrace)
		}
		select {
		case batch := <-r.coordinator.batches:
			if members[batch.Node] != nil && batch.Window == number {
				delete(members, batch.Node)
				w.Events = append(w.Events, batch.Events...)
				r.report.batch(batch)
			}
		case <-end.C:
			over = true
		case <-ended:
			over, ended = true, nil
		case <-patience:
			return w, fmt.Errorf("window %d: %d nodes did not come to rest within %v", number, len(members), windowGrace)
		case <-tick.C:
			for node, m := range members {
				select {
				case <-m.gone: // what its operations did stays unknown
					delete(members, node)
				default:
				}
			}
		}
	}
	w.Top = r.database.Top()
	w.Lossy, w.Skew = r.Log.conditions()
	for i := range w.Events {
		if e := &w.Events[i]; e.Kind == Clear && e.Outcome == Done {
			r.Log.cleared(e.Committed)
		}
	}
	return w, nil
}
