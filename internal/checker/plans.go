package checker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/noop"
	"github.com/fxcache/fxcache/strategies/redis"
	"github.com/fxcache/fxcache/strategies/tiered"
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
	plan.home = s
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
	case "tiered":
		return withCopies(t, Standalone(t))
	case "tiered sentinel":
		return withCopies(t, Sentinel(t))
	case "tiered cluster":
		return withCopies(t, Cluster(t))
	default:
		t.Fatalf("there is no plan %q", name)
		return Plan{}
	}
}

// lag is the default of the strategy tiered. It is short, so that links are slower at times.
const lag = 25 * time.Millisecond

// withCopies has the nodes of a plan for Redis keep copies in the process. From the start the
// fingerprint says that all nodes know the lag. After Redis has lost it, there are no copies for
// 20 s. Therefore faults that lose it are rare.
func withCopies(t testing.TB, plan Plan) Plan {
	ms := lag.Milliseconds()
	known := fmt.Sprintf(`{"format":3,"lanes":%d,"id":"636865636b6572","settled":true,"lag_ms":%d,"usable_ms":%d}`, max(1, plan.Nodes[0].Lanes), ms, ms)
	if _, err := plan.home.Do(t.Context(), "SET", "checker:f:{0}:", known); err != nil {
		t.Fatal(err)
	}
	plan.Strategy = "tiered" + strings.TrimPrefix(plan.Strategy, redis.Name)
	for i := range plan.Nodes {
		plan.Nodes[i].Strategy, plan.Nodes[i].Lag = tiered.Name, lag
	}
	faults := plan.Faults
	plan.Faults = func(r *Run) (all []Fault) {
		for _, f := range faults(r) {
			often := 8
			if f.Kind == "FLUSHALL" || f.Kind == "kill -9" || f.Kind == "keys lost" || strings.HasPrefix(f.Kind, "eviction") {
				often = 1
			}
			all = append(all, slices.Repeat([]Fault{f}, often)...)
		}
		return all
	}
	return plan
}
