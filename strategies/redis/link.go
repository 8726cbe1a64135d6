package redis

import (
	"bufio"
	"crypto/tls"
	"net"
	"slices"
	"strings"
)

// link is a connection for rueidis, which begins each one with HELLO. The server answers what it
// is, and link checks the answer before rueidis sees it. So a connection to a wrong server is never
// used. If it matters whether several connections lead to the same server, link inserts INFO after
// HELLO, because HELLO does not tell.
//
// rueidis writes and reads the greeting in one goroutine. Other goroutines use the connection only
// afterwards.
type link struct {
	net.Conn

	client  *client
	address string
	number  uint64 // counts all connections that the client has dialled
	run     string // the run_id of the server, if it is known; set before adopted
	adopted bool   // guarded by failover.mu

	asked, heard bool
	first        []byte // what was written before asked
	early        []byte // what was read before heard, and is not delivered yet
	refused      error
}

// askRun is INFO server.
const askRun = "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n"

// Write implements net.Conn.
func (l *link) Write(p []byte) (int, error) {
	if l.asked {
		return l.Conn.Write(p)
	}
	l.first = append(l.first, p...) // rueidis's buffer may be smaller than HELLO with a long password
	end, err := helloEnd(l.first)
	switch {
	case err != nil:
		return 0, err
	case end == 0:
		return len(p), nil
	}
	if l.asksRun() {
		l.first = slices.Insert(l.first, end, []byte(askRun)...)
	}
	if _, err := l.Conn.Write(l.first); err != nil {
		return 0, err
	}
	l.asked, l.first = true, nil
	return len(p), nil
}

// Read implements net.Conn.
func (l *link) Read(p []byte) (int, error) {
	if l.heard && l.early == nil {
		return l.Conn.Read(p)
	}
	if !l.heard {
		if l.refused == nil {
			l.refused = l.listen()
		}
		if l.refused != nil {
			return 0, l.refused
		}
		l.heard = true
	}
	n := copy(p, l.early)
	if l.early = l.early[n:]; len(l.early) == 0 {
		l.early = nil
	}
	return n, nil
}

func (l *link) asksRun() bool { return l.client.oneMaster() && !l.isSentinel() }

// isSentinel reports whether the link leads to one of the configured sentinels.
func (l *link) isSentinel() bool { return slices.Contains(l.client.sentinels, l.address) }

// listen reads the greeting. It returns an error if the connection must not be used.
func (l *link) listen() error {
	r := greetings{Reader: bufio.NewReader(l.Conn)}
	hello, err := r.next()
	if err != nil {
		return err
	}
	l.early = r.raw
	text, no := hello.(refusal)
	if no && strings.HasPrefix(string(text), "ERR unknown command") {
		return l.client.refuse(l, &VersionError{})
	}
	var info any
	if l.asksRun() {
		// Also after a refusal: rueidis must not see a reply to what it has not asked. It panics.
		if info, err = r.next(); err != nil && !no {
			return err
		}
	}
	rest, _ := r.Peek(r.Buffered()) // already buffered
	l.early = append(l.early, rest...)
	if no {
		return nil // rueidis gives up and says why: a wrong password, for example
	}
	g := newGreeting(hello, info)
	if err := g.check(l.client.mode, l.isSentinel()); err != nil {
		return l.client.refuse(l, err)
	}
	if g.mode == Sentinel {
		return nil // it has no data
	}
	l.run = g.run
	return l.client.adopt(l)
}

// Close implements net.Conn. rueidis closes a connection as soon as it has no more use for it.
func (l *link) Close() error {
	l.client.forget(l)
	return l.Conn.Close()
}

// cut ends the connection at once. Over TLS, Close would first try to say goodbye.
func (l *link) cut() {
	conn := l.Conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close() // rueidis closes it as well
}
