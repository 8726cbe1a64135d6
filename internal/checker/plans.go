package checker

import (
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/noop"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Clients is how many work at the same time.
const Clients = 8

// Short enough that faults last longer.
const (
	staleAfter = 5 * time.Second
	leaseTTL   = 600 * time.Millisecond
)

// planned is what all plans have in common.
func planned(strategy string, nodes []Spec) Plan {
	return Plan{Strategy: strategy, Nodes: nodes, Window: time.Second, Quota: 2000}
}

// Embedded is the plan for a strategy that lives in the process: there is one process, because
// another one would not hear of revocations before stale_after (docs/guarantees.md).
func Embedded(strategy string) Plan {
	plan := planned(strategy, []Spec{{Strategy: strategy, Clients: Clients, StaleAfter: staleAfter, LeaseTTL: leaseTTL}})
	plan.Faults = nodeFaults
	return plan
}

// shared are the nodes of a shared strategy: several processes, each with a way of its own to
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

// Standalone is the plan for one Redis, which forgets everything when it dies. Each node has a link
// of its own.
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
	case "sentinel":
		return Sentinel(t)
	case "cluster":
		return Cluster(t)
	default:
		t.Fatalf("there is no plan %q", name)
		return Plan{}
	}
}
