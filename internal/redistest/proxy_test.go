package redistest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
)

// through starts a server behind a proxy, and connects through it.
func through(t *testing.T) (*redistest.Server, *redistest.Proxy, *redistest.Conn) {
	t.Helper()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	return s, p, connect(t, p)
}

func connect(t *testing.T, p *redistest.Proxy) *redistest.Conn {
	t.Helper()
	conn, err := redistest.Dial(t.Context(), p.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // some tests have closed it before
	return conn
}

// giveUp runs a command that must not be answered in time.
func giveUp(t *testing.T, conn *redistest.Conn, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := conn.Do(ctx, args...); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%v: got %v, %v, want a timeout", args, got, err)
	}
}

func TestProxyPasses(t *testing.T) {
	t.Parallel()
	_, _, conn := through(t)
	value := strings.Repeat("0123456789abcdef", 1<<16)
	wantReply(t, conn, "OK", "SET", "key", value)
	wantReply(t, conn, value, "GET", "key")
	if got, err := conn.Do(t.Context(), "HELLO", 3); err != nil || len(got.([]any)) != 14 {
		t.Errorf("HELLO 3: %v, %v", got, err)
	}
	wantReply(t, conn, nil, "GET", "missing")
}

func TestProxyPassesTLS(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.TLS())
	p := redistest.NewProxy(t, s.Addr())
	held := p.Hold("PING") // cannot match
	p.Slice(7)
	conn, err := redistest.Dial(t.Context(), p.Addr(), s.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	wantReply(t, conn, "PONG", "PING")
	value := strings.Repeat("x", 5_000)
	wantReply(t, conn, "OK", "SET", "key", value)
	wantReply(t, conn, value, "GET", "key")
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-held.Arrived():
		t.Error("a request in TLS was read")
	default:
	}
}

func TestProxyPassesInline(t *testing.T) {
	t.Parallel()
	_, p, _ := through(t)
	held := p.Hold("set")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "SET key  value\r\nGET key\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	within(t, "the inline command arrives", held.Arrived())
	held.Release()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "+OK\r\n$5\r\nvalue\r\n+OK\r\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestProxyHoldsRequest(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*redistest.Proxy, *redistest.Conn) error{
		"the client goes":  func(_ *redistest.Proxy, conn *redistest.Conn) error { return conn.Close() },
		"the proxy cuts":   func(p *redistest.Proxy, _ *redistest.Conn) error { p.Cut(); return nil },
		"the client waits": func(*redistest.Proxy, *redistest.Conn) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p, conn := through(t)
			wantReply(t, s, "OK", "SET", "key", "before")
			held := p.Hold("set")
			giveUp(t, conn, "SET", "key", "late")
			within(t, "the request arrives", held.Arrived())
			if got := held.Args(); len(got) != 3 || got[2] != "late" {
				t.Errorf("holds %q", got)
			}
			if err := leave(p, conn); err != nil {
				t.Fatal(err)
			}
			// Others go on, the same command too, and the server has not seen it.
			other := connect(t, p)
			wantReply(t, other, "OK", "SET", "other", 1)
			wantReply(t, other, "before", "GET", "key")
			wantReply(t, other, int64(1), "DEL", "key")
			held.Release()
			held.Release()
			within(t, "the server answers", held.Answered())
			if got := string(held.Reply()); got != "+OK\r\n" {
				t.Errorf("the reply was %q", got)
			}
			wantReply(t, s, "late", "GET", "key")
		})
	}
}

func TestProxyHoldsInOrder(t *testing.T) {
	t.Parallel()
	s, p, conn := through(t)
	first := p.HoldFunc(func(args []string) bool { return args[0] == "SET" && args[1] == "b" })
	released := p.Hold("CLIENT SETNAME")
	released.Release()
	wantReply(t, conn, "OK", "CLIENT", "SETNAME", "passes")
	wantReply(t, conn, "OK", "SET", "a", 1)
	giveUp(t, conn, "SET", "b", 1)
	giveUp(t, conn, "SET", "b", 2) // behind it, on the same connection
	within(t, "the first request arrives", first.Arrived())
	wantReply(t, s, nil, "GET", "b")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	first.Release()
	eventually(t, "both have come, in order", func() bool {
		got, err := s.Do(t.Context(), "GET", "b")
		return err == nil && got == "2"
	})
}

func TestProxyHoldsReply(t *testing.T) {
	t.Parallel()
	s, p, conn := through(t)
	held := p.HoldReply("incr")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if got, err := conn.Do(t.Context(), "INCR", "n"); err != nil || got != int64(1) {
			t.Errorf("INCR: %v, %v", got, err)
		}
	}()
	within(t, "the reply arrives", held.Arrived())
	within(t, "the server has answered", held.Answered())
	if got := string(held.Reply()); got != ":1\r\n" {
		t.Errorf("the reply was %q", got)
	}
	wantReply(t, s, "1", "GET", "n")
	select {
	case <-done:
		t.Error("the client has the reply already")
	default:
	}
	held.Release()
	within(t, "the client gets the reply", done)
	wantReply(t, conn, int64(2), "INCR", "n")
}

func TestProxyCuts(t *testing.T) {
	t.Parallel()
	_, p, conn := through(t)
	wantReply(t, conn, "PONG", "PING")
	p.Cut()
	if got, err := conn.Do(t.Context(), "PING"); err == nil {
		t.Errorf("PING after the cut: %v", got)
	}
	wantReply(t, connect(t, p), "PONG", "PING")
}

func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	_, p, conn := through(t)
	wantReply(t, conn, "PONG", "PING")
	p.Refuse()
	p.Refuse()
	if got, err := conn.Do(t.Context(), "PING"); err == nil {
		t.Errorf("PING on an old connection: %v", got)
	}
	if _, err := redistest.Dial(t.Context(), p.Addr(), nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, want connection refused", err)
	}
	p.Accept()
	p.Accept()
	wantReply(t, connect(t, p), "PONG", "PING")
}

func TestProxyCutsReplies(t *testing.T) {
	t.Parallel()
	s, p, _ := through(t)
	wantReply(t, s, "OK", "SET", "key", "value")
	const reply = "$5\r\nvalue\r\n"
	for n := range len(reply) + 2 {
		p.CutReplyAfter("get", n)
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "PING\r\nGET key\r\n"); err != nil {
			t.Fatal(err)
		}
		want := "+PONG\r\n" + reply[:min(n, len(reply))]
		if got, err := io.ReadAll(conn); err != nil || string(got) != want {
			t.Errorf("after %d bytes: %q, %v, want %q", n, got, err, want)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	wantReply(t, connect(t, p), "value", "GET", "key") // each cut was for one reply
}

func TestProxySlices(t *testing.T) {
	t.Parallel()
	s, p, _ := through(t)
	wantReply(t, s, "OK", "SET", "key", strings.Repeat("v", 300))
	p.Slice(1)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET key\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	reads, total, buffer := 0, 0, make([]byte, 1024)
	for err == nil {
		var n int
		n, err = conn.Read(buffer)
		reads, total = reads+1, total+n
	}
	if want := len("$300\r\n\r\n+OK\r\n") + 300; !errors.Is(err, io.EOF) || total != want || reads < 100 {
		t.Errorf("%d bytes in %d reads, %v; want %d bytes in (nearly) as many", total, reads, err, want)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	p.Slice(0)
	wantReply(t, connect(t, p), strings.Repeat("v", 300), "GET", "key")
}

func TestProxyDelays(t *testing.T) {
	t.Parallel()
	_, p, conn := through(t)
	const delay = 300 * time.Millisecond
	p.Delay(delay)
	start := time.Now()
	wantReply(t, conn, "PONG", "PING")
	if took := time.Since(start); took < delay {
		t.Errorf("the reply took %v, want at least %v", took, delay)
	}
	p.Delay(0)
	start = time.Now()
	wantReply(t, conn, "PONG", "PING")
	if took := time.Since(start); took >= delay {
		t.Errorf("without delay the reply took %v", took)
	}
}

func TestProxyUnordered(t *testing.T) {
	t.Parallel()
	s, p, conn := through(t)
	held := p.HoldReply("PING")
	if got, err := conn.Do(t.Context(), "SUBSCRIBE", "channel"); err != nil {
		t.Fatalf("SUBSCRIBE: %v, %v", got, err)
	}
	wantReply(t, s, int64(1), "PUBLISH", "channel", "message")
	if got, err := conn.Receive(t.Context()); err != nil || got.([]any)[2] != "message" {
		t.Errorf("received %v, %v", got, err)
	}
	if got, err := conn.Do(t.Context(), "PING"); err != nil {
		t.Errorf("PING: %v, %v", got, err)
	}
	held.Release()
}

// After Move new connections lead to another server, and the others stay; CutOne ends one of them.
func TestMove(t *testing.T) {
	t.Parallel()
	name := func(name string) string {
		return redistest.Fake(t, func(args []string) string { return fmt.Sprintf("+%s %s\r\n", name, args[0]) })
	}
	proxy := redistest.NewProxy(t, name("old"))
	var conns []*redistest.Conn
	ask := func(i int) (any, error) { return conns[i].Do(t.Context(), "PING") }
	dial := func(want string) {
		t.Helper()
		conn, err := redistest.Dial(t.Context(), proxy.Addr(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // the proxy may have been faster
		conns = append(conns, conn)
		if reply, err := ask(len(conns) - 1); reply != want+" PING" || err != nil {
			t.Errorf("%v, %v, want the %s server", reply, err, want)
		}
	}
	dial("old")
	dial("old")
	proxy.Move(name("new"))
	for i := range conns {
		if reply, err := ask(i); reply != "old PING" || err != nil {
			t.Errorf("a connection from before: %v, %v", reply, err)
		}
	}
	dial("new")
	proxy.CutOne()
	ended := 0
	for i := range conns {
		if _, err := ask(i); err != nil {
			ended++
		}
	}
	if ended != 1 || proxy.Accepted() != 3 {
		t.Errorf("%d connections ended, %d were accepted; want 1 of 3", ended, proxy.Accepted())
	}
}

// However many connections there are, they carry no more than the limit together, and each gets its
// turns.
func TestProxyLimits(t *testing.T) {
	t.Parallel()
	_, p, conn := through(t)
	const size, second = 256 << 10, 1 << 20
	value := strings.Repeat("v", size)
	wantReply(t, conn, "OK", "SET", "large", value)
	wantReply(t, conn, "OK", "SET", "small", "v")
	other := connect(t, p)
	wantReply(t, other, "v", "GET", "small")
	p.Limit(second)
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		wantReply(t, conn, value, "GET", "large")
	}()
	turns := 0
	for waiting := true; waiting; turns++ {
		wantReply(t, other, "v", "GET", "small")
		select {
		case <-done:
			waiting = false
		default:
		}
	}
	if took, least := time.Since(began), time.Second*size/second/2; took < least {
		t.Errorf("%d bytes of %d a second took %v", size, second, took)
	}
	if turns < 4 {
		t.Errorf("beside a large reply, another connection had %d turns", turns)
	}
	p.Limit(0)
	wantReply(t, conn, value, "GET", "large")
}
