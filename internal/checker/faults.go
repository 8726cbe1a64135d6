package checker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
)

// The errors of clocks: some shorter than the life of a session, some longer.
var steps = []time.Duration{5 * time.Second, -5 * time.Second, time.Hour, -time.Hour}

// nodeFaults break the processes that use the cache. They work with every strategy.
func nodeFaults(r *Run) []Fault {
	faults := []Fault{
		{Kind: "node stopped", Beside: true, Lasts: time.Second, Do: func(hold func()) {
			place := r.anyNode()
			r.Fleet.Pause(place)
			defer r.Fleet.Resume(place)
			hold()
		}},
		{Kind: "node killed", Beside: true, Lasts: 300 * time.Millisecond, Do: func(hold func()) {
			place := r.anyNode()
			r.Fleet.Kill(place)
			defer r.Fleet.Start(place)
			hold()
		}},
	}
	for _, offset := range steps {
		faults = append(faults, Fault{Kind: fmt.Sprintf("clock %v", offset), Beside: true, Lasts: 2 * time.Second, Do: func(hold func()) {
			place := r.anyNode()
			r.Log.skewed(offset)
			r.Fleet.Step(place, offset)
			hold()
			r.Fleet.Step(place, 0)
			r.Log.unskewed()
		}})
	}
	return faults
}

func (r *Run) anyNode() int { return rand.N(r.Fleet.Size()) } //nolint:gosec // not a secret

// serverFaults break a server that has no replica.
func serverFaults(r *Run, s *redistest.Server, proxies []*redistest.Proxy) []Fault {
	some := func() []*redistest.Proxy { // one node's link, or all
		if rand.N(2) == 0 { //nolint:gosec // not a secret
			return proxies
		}
		return proxies[rand.N(len(proxies)):][:1] //nolint:gosec // not a secret
	}
	each := func(links []*redistest.Proxy, do func(*redistest.Proxy)) {
		for _, link := range links {
			do(link)
		}
	}
	return append(commandFaults(r, func() []*redistest.Server { return []*redistest.Server{s} }), []Fault{
		{Kind: "kill -9", Lasts: time.Second, Do: func(hold func()) {
			s.Kill()
			hold()
			s.Restart()
		}},
		{Kind: "SIGSTOP", Lasts: time.Second, Do: func(hold func()) {
			s.Pause()
			defer s.Resume()
			hold()
		}},
		{Kind: "network cut", Lasts: time.Second, Do: func(hold func()) {
			links := some()
			each(links, (*redistest.Proxy).Refuse)
			defer each(links, (*redistest.Proxy).Accept)
			hold()
		}},
		{Kind: "node cut off, then killed", Lasts: time.Second, Do: func(hold func()) {
			// The revocations that the node could not apply are lost. Other nodes may serve what
			// they concern until stale_after.
			place := r.anyNode()
			proxies[place].Refuse()
			hold()
			r.Fleet.Kill(place)
			proxies[place].Accept()
			r.Fleet.Start(place)
		}},
		{Kind: "connections lost", Lasts: 200 * time.Millisecond, Do: func(hold func()) {
			each(some(), (*redistest.Proxy).Cut)
			hold()
		}},
		{Kind: "slow link", Lasts: time.Second, Do: func(hold func()) {
			links := some()
			each(links, func(p *redistest.Proxy) { p.Delay(rand.N(80 * time.Millisecond)) }) //nolint:gosec // not a secret
			defer each(links, func(p *redistest.Proxy) { p.Delay(0) })
			hold()
		}},
		{Kind: "sliced replies", Lasts: time.Second, Do: func(hold func()) {
			links := some()
			each(links, func(p *redistest.Proxy) { p.Slice(7) })
			defer each(links, func(p *redistest.Proxy) { p.Slice(0) })
			hold()
		}},
		{Kind: "held frame", Lasts: 500 * time.Millisecond, Do: func(hold func()) {
			held := heldWrites(proxies)
			defer func() {
				for _, h := range held {
					h.Release()
				}
			}()
			hold()
		}},
		{Kind: "held reply", Lasts: 500 * time.Millisecond, Do: func(hold func()) {
			var held []*redistest.Held
			for _, p := range proxies {
				held = append(held, p.HoldReplyFunc(changes))
			}
			defer func() {
				for _, h := range held {
					h.Release()
				}
			}()
			hold()
		}},
	}...)
}

// commandFaults are what commands to servers, which must be running, can do.
func commandFaults(r *Run, servers func() []*redistest.Server) []Fault {
	return []Fault{
		r.command("CLIENT KILL", 200*time.Millisecond, servers, "CLIENT", "KILL", "TYPE", "normal"),
		r.command("SCRIPT FLUSH", 200*time.Millisecond, servers, "SCRIPT", "FLUSH"),
		r.command("FLUSHALL", 200*time.Millisecond, servers, "FLUSHALL"),
		r.eviction("allkeys-random", servers),
		r.eviction("noeviction", servers),
		r.loss(servers),
	}
}

// changes reports whether a request changes data.
func changes(args []string) bool {
	switch strings.ToUpper(args[0]) {
	case "EVALSHA", "EVAL", "UNLINK", "SET", "DEL":
		return true
	default:
		return false
	}
}

// heldWrites holds some of the next writes on every link.
func heldWrites(proxies []*redistest.Proxy) (held []*redistest.Held) {
	for _, p := range proxies {
		held = append(held, p.HoldFunc(changes))
		held = append(held, p.Hold("UNLINK"))
	}
	return held
}

// command sends a command to servers.
func (r *Run) command(kind string, lasts time.Duration, to func() []*redistest.Server, args ...any) Fault {
	return Fault{Kind: kind, Lasts: lasts, Do: func(hold func()) {
		r.tell(to(), args...)
		hold()
	}}
}

func (r *Run) tell(to []*redistest.Server, args ...any) {
	for _, s := range to {
		if _, err := s.Do(context.WithoutCancel(r.t.Context()), args...); err != nil {
			r.t.Errorf("%v: %v", args, err)
		}
	}
}

// eviction leaves servers without memory for a while. Depending on the policy, they evict keys or
// refuse to store any.
func (r *Run) eviction(policy string, of func() []*redistest.Server) Fault {
	return Fault{Kind: "eviction, " + policy, Lasts: time.Second, Do: func(hold func()) {
		full := of()
		r.tell(full, "CONFIG", "SET", "maxmemory-policy", policy)
		r.tell(full, "CONFIG", "SET", "maxmemory", "1mb") // less than an empty server takes
		defer r.tell(full, "CONFIG", "SET", "maxmemory", "0")
		hold()
	}}
}

// lossPause is the time between two losses. It is short enough that some losses hit the moment of a
// race.
const lossPause = 2 * time.Millisecond

// loss removes single keys, as eviction may, but often enough to hit the moments that matter.
// Ledger pages, leases, tag nonces and values are removed equally often, however many there are of
// each.
func (r *Run) loss(of func() []*redistest.Server) Fault {
	return Fault{Kind: "keys lost", Lasts: 2 * time.Second, Do: func(hold func()) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
		var losing sync.WaitGroup
		for _, s := range of() {
			losing.Go(func() { r.lose(ctx, s) })
		}
		defer losing.Wait()
		defer cancel()
		hold()
	}}
}

// lose removes keys until ctx ends.
func (r *Run) lose(ctx context.Context, s *redistest.Server) {
	conn, err := s.Dial(ctx)
	if err != nil {
		r.t.Errorf("keys lost: %v", err)
		return
	}
	defer func() { _ = conn.Close() }()
	for wait(ctx, lossPause) {
		kind := []string{"g", "h", "l", "t", "v"}[rand.N(5)] //nolint:gosec // not a secret
		reply, err := conn.Do(ctx, "KEYS", "checker:"+kind+":*")
		if keys, _ := reply.([]any); err == nil && len(keys) > 0 {
			_, err = conn.Do(ctx, "UNLINK", keys[rand.N(len(keys))]) //nolint:gosec // not a secret
		}
		if err != nil && ctx.Err() == nil {
			r.t.Errorf("keys lost: %v", err)
			return
		}
	}
}
