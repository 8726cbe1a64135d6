package redistest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	doTimeout   = 10 * time.Second // of one Do
	stopTimeout = 10 * time.Second // of an orderly shutdown; Redis itself waits 1 s for replicas
	logTail     = 50               // lines shown when a test fails
)

// Server is one redis-server: alone, a node of a Cluster or Sentinel, or a sentinel.
type Server struct {
	t        testing.TB
	settings *settings
	topology []string // lines of redis.conf
	sentinel bool
	dir      string

	mu          sync.Mutex // held during verbs, so that they do not interleave
	port        int
	reservation io.Closer
	process     *process // nil before the first start
}

// Start starts one server and returns when it answers. It ends with the test.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	Require(t)
	s := newServer(t, newSettings(t, options))
	startAll(t, s)
	return s
}

// newServer prepares a data server that is not started yet.
func newServer(t testing.TB, settings *settings, topology ...string) *Server {
	t.Helper()
	// The folder comes first: cleanups run in reverse order, and the folder must be removed last.
	s := &Server{t: t, settings: settings, topology: topology, dir: t.TempDir()}
	t.Cleanup(s.cleanup)
	return s
}

// startAll starts servers side by side and returns when all answer.
func startAll(t testing.TB, servers ...*Server) {
	t.Helper()
	errs := make([]error, len(servers))
	var group sync.WaitGroup
	for i, s := range servers {
		group.Go(func() { errs[i] = s.start() })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("redistest: %v", err)
	}
}

func (s *Server) cleanup() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.kill()
		if s.t.Failed() {
			s.t.Logf("the end of the log of %s:\n%s", s.name(), s.tail())
		}
	}
	if s.reservation != nil {
		_ = s.reservation.Close() // nothing was ever sent
	}
}

// start finds a port and starts the server there. Another process may take the port just before the
// server does. That is unlikely; start then tries another port.
func (s *Server) start() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx := s.t.Context()
	for range 5 {
		if s.reservation != nil {
			_ = s.reservation.Close()
		}
		if s.port, s.reservation, err = reservePort(ctx); err != nil {
			return fmt.Errorf("no free port: %w", err)
		}
		lines := s.settings.listen(s.port, s.dir, s.sentinel)
		if s.sentinel {
			lines = append(lines, s.topology...)
		} else {
			lines = append(lines, s.settings.data(s.topology)...)
		}
		if err = os.WriteFile(s.configFile(), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			return err
		}
		if err = s.launch(ctx); err == nil || !strings.Contains(s.Log(), "Address already in use") {
			return err
		}
	}
	return err
}

// launch starts the process and waits until it answers. s.mu is held.
func (s *Server) launch(ctx context.Context) error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	argv := []string{"redis-server", s.configFile()}
	if s.sentinel {
		argv = append(argv, "--sentinel")
	}
	s.process, err = startProcess(log, argv...)
	if err = errors.Join(err, log.Close()); err != nil {
		return err
	}
	if err := await(ctx, s.answers); err != nil {
		s.process.kill()
		return fmt.Errorf("%s: %w; the end of its log:\n%s", s.name(), err, s.tail())
	}
	return nil
}

// answers reports whether the server answers commands. An answer from the port is not enough,
// because it could be another server's.
func (s *Server) answers(ctx context.Context) error {
	if s.process.ended() {
		return fmt.Errorf("%w: %w", errEnded, s.process.err)
	}
	if _, err := s.Do(ctx, "PING"); err != nil { // LOADING, for one
		return err
	}
	info, err := s.Info(ctx, "server")
	if err != nil {
		return err
	}
	if got := info["process_id"]; got != strconv.Itoa(s.process.pid()) {
		return fmt.Errorf("the port answers for process %s, this is %d", got, s.process.pid())
	}
	return nil
}

func (s *Server) name() string {
	if s.sentinel {
		return "sentinel " + s.Addr()
	}
	return "redis-server " + s.Addr()
}

func (s *Server) configFile() string { return filepath.Join(s.dir, "redis.conf") }
func (s *Server) logFile() string    { return filepath.Join(s.dir, "redis.log") }

// Addr returns host:port. It never changes.
func (s *Server) Addr() string { return localAddr(s.port) }

// Addrs is Addr alone, for clients that take a list.
func (s *Server) Addrs() []string { return []string{s.Addr()} }

// Dir is the server's working folder: redis.conf, redis.log, dump.rdb, appendonlydir.
func (s *Server) Dir() string { return s.dir }

// PID is the number of the process, or of the latest one if none is running.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.pid()
}

// Running reports whether the process exists. A paused one does.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil && !s.process.ended()
}

// Log returns everything that the server has logged, across all restarts.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) tail() string {
	lines := strings.Split(strings.TrimSpace(s.Log()), "\n")
	return strings.Join(lines[max(0, len(lines)-logTail):], "\n")
}

// TLSConfig is a client's configuration that the server accepts, a copy; nil without the option
// TLS.
func (s *Server) TLSConfig() *tls.Config {
	if s.settings.plain(s.sentinel) {
		return nil
	}
	return s.settings.certs.config.Clone()
}

// TLSFiles are the files that TLSConfig is made of; empty without the option TLS.
func (s *Server) TLSFiles() TLSFiles {
	if s.settings.certs == nil {
		return TLSFiles{}
	}
	return s.settings.certs.client
}

// Dial connects, and logs in as AdminUser.
func (s *Server) Dial(ctx context.Context) (*Conn, error) {
	conn, err := Dial(ctx, s.Addr(), s.TLSConfig())
	if err != nil || s.sentinel {
		return conn, err
	}
	if _, err := conn.Do(ctx, "AUTH", AdminUser, ownPassword); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Do sends one command on a connection of its own, as AdminUser; see Conn.Do. It gives up when ctx
// ends, and after 10 s.
func (s *Server) Do(ctx context.Context, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, doTimeout)
	defer cancel()
	conn, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // the reply is in
	return conn.Do(ctx, args...)
}

// Info returns the fields of one section of INFO, e.g. "replication" or "commandstats".
func (s *Server) Info(ctx context.Context, section string) (map[string]string, error) {
	reply, err := s.Do(ctx, "INFO", section)
	return fields(reply), err
}

// fields parses lines of "name:value"; others are left out.
func fields(reply any) map[string]string {
	text, _ := reply.(string)
	found := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			found[name] = value
		}
	}
	return found
}
