package checker

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Moved is the plan for two servers behind one address, as behind a load balancer: the address
// moves from a master to its successor, and the old one lives on as a replica, with the connections
// of before. There is one process with several connections: another process may read from the old
// master until it writes (docs/guarantees.md).
func Moved(t testing.TB) Plan {
	s, other := redistest.Start(t), redistest.Start(t)
	proxy := redistest.NewProxy(t, s.Addr())
	plan := planned("redis moved", []Spec{{
		Strategy: redis.Name, Addresses: []string{proxy.Addr()}, Connections: 4, Clients: Clients, StaleAfter: staleAfter, LeaseTTL: leaseTTL,
	}})
	plan.Faults = func(r *Run) []Fault {
		m := moves{Run: r, proxy: proxy}
		m.follow(other, s)
		faults := append(nodeFaults(r), serverFaults(r, s, []*redistest.Proxy{proxy})...)
		for _, leftBehind := range []bool{false, true} {
			for _, late := range []time.Duration{0, 100 * time.Millisecond, 2 * time.Second} {
				faults = append(faults, Fault{
					Kind: fmt.Sprintf("moved %v late, left behind: %t", late, leftBehind), Lasts: time.Second,
					Do: func(hold func()) {
						m.move(s, other, leftBehind, late)
						hold()
						m.follow(s, other)
						m.move(other, s, leftBehind, late)
						m.follow(other, s)
					},
				})
			}
		}
		return faults
	}
	return plan
}

type moves struct {
	*Run
	proxy *redistest.Proxy
}

// move makes another server the master and, after a while, routes new connections to it. Nothing is
// lost, because the servers are in sync before the change. If leftBehind is set, the old master no
// longer hears of changes. One connection is cut, so that there are some from before the move and
// one from after it.
func (m moves) move(from, to *redistest.Server, leftBehind bool, late time.Duration) {
	m.t.Helper()
	m.synced(to)
	// The replica knows a moment before its master does, which refuses to fail over until then.
	m.until(from, "a master whose replica is online", func(info map[string]string) bool {
		return strings.Contains(info["slave0"], "state=online")
	})
	host, port, _ := net.SplitHostPort(to.Addr()) // it is one
	m.tell([]*redistest.Server{from}, "FAILOVER", "TO", host, port, "TIMEOUT", 10_000)
	m.synced(from)
	if leftBehind {
		m.tell([]*redistest.Server{from}, "REPLICAOF", "127.0.0.1", "1")
	}
	wait(context.Background(), late)
	m.proxy.Move(to.Addr())
	m.proxy.CutOne()
}

func (m moves) follow(replica, master *redistest.Server) {
	m.t.Helper()
	host, port, _ := net.SplitHostPort(master.Addr()) // it is one
	m.tell([]*redistest.Server{replica}, "REPLICAOF", host, port)
	m.synced(replica)
}

// synced waits until a server is a replica whose master answers.
func (m moves) synced(replica *redistest.Server) {
	m.t.Helper()
	m.until(replica, "a replica with a link", func(info map[string]string) bool {
		return info["role"] == "slave" && info["master_link_status"] == "up"
	})
}

// until waits until a server says of its replication what is wanted.
func (m moves) until(server *redistest.Server, what string, is func(info map[string]string) bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.t.Context()), 30*time.Second)
	defer cancel()
	for {
		info, err := server.Info(ctx, "replication")
		if err == nil && is(info) {
			return
		}
		if !wait(ctx, 5*time.Millisecond) {
			m.t.Fatalf("not %s: %v, %v", what, info, err)
		}
	}
}
