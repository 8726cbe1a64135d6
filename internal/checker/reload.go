package checker

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
)

// The nodes learn of a change within half of the handover. The other half is for what the machine
// makes of it.
const (
	handover = time.Second
	spread   = handover / 2
)

// away is how long a server stays out of use, after which the processes return to it. It is longer
// than the sessions of a user change, and far shorter than what is left there lives. So some that
// were only read before and afterwards have changed meanwhile.
const away = 6 * time.Second

// Reload is the plan for two servers, between which the configuration changes while the processes
// run. Each process learns of it at a time of its own. Servers fail meanwhile. A process is not
// stopped or replaced meanwhile: it would not learn of the change in time, or begin with another
// storage than the others read from (docs/configuration.md).
func Reload(t testing.TB) Plan {
	r := &reloads{}
	for i := range r.servers {
		r.servers[i] = redistest.Start(t)
		for range 4 {
			r.links[i] = append(r.links[i], redistest.NewProxy(t, r.servers[i].Addr()))
		}
	}
	plan := planned("redis reload", shared(r.addresses))
	for i := range plan.Nodes {
		plan.Nodes[i].Handover = handover
		plan.Nodes[i].StaleAfter = 3 * away
	}
	plan.Faults = func(run *Run) []Fault {
		r.Run = run
		return r.faults()
	}
	return plan
}

type reloads struct {
	*Run
	servers [2]*redistest.Server
	links   [2][]*redistest.Proxy // by server and node
	used    int                   // the server in the configuration
}

// addresses returns what the configuration of a node says.
func (r *reloads) addresses(place int) []string { return []string{r.links[r.used][place].Addr()} }

// faults returns the faults. About half of those that are inflicted are changes.
func (r *reloads) faults() (faults []Fault) {
	for _, f := range nodeFaults(r.Run) {
		f.Beside = f.Beside && f.Kind != "node stopped" && f.Kind != "node killed"
		faults = append(faults, f)
	}
	for i, server := range r.servers {
		for _, f := range serverFaults(r.Run, server, r.links[i]) {
			f.Beside = f.Kind != "node cut off, then killed"
			faults = append(faults, f)
		}
	}
	changes := []Fault{
		{Kind: "reload", Lasts: handover, Do: func(hold func()) {
			r.change()
			hold()
			r.settle()
		}},
		{Kind: "reload, and back within the handover", Lasts: handover / 2, Do: func(hold func()) {
			r.change()
			hold()
			r.change()
			r.settle()
		}},
		{Kind: "reload, and back after it", Lasts: away, Do: func(func()) {
			r.change()
			r.settle()
			wait(context.Background(), away)
			r.change()
			r.settle()
		}},
		{Kind: "reload, claim lost", Lasts: handover, Do: func(func()) {
			r.change()
			for range 20 {
				wait(context.Background(), handover/20)
				r.tell(r.servers[r.used:][:1], "UNLINK", "checker:claim")
			}
			r.settle()
		}},
		{Kind: "reload away from a dead Redis", Lasts: handover, Do: func(func()) {
			old := r.servers[r.used]
			old.Kill()
			r.change()
			r.settle()
			old.Restart()
		}},
		{Kind: "reload to a Redis that hangs", Lasts: handover, Do: func(func()) {
			next := r.servers[1-r.used]
			next.Pause()
			r.change()
			wait(context.Background(), rand.N(2*handover)) //nolint:gosec // not a secret
			next.Resume()
			r.settle()
		}},
	}
	for len(changes) < len(faults) {
		changes = append(changes, changes...)
	}
	return append(faults, changes...)
}

// change has each node use the other server.
func (r *reloads) change() {
	r.used = 1 - r.used
	var changing sync.WaitGroup
	for place := range r.Fleet.Size() {
		changing.Go(func() {
			wait(context.Background(), rand.N(spread)) //nolint:gosec // not a secret
			r.Fleet.Reload(place, r.addresses(place))
		})
	}
	changing.Wait()
}

// settle waits until every node has left the old server alone.
func (r *reloads) settle() { wait(context.Background(), 2*handover+spread) }
