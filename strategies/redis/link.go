package redis

import (
	"bufio"
	"context"
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

	client            *client
	address           string
	sentinel, overTLS bool   // what it leads to, and how
	wantsCert         bool   // the server has asked for a certificate, and there is none
	number            uint64 // counts all connections that the client has dialled
	run               string // the run_id of the server, if it is known; set before adopted
	adopted           bool   // guarded by failover.mu

	asked, heard bool
	hidden       []string // the user and the password in HELLO; until heard
	first        []byte   // what was written before asked
	early        []byte   // what was read before heard, and is not delivered yet
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
	end, login, err := helloEnd(l.first)
	switch {
	case err != nil:
		return 0, err
	case end == 0:
		return len(p), nil
	}
	if l.asksRun() {
		l.first = slices.Insert(l.first, end, []byte(askRun)...)
	}
	_, err = l.Conn.Write(l.first)
	l.asked, l.first, l.hidden = true, nil, login
	if err != nil { // it may have said why it hangs up
		if l.refused = l.listen(); l.refused == nil {
			l.refused = err
		}
		return 0, l.refused
	}
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
		l.heard, l.hidden = true, nil
	}
	n := copy(p, l.early)
	if l.early = l.early[n:]; len(l.early) == 0 {
		l.early = nil
	}
	return n, nil
}

func (l *link) asksRun() bool { return l.client.oneMaster() && !l.sentinel }

// selects reports whether rueidis sends SELECT after HELLO.
func (l *link) selects() bool { return l.client.options.SelectDB != 0 && !l.sentinel }

// listen reads the greeting. It returns an error if the connection must not be used.
func (l *link) listen() error {
	r := greetings{Reader: bufio.NewReader(l.Conn)}
	hello, err := r.next()
	if err != nil {
		return l.unheard(err)
	}
	l.early = r.raw
	if text, no := hello.(refusal); no {
		if strings.HasPrefix(string(text), "ERR unknown command") {
			return l.client.refuse(l, &VersionError{})
		}
		return l.client.refuse(l, answered(l.address, string(text), l.sentinel, l.hidden...))
	}
	var info any
	if l.asksRun() { // rueidis must not see a reply to what it has not asked. It panics.
		if info, err = r.next(); err != nil {
			return err
		}
	}
	g := newGreeting(hello, info)
	if err := g.check(l.client.mode, l.sentinel); err != nil {
		return l.client.refuse(l, err)
	}
	if l.selects() {
		selected, err := r.next()
		if err != nil {
			return err
		}
		if text, no := selected.(refusal); no {
			return l.client.refuse(l, answered(l.address, string(text), l.sentinel, l.hidden...))
		}
		l.early = append(l.early, r.raw...)
	}
	rest, _ := r.Peek(r.Buffered()) // already buffered
	l.early = append(l.early, rest...)
	l.run = g.run
	return l.client.adopt(l)
}

// unheard returns why HELLO was not answered. Before there is any connection, it finds out whether
// the server expects TLS.
func (l *link) unheard(err error) error {
	if wrong := insecure(l, err, false); wrong != nil {
		return l.client.refuse(l, wrong)
	}
	expects := !l.overTLS && hungUp(err) && l.client.ready.Load() == nil && l.probe(expectsTLS)
	if err = unheard(l, err, expects); isLasting(err) {
		return l.client.refuse(l, err)
	}
	return err
}

// secure makes the connection one over TLS. Before there is any connection, it finds out whether
// the server answers without.
func (l *link) secure(ctx context.Context, config *tls.Config) error {
	config = config.Clone()
	if config.ServerName == "" {
		_, target := l.client.target(l.address)
		config.ServerName, _, _ = net.SplitHostPort(target)
	}
	if len(config.Certificates) == 0 {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			l.wantsCert = true
			return new(tls.Certificate), nil // none: it may do without
		}
	}
	plain := l.Conn
	conn := tls.Client(plain, config)
	bounded, cancel := context.WithTimeout(ctx, l.client.options.Dialer.Timeout)
	defer cancel()
	err := conn.HandshakeContext(bounded)
	if err == nil {
		l.Conn, l.overTLS = conn, true
		return nil
	}
	_ = plain.Close() // the error says why
	if wrong := insecure(l, err, false); wrong != nil {
		return wrong
	}
	if ctx.Err() == nil && l.client.ready.Load() == nil && l.probe(answersPlainly) {
		return insecure(l, err, true)
	}
	return err
}

// tlsOption is the section of the configuration that says how to use TLS.
func (l *link) tlsOption() string {
	if l.sentinel && l.client.credentials.ownSentinelTLS {
		return "sentinel_tls"
	}
	return "tls"
}

// probe asks a question over a connection of its own.
func (l *link) probe(ask func(context.Context, net.Conn) bool) bool {
	ctx, cancel := context.WithTimeout(l.client.life, l.client.options.Dialer.Timeout)
	defer cancel()
	conn, err := l.client.reach(ctx, l.address)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // nothing was asked for
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	return ask(ctx, conn)
}

// peer is the address of a server, and whether that is a sentinel.
type peer struct {
	net.Addr

	sentinel bool
}

// RemoteAddr implements net.Conn. By it, the client tells which user and password are wanted.
func (l *link) RemoteAddr() net.Addr { return peer{l.Conn.RemoteAddr(), l.sentinel} }

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
