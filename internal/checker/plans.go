package checker

import (
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/noop"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Clients is the number of clients that work at the same time.
const Clients = 8

// Both are short, so that faults outlast them.
const (
	staleAfter = 5 * time.Second
	leaseTTL   = 600 * time.Millisecond
)

// planned returns a plan with the fields that all plans share.
func planned(strategy string, nodes []Spec) Plan {
	return Plan{Strategy: strategy, Nodes: nodes, Window: time.Second, Quota: 2000}
}

// Embedded is the plan for a strategy that lives in the process. It has one process, because
// another one would not hear of revocations before stale_after (docs/guarantees.md).
func Embedded(strategy string) Plan {
	plan := planned(strategy, []Spec{{Strategy: strategy, Clients: Clients, StaleAfter: staleAfter, LeaseTTL: leaseTTL}})
	plan.Faults = nodeFaults
	return plan
}

// shared returns the nodes of a shared strategy: several processes, each with its own addresses of
// Redis.
func shared(addresses func(place int) []string) []Spec {
	nodes := make([]Spec, 4)
	for place := range nodes {
		nodes[place] = Spec{
			Strategy: redis.Name, Addresses: addresses(place), Clients: Clients / len(nodes), StaleAfter: staleAfter, LeaseTTL: leaseTTL,
		}
	}
	return nodes
}

// Standalone is the plan for one Redis without persistence. Each node reaches it through its own
// proxy.
func Standalone(t testing.TB) Plan {
	s := redistest.Start(t)
	proxies := make([]*redistest.Proxy, 4)
	for i := range proxies {
		proxies[i] = redistest.NewProxy(t, s.Addr())
	}
	plan := planned("redis standalone", shared(func(place int) []string { return []string{proxies[place].Addr()} }))
	plan.Faults = func(r *Run) []Fault { return append(nodeFaults(r), serverFaults(r, s, proxies)...) }
	return plan
}

// PlanOf returns the plan of that name.
func PlanOf(t testing.TB, name string) Plan {
	switch name {
	case bigcache.Name, noop.Name:
		return Embedded(name)
	case "redis":
		return Standalone(t)
	case "moved":
		return Moved(t)
	case "reload":
		return Reload(t)
	case "sentinel":
		return Sentinel(t)
	case "cluster":
		return Cluster(t)
	default:
		t.Fatalf("there is no plan %q", name)
		return Plan{}
	}
}
