package redistest

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy is a TCP proxy in front of one server at a time. It reads RESP, so it can pick out single
// requests and replies. TLS passes through unread, so methods that name a command never match
// there.
//
// Replies are matched to requests by their order. After SUBSCRIBE, MONITOR or CLIENT REPLY there is
// no such order, and HoldReply, CutReplyAfter and Held.Answered no longer work on that connection.
// A client of a cluster or of sentinels learns the servers' own addresses. It bypasses the proxy
// unless its dialer maps them back.
type Proxy struct {
	t    testing.TB
	addr string

	ctx  context.Context //nolint:containedctx // ends with the proxy, which has no method to pass one through
	end  context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	target   string
	accepted int
	listener net.Listener // nil while refusing
	links    map[*link]struct{}
	delay    time.Duration
	slice    int
	deaf     bool // drops pushes
	requests []*Held
	replies  []*Held
	cuts     []cut

	up, down bandwidth
}

type cut struct {
	matches func(args []string) bool
	after   int
}

// NewProxy starts a proxy in front of target (host:port), which need not be running. The proxy ends
// with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	port, reservation, err := reservePort(t.Context())
	if err != nil {
		t.Fatalf("redistest: no free port: %v", err)
	}
	p := &Proxy{t: t, target: target, addr: localAddr(port), links: map[*link]struct{}{}}
	p.ctx, p.end = context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() {
		p.end()
		p.Refuse()
		p.work.Wait()
		_ = reservation.Close() // nothing was ever sent
	})
	p.Accept()
	return p
}

// Addr returns the proxy's own host:port. It never changes.
func (p *Proxy) Addr() string { return p.addr }

// Move routes new connections to another server. Existing ones stay where they are, as with a load
// balancer.
func (p *Proxy) Move(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Accepted returns the number of connections that clients have made so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Delay delays each further request by d, pipelined ones too. 0 ends the delay.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Slice delivers further replies in pieces of n bytes. 0 ends it. There is a pause of a tenth of a
// millisecond between pieces. Without it the client would mostly receive them as one.
func (p *Proxy) Slice(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slice = n
}

// DropPushes keeps further pushes of RESP3 from the clients, as a proxy that does not know them. It
// also keeps what a client hears of SUBSCRIBE.
func (p *Proxy) DropPushes(drop bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = drop
}

// Cut closes all connections to clients. As in a real network, requests that have already arrived
// still reach the server. Held requests do so when they are released.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		_ = l.client.Close() // the client may have been faster
	}
}

// CutOne closes one connection to a client as Cut does, if there is one.
func (p *Proxy) CutOne() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		_ = l.client.Close() // the client may have been faster
		return
	}
}

// Refuse closes the proxy's port and all connections to clients. New connections are refused.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	listener := p.listener
	p.listener = nil
	p.mu.Unlock()
	if listener != nil {
		_ = listener.Close() // it was never closed before
	}
	p.Cut()
}

// Accept opens the port again after Refuse.
func (p *Proxy) Accept() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return
	}
	listener, err := new(net.ListenConfig).Listen(p.ctx, "tcp", p.addr)
	if err != nil {
		p.t.Fatalf("redistest: proxy: %v", err)
	}
	p.listener = listener
	p.work.Go(func() { p.serve(listener) })
}

func (p *Proxy) serve(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed
		}
		p.work.Go(func() { p.connect(listener, client) })
	}
}

// connect makes a link of a client that listener accepted.
func (p *Proxy) connect(listener net.Listener, client net.Conn) {
	p.mu.Lock()
	p.accepted++
	target := p.target
	p.mu.Unlock()
	server, err := new(net.Dialer).DialContext(p.ctx, "tcp", target)
	if err != nil {
		_ = client.Close() // nothing was said
		return
	}
	l := newLink(p, client, server)
	p.mu.Lock()
	accepted := p.listener == listener
	if accepted {
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()
	if !accepted { // Refuse came in between
		_ = errors.Join(client.Close(), server.Close())
		return
	}
	l.run()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// CutReplyAfter lets the first n bytes of the next reply to command through and then closes the
// client's connection. For command see Hold.
func (p *Proxy) CutReplyAfter(command string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts = append(p.cuts, cut{matches: named(command), after: n})
}

// takeCut returns after how many bytes the reply to a request is to be cut.
func (p *Proxy) takeCut(args []string) (after int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range p.cuts {
		if c.matches(args) {
			p.cuts = append(p.cuts[:i:i], p.cuts[i+1:]...)
			return c.after, true
		}
	}
	return 0, false
}

// named matches requests that begin with the words of command, in any case.
func named(command string) func(args []string) bool {
	words := strings.Fields(command)
	return func(args []string) bool {
		return len(args) >= len(words) && strings.EqualFold(strings.Join(args[:len(words)], " "), strings.Join(words, " "))
	}
}
