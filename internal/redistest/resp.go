package redistest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// ReplyError is an error that the server replied with, e.g. "NOAUTH Authentication required.".
type ReplyError string

// Error returns the server's text, which begins with a code in capitals.
func (e ReplyError) Error() string { return string(e) }

// Conn is one connection that speaks RESP2. Only one goroutine at a time may use it. After an error
// that is not a ReplyError it must not be used any more.
type Conn struct {
	conn   net.Conn
	reader frameReader
}

// Dial connects to addr, with TLS if config is not nil. It does not authenticate.
func Dial(ctx context.Context, addr string, config *tls.Config) (*Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if config != nil {
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		conn = secure
	}
	return &Conn{conn: conn, reader: frameReader{Reader: bufio.NewReader(conn)}}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Do sends a command and returns the reply: nil, string, int64 or []any of these and of
// ReplyErrors. A []byte argument is sent as it is, any other one as fmt.Sprint shows it. An error
// reply is returned as error, a ReplyError.
func (c *Conn) Do(ctx context.Context, args ...any) (any, error) {
	request := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, arg := range args {
		text, ok := arg.([]byte)
		if !ok {
			text = fmt.Append(nil, arg)
		}
		request = fmt.Appendf(request, "$%d\r\n%s\r\n", len(text), text)
	}
	defer c.bound(ctx)()
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	return c.receive()
}

// Receive waits for one more reply, as they come after MONITOR or SUBSCRIBE.
func (c *Conn) Receive(ctx context.Context) (any, error) {
	defer c.bound(ctx)()
	return c.receive()
}

func (c *Conn) receive() (any, error) {
	value, err := c.reader.value()
	if refused, ok := value.(ReplyError); ok && err == nil {
		return nil, refused
	}
	return value, err
}

// bound ends reads and writes when ctx ends, until the returned function is called.
func (c *Conn) bound(ctx context.Context) (unbound func()) {
	_ = c.conn.SetDeadline(time.Time{}) // if it fails, so does what comes next
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

// maxBulk is the length of the longest string that Redis accepts by default.
const maxBulk = 512 << 20

var errNotRESP = errors.New("not RESP")

// frameReader decodes RESP2 and RESP3 values, and keeps the bytes that they were made of.
type frameReader struct {
	*bufio.Reader

	raw    []byte // of the latest value, as far as it was read
	opaque bool   // what is read is not RESP, see frame
}

// value reads one value. The strings of maps come flat, as in RESP2; an attribute is dropped.
func (r *frameReader) value() (any, error) {
	r.raw = nil
	return r.nested()
}

func (r *frameReader) nested() (any, error) {
	// A stream in another language may have no line end for long: look at the type first.
	first, err := r.Peek(1)
	if err != nil {
		return nil, err
	}
	if strings.IndexByte("+-:$*_#,(!=%~>|", first[0]) < 0 {
		return nil, fmt.Errorf("%w: starts with %q", errNotRESP, first)
	}
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	switch kind, text := line[0], line[1:]; kind {
	case '-':
		return ReplyError(text), nil
	case ':':
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: integer %q", errNotRESP, text)
		}
		return n, nil
	case '_':
		return nil, nil
	case '$', '!', '=', '*', '~', '>', '%', '|':
		n, err := strconv.Atoi(text)
		if err != nil || n < -1 || n > maxBulk {
			return nil, fmt.Errorf("%w: length %q", errNotRESP, text)
		}
		if n == -1 {
			return nil, nil
		}
		return r.sized(kind, n)
	default: // simple strings, booleans, doubles, big numbers
		return text, nil
	}
}

// sized reads what follows the length n of a value.
func (r *frameReader) sized(kind byte, n int) (any, error) {
	switch kind {
	case '$', '!', '=':
		var body bytes.Buffer // grows with what comes, not with what is announced
		_, err := io.CopyN(&body, r, int64(n)+2)
		r.raw = append(r.raw, body.Bytes()...)
		if err != nil {
			return nil, err
		}
		text, ok := strings.CutSuffix(body.String(), "\r\n")
		if !ok {
			return nil, fmt.Errorf("%w: a string does not end where it was said to", errNotRESP)
		}
		if kind == '!' {
			return ReplyError(text), nil
		}
		return text, nil
	case '%', '|':
		n *= 2
	}
	var values []any
	for range n {
		value, err := r.nested()
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	if kind == '|' { // something about the value that comes now
		return r.nested()
	}
	return values, nil
}

// line reads up to the next line end, which it cuts off.
func (r *frameReader) line() (string, error) {
	line, err := r.ReadBytes('\n')
	r.raw = append(r.raw, line...)
	return string(bytes.TrimRight(line, "\r\n")), err
}
