package redis

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/fxcache/fxcache/cache/driver"
)

// oldest is the oldest major version of Redis that this strategy works with.
const oldest = 7

// VersionError says that the server is too old for this strategy. Init returns it if the server
// answers in time. Otherwise it is logged, and every operation fails with it.
type VersionError struct {
	// Found is the version that the server states. It is empty if the server is too old to state
	// one.
	Found string
}

// Error implements error.
func (e *VersionError) Error() string {
	found := e.Found
	if found == "" {
		found = "older than 6.0: it does not know HELLO"
	}
	return fmt.Sprintf("needs Redis %d.0 or newer, this is %s", oldest, found)
}

// ModeError says that the server runs in another mode than Options.Mode asks for. It is reported in
// the same way as VersionError.
type ModeError struct {
	// Configured is Options.Mode. Found is what the server states: standalone, sentinel or cluster.
	Configured, Found string
}

// Error implements error.
func (e *ModeError) Error() string {
	is := map[string]string{
		Standalone: "neither a node of a cluster nor a sentinel", Sentinel: "a sentinel", Cluster: "a node of a cluster",
	}[e.Found]
	if is == "" {
		is = "in mode " + e.Found
	}
	return fmt.Sprintf("mode is %s, and the server at one of the addresses is %s; look at redis.mode", e.Configured, is)
}

// ErrReplica says that a server is a replica, although a master was expected. A replica may serve
// outdated entries. So the connection is not used, and is made again after a pause.
// errors.Is(ErrReplica, driver.ErrUnavailable) is true.
var ErrReplica = fmt.Errorf("%w: the server is a replica, and its master is needed", driver.ErrUnavailable)

// isMistake reports whether err says that somebody has to change the configuration or the server.
func isMistake(err error) bool {
	var version *VersionError
	var mode *ModeError
	return errors.As(err, &version) || errors.As(err, &mode)
}

// greeting is what a server says about itself. What it does not say is empty.
type greeting struct {
	version, mode, role string // of HELLO
	run                 string // the run_id of INFO: a server has another one after each start
}

// newGreeting reads the replies to HELLO and, unless info is nil, to INFO.
func newGreeting(hello, info any) greeting {
	var g greeting
	pairs, _ := hello.([]any)
	for pair := range slices.Chunk(pairs, 2) {
		value, ok := pair[len(pair)-1].(string)
		if !ok {
			continue
		}
		switch pair[0] {
		case "version":
			g.version = value
		case "mode":
			g.mode = value
		case "role":
			g.role = value
		}
	}
	text, _ := info.(string)
	for line := range strings.Lines(text) {
		if run, ok := strings.CutPrefix(line, "run_id:"); ok {
			g.run = strings.TrimSpace(run)
		}
	}
	return g
}

// check returns why a server cannot be used in that mode. asSentinel says that it is one of the
// configured sentinels. A server that does not say what it is, which may be a proxy, gets the
// benefit of the doubt.
func (g greeting) check(mode string, asSentinel bool) error {
	expected := g.mode == mode || mode == Sentinel && g.mode == Standalone
	if asSentinel {
		expected = g.mode == Sentinel
	}
	if g.mode != "" && !expected {
		return &ModeError{Configured: mode, Found: g.mode}
	}
	if g.mode == Sentinel {
		return nil // its version does not matter, and it has no role
	}
	major, _, _ := strings.Cut(g.version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < oldest {
		return &VersionError{Found: g.version}
	}
	// A replica in a Cluster redirects all commands by itself.
	if mode != Cluster && (g.role == "replica" || g.role == "slave") {
		return ErrReplica
	}
	return nil
}

// maxGreeting is longer than any greeting.
const maxGreeting = 1 << 18

var errNoGreeting = errors.New("what the server answers to HELLO is not RESP")

// refusal is an error that the server answered.
type refusal string

// greetings reads RESP values, and keeps the bytes of the last one.
type greetings struct {
	*bufio.Reader

	raw []byte
}

// next returns a string, a refusal, nil, or a []any of these. A map comes as a flat list.
func (r *greetings) next() (any, error) {
	r.raw = nil
	return r.value()
}

func (r *greetings) value() (any, error) {
	line, err := r.ReadSlice('\n')
	r.raw = append(r.raw, line...)
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || len(r.raw) > maxGreeting {
		return nil, errNoGreeting
	}
	kind, text := line[0], string(bytes.TrimRight(line[1:], "\r\n"))
	switch kind {
	case '+', ':', ',', '#', '(':
		return text, nil
	case '_':
		return nil, nil
	case '-':
		return refusal(text), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > maxGreeting {
		return nil, errNoGreeting
	}
	switch kind {
	case '$', '=', '!':
		return r.text(kind, n)
	case '%':
		return r.values(2 * n)
	case '*', '~':
		return r.values(n)
	}
	return nil, errNoGreeting
}

func (r *greetings) text(kind byte, n int) (any, error) {
	if n < 0 {
		return nil, nil
	}
	body := make([]byte, n+len("\r\n"))
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	r.raw = append(r.raw, body...)
	if kind == '!' {
		return refusal(body[:n]), nil
	}
	return string(body[:n]), nil
}

func (r *greetings) values(n int) (any, error) {
	var values []any
	for range n {
		value, err := r.value()
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// helloEnd returns where the first command in sent ends, or 0 if a part of it is missing, and the
// user and the password in it. The command must be HELLO.
func helloEnd(sent []byte) (end int, login []string, err error) {
	r := greetings{Reader: bufio.NewReader(bytes.NewReader(sent))}
	command, err := r.next()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, nil, nil
	}
	words, _ := command.([]any)
	if err != nil || len(words) == 0 || words[0] != "HELLO" {
		return 0, nil, errors.New("the client does not begin with HELLO")
	}
	if auth := slices.Index(words, any("AUTH")); auth > 0 && auth+2 < len(words) {
		login = []string{fmt.Sprint(words[auth+1]), fmt.Sprint(words[auth+2])}
	}
	return len(r.raw), login, nil
}
