package redistest

import (
	"context"
	"slices"
	"sync"
)

// Held is one request, or one reply, that a Proxy holds back.
type Held struct {
	matches  func(args []string) bool
	arrived  chan struct{}
	answered chan struct{}
	released chan struct{}
	release  sync.Once
	args     []string
	reply    []byte
}

func newHeld(matches func(args []string) bool) *Held {
	return &Held{
		matches: matches, arrived: make(chan struct{}), answered: make(chan struct{}), released: make(chan struct{}),
	}
}

// Hold holds back the next request whose first words are command, e.g. "SET" or "client tracking",
// until it is released. A released request reaches the server even if the client has disconnected.
// On the same connection nothing overtakes it. Other connections continue. If several Holds match,
// the oldest one that is still free takes the request.
func (p *Proxy) Hold(command string) *Held { return p.HoldFunc(named(command)) }

// HoldFunc is Hold for the next request whose arguments match. The first argument is the name of
// the command.
func (p *Proxy) HoldFunc(matches func(args []string) bool) *Held {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := newHeld(matches)
	p.requests = append(p.requests, h)
	return h
}

// HoldReply holds back the next reply to a request whose first words are command. The server has
// executed the request, and the client does not know.
func (p *Proxy) HoldReply(command string) *Held { return p.HoldReplyFunc(named(command)) }

// HoldReplyFunc is HoldReply for a request with such arguments.
func (p *Proxy) HoldReplyFunc(matches func(args []string) bool) *Held {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := newHeld(matches)
	p.replies = append(p.replies, h)
	return h
}

// Arrived is closed when the request, or the reply, has come as far as the proxy.
func (h *Held) Arrived() <-chan struct{} { return h.arrived }

// Answered is closed when the server has replied to the request, even if the client has
// disconnected. If the connection to the server is lost first, Answered stays open.
func (h *Held) Answered() <-chan struct{} { return h.answered }

// Args returns the arguments of the request, once Arrived is closed.
func (h *Held) Args() []string {
	<-h.arrived
	return slices.Clone(h.args)
}

// Reply returns the raw reply of the server, once Answered is closed.
func (h *Held) Reply() []byte {
	<-h.answered
	return slices.Clone(h.reply)
}

// Release lets the request or reply through. If it has not arrived yet, it will not be held. A
// second call does nothing.
func (h *Held) Release() { h.release.Do(func() { close(h.released) }) }

// take removes the first of list that matches, and lets it hold.
func (p *Proxy) take(list *[]*Held, args []string) *Held {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(*list, func(h *Held) bool { return h.matches(args) })
	if i < 0 {
		return nil
	}
	h := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	h.args = args
	close(h.arrived)
	return h
}

// answer records the server's reply.
func (h *Held) answer(raw []byte) {
	h.reply = raw
	close(h.answered)
}

// wait blocks until h is released or ctx ends.
func (h *Held) wait(ctx context.Context) error {
	select {
	case <-h.released:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
