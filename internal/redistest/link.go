package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// backlog is how many requests may wait behind a held one before the proxy stops reading.
	// Requests that were read reach the server even if the client resets the connection.
	backlog = 1 << 12
	// between is the pause between two pieces of a sliced reply.
	between = 100 * time.Microsecond
)

// link is one client's connection through a Proxy. One goroutine reads requests and another passes
// them on. So the proxy notices at once if a client disconnects while its request is held.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	queue          chan request
	lost           context.Context //nolint:containedctx // ends with the connection to the server
	lose           context.CancelFunc

	mu        sync.Mutex
	sent      []request // to the server, and not answered
	unordered bool      // replies come without order: sent is not kept
}

type request struct {
	raw  []byte
	args []string // nil if it could not be read
	due  time.Time
	held *Held // what held it, if anything
}

func newLink(p *Proxy, client, server net.Conn) *link {
	l := &link{proxy: p, client: client, server: server, queue: make(chan request, backlog)}
	l.lost, l.lose = context.WithCancel(p.ctx)
	return l
}

// run returns when both connections are closed.
func (l *link) run() {
	defer context.AfterFunc(l.lost, func() {
		_ = errors.Join(l.client.Close(), l.server.Close()) // whoever was faster, both are closed
	})()
	var group sync.WaitGroup
	group.Go(l.readRequests)
	group.Go(l.passRequests)
	l.passReplies()
	l.lose()
	group.Wait()
}

// readRequests returns when the client has disconnected.
func (l *link) readRequests() {
	defer close(l.queue)
	reader := frameReader{Reader: bufio.NewReader(l.client)}
	for {
		value, raw, err := reader.frame()
		if err != nil {
			return
		}
		r := request{raw: raw}
		words, _ := value.([]any)
		for _, word := range words {
			r.args = append(r.args, fmt.Sprint(word))
		}
		l.proxy.mu.Lock()
		r.due = time.Now().Add(l.proxy.delay)
		l.proxy.mu.Unlock()
		select {
		case l.queue <- r:
		case <-l.lost.Done():
			return
		}
	}
}

// passRequests returns when the client has disconnected and all its requests have reached the
// server.
func (l *link) passRequests() {
	for r := range l.queue {
		if pause(l.lost, time.Until(r.due)) != nil {
			return
		}
		if r.args != nil {
			r.held = l.proxy.take(&l.proxy.requests, r.args)
		}
		if r.held != nil && r.held.wait(l.lost) != nil {
			return
		}
		l.expect(r)
		if err := l.proxy.up.send(l.lost, r.raw, l.server.Write); err != nil {
			l.lose()
			return
		}
	}
	// The server reads to the end, replies, and closes its side. So nothing gets lost.
	if half, ok := l.server.(*net.TCPConn); !ok || half.CloseWrite() != nil {
		l.lose()
	}
}

// expect records that the reply to r follows the outstanding ones.
func (l *link) expect(r request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	free := []string{"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR", "CLIENT REPLY"}
	if r.args == nil || slices.ContainsFunc(free, func(command string) bool { return named(command)(r.args) }) {
		l.unordered, l.sent = true, nil
	}
	if !l.unordered {
		l.sent = append(l.sent, r)
	}
}

// replied returns the request to which a reply belongs, if that is known.
func (l *link) replied(raw []byte) (r request, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if raw[0] == '>' || len(l.sent) == 0 { // a push belongs to no request
		return request{}, false
	}
	r, l.sent = l.sent[0], l.sent[1:]
	return r, true
}

// passReplies returns when the server closes the connection. It continues after the client has
// disconnected, because Answered depends on the replies.
func (l *link) passReplies() {
	reader := frameReader{Reader: bufio.NewReader(l.server)}
	for {
		_, raw, err := reader.frame()
		if err != nil {
			_ = l.deliver(raw) // the connection is closed in any case
			return
		}
		r, known := l.replied(raw)
		if known {
			raw = l.meddle(r, raw)
		}
		if l.deliver(raw) != nil || known && raw == nil {
			_ = l.client.Close() // it may be closed already
		}
	}
}

// meddle applies the requested faults to the reply to r. It returns what is left to deliver, or nil
// after a cut.
func (l *link) meddle(r request, raw []byte) []byte {
	if r.held != nil {
		r.held.answer(raw)
	}
	if h := l.proxy.take(&l.proxy.replies, r.args); h != nil {
		h.answer(raw)
		if h.wait(l.lost) != nil {
			return nil
		}
	}
	if after, ok := l.proxy.takeCut(r.args); ok {
		_ = l.deliver(raw[:min(after, len(raw))]) // the connection is closed in any case
		if half, ok := l.client.(interface{ CloseWrite() error }); ok {
			// The end in order. Were the connection closed while requests are unread, the reset
			// could overtake what was delivered.
			_ = half.CloseWrite()
			_ = l.client.SetReadDeadline(time.Now().Add(time.Second))
			_, _ = io.Copy(io.Discard, l.client)
		}
		return nil
	}
	return raw
}

// deliver writes a reply to the client.
func (l *link) deliver(raw []byte) error {
	l.proxy.mu.Lock()
	size, deaf := l.proxy.slice, l.proxy.deaf
	l.proxy.mu.Unlock()
	if deaf && len(raw) > 0 && raw[0] == '>' {
		return nil
	}
	if size <= 0 || len(raw) == 0 {
		return l.proxy.down.send(l.lost, raw, l.client.Write)
	}
	for piece := range slices.Chunk(raw, size) {
		if _, err := l.client.Write(piece); err != nil {
			return err
		}
		if err := pause(l.lost, between); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d; it returns early with an error when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
