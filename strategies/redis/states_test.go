package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// What may become of an operation; anything else is the code that Redis answers.
const (
	works       = ""
	miss        = "miss"        // it works, and there is nothing
	unavailable = "unavailable" // driver.ErrUnavailable, without an answer of the server
	withheld    = "withheld"    // the same, or the deadline's error where it has waited for better times
)

// state is one that a server can be in.
type state struct {
	name    string
	start   func(*testing.T) *redistest.Server // nil: redistest.Start
	options redis.Options
	// enter brings the server into the state, in which it stays until leave, which may be nil.
	enter func(s *started) (leave func())
	// What becomes of what reads, of what stores (to ask for a lease is to write, too), and of what
	// revokes; except names the operations that differ from their kind.
	read, store, revoke string
	except              map[string]string
	mistake             bool // of somebody: not driver.ErrUnavailable
}

// direct sends a command past the strategy.
func (s *started) direct(args ...any) any {
	s.Helper()
	reply, err := s.server.Do(s.Context(), args...)
	s.must(err)
	return reply
}

// configure sets an option of the server, and sets it back.
func configure(option, during, after string) func(*started) func() {
	return func(s *started) func() {
		s.direct("CONFIG", "SET", option, during)
		return func() { s.direct("CONFIG", "SET", option, after) }
	}
}

// meanwhile runs a command that takes long, on a connection of its own. ended is closed when it has
// ended.
func (s *started) meanwhile(args ...any) (ended chan struct{}) {
	s.Helper()
	conn, err := s.server.Dial(s.Context())
	s.must(err)
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = conn.Do(s.Context(), args...) // a script that is killed says so
		_ = conn.Close()                     // nothing is outstanding
	}()
	return ended
}

// answering waits until the server answers PING with code.
func (s *started) answering(code string) {
	s.Helper()
	until(s, func() error {
		_, err := s.server.Do(s.Context(), "PING")
		switch {
		case err == nil:
			return errors.New("PING works")
		case !strings.HasPrefix(err.Error(), code):
			return fmt.Errorf("PING: %w, want %s", err, code)
		}
		return nil
	})
}

func diskFails(s *started) func() {
	// A folder in the place of the file: saving fails, as root too.
	s.must(os.Mkdir(filepath.Join(s.server.Dir(), "dump.rdb"), 0o700))
	s.direct("CONFIG", "SET", "save", "3600 100000")
	s.direct("BGSAVE")
	until(s, func() error {
		info, err := s.server.Info(s.Context(), "persistence")
		if err == nil && info["rdb_last_bgsave_status"] != "err" {
			err = errors.New("it has not failed to save")
		}
		return err
	})
	return func() { s.direct("CONFIG", "SET", "stop-writes-on-bgsave-error", "no") }
}

func loading(s *started) func() {
	for option, value := range map[string]any{
		"rdbcompression": "no", "loading-process-events-interval-bytes": 1024,
		// Microseconds for each key: together far longer than the test.
		"key-load-delay": 10_000,
	} {
		s.direct("CONFIG", "SET", option, value)
	}
	s.direct("DEBUG", "POPULATE", 20_000, "filling", 1024)
	ended := s.meanwhile("DEBUG", "RELOAD")
	s.answering("LOADING")
	return func() {
		s.answering("LOADING") // all the time
		s.direct("CONFIG", "SET", "key-load-delay", 0)
		<-ended
	}
}

// looping runs a script that does not end by itself.
func looping(script string, leave func(*started)) func(*started) func() {
	return func(s *started) func() {
		s.direct("CONFIG", "SET", "busy-reply-threshold", 10)
		ended := s.meanwhile("EVAL", script+" while true do end", 1, "n:unused")
		s.answering("BUSY")
		return func() {
			s.answering("BUSY")
			leave(s)
			<-ended
		}
	}
}

// slotLost takes from the only node of a cluster the slot that lane 0 is in.
func slotLost(s *started) func() {
	slot := s.direct("CLUSTER", "KEYSLOT", "{0}")
	s.direct("CLUSTER", "DELSLOTS", slot)
	return func() { s.direct("CLUSTER", "ADDSLOTS", slot) }
}

// noRoom ends the strategy's connections, and leaves no room for new ones.
func noRoom(s *started) func() {
	conn, err := s.server.Dial(s.Context())
	s.must(err)
	send := func(args ...any) {
		s.Helper()
		_, err := conn.Do(s.Context(), args...)
		s.must(err)
	}
	send("CONFIG", "SET", "maxclients", 1)
	send("CLIENT", "KILL", "USER", "default")
	return func() {
		send("CONFIG", "SET", "maxclients", 100)
		s.must(conn.Close())
	}
}

func stopReplicating(s *started) { s.direct("REPLICAOF", "NO", "ONE") }

var states = []state{
	{name: "healthy", enter: func(*started) func() { return func() {} }},
	{name: "NOREPLICAS", enter: configure("min-replicas-to-write", "1", "0"), store: "NOREPLICAS", revoke: "NOREPLICAS"},
	{name: "MISCONF", enter: diskFails, store: "MISCONF", revoke: "MISCONF"},
	{name: "READONLY", enter: func(s *started) func() {
		s.direct("REPLICAOF", "127.0.0.1", "1")
		return func() { stopReplicating(s) }
		// The first write finds out. From then on nothing goes to what may not be the master.
	}, store: withheld, revoke: unavailable, except: map[string]string{"GetOrLease": "READONLY"}},
	{name: "MASTERDOWN", enter: func(s *started) func() {
		s.direct("CONFIG", "SET", "replica-serve-stale-data", "no")
		s.direct("REPLICAOF", "127.0.0.1", "1")
		return func() { stopReplicating(s) }
	}, read: withheld, store: withheld, revoke: unavailable, except: map[string]string{"Get": "MASTERDOWN"}},
	{name: "OOM", enter: configure("maxmemory", "1", "0"), store: "OOM"},
	{name: "LOADING", enter: loading, read: "LOADING", store: "LOADING", revoke: "LOADING"},
	{
		name: "BUSY", enter: looping("", func(s *started) { s.direct("SCRIPT", "KILL") }),
		read: "BUSY", store: "BUSY", revoke: "BUSY",
	},
	{
		name: "CLUSTERDOWN", enter: slotLost, read: "CLUSTERDOWN", store: "CLUSTERDOWN", revoke: "CLUSTERDOWN",
		start:   func(t *testing.T) *redistest.Server { return redistest.StartCluster(t, 1, 0).Nodes[0] },
		options: redis.Options{Mode: redis.Cluster, Lanes: 1},
	},
	{name: "no room for connections", enter: noRoom, read: withheld, store: withheld, revoke: withheld}, // each of them dials
	{name: "NOPERM", enter: func(s *started) func() {
		s.direct("ACL", "SETUSER", "default", "-unlink", "-evalsha", "-eval")
		return func() { s.direct("ACL", "SETUSER", "default", "+@all") }
	}, store: "NOPERM", revoke: "NOPERM", mistake: true},
	{
		name: "NOPERM within scripts", enter: func(s *started) func() {
			s.direct("ACL", "SETUSER", "default", "-unlink", "-get", "-set")
			return func() { s.direct("ACL", "SETUSER", "default", "+@all") }
		}, read: "NOPERM", store: "NOPERM", revoke: "NOPERM", mistake: true,
		except: map[string]string{"GetHinted": works}, // no script, and MGET is another command
	},
	{
		name: "WRONGTYPE", enter: func(s *started) func() {
			for _, op := range operations {
				s.direct("DEL", "n:v:{0}:"+op.name)
				s.direct("LPUSH", "n:v:{0}:"+op.name, "value of n:"+op.name)
			}
			return func() {}
		}, read: miss, except: map[string]string{"GetOrLease": miss},
	},
	{name: "entries of another format", enter: func(s *started) func() {
		for _, op := range operations {
			s.direct("SETRANGE", "n:v:{0}:"+op.name, 0, "\x02")
		}
		return func() {}
	}, read: miss, except: map[string]string{"GetOrLease": miss}},
	{name: "FLUSHALL", enter: func(s *started) func() {
		s.direct("FLUSHALL")
		return func() {}
	}, read: miss, except: map[string]string{"GetOrLease": miss, "Fill": miss}},
	{name: "SCRIPT FLUSH", enter: func(s *started) func() {
		s.direct("SCRIPT", "FLUSH")
		return func() {}
	}},
}

// What Redis answers in its bad states, and what becomes of it. What returned nil was applied, what
// the server refused was not, and afterwards everything works again.
func TestStatesOfTheServer(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for _, test := range states {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.start == nil {
				test.start = func(t *testing.T) *redistest.Server { return redistest.Start(t) }
			}
			s := start(t, test.start(t), test.options)
			for _, op := range operations {
				s.set("n:"+op.name, time.Hour, "n:"+op.name)
			}
			lease, err := s.Lease(t.Context(), "n:Fill")
			s.must(err)
			s.must(s.InvalidateTags(t.Context(), "n:unused")) // loads the script
			leave := test.enter(s)
			results, errs := make([]string, len(operations)), make([]error, len(operations))
			for i, op := range operations {
				results[i], errs[i] = op.do(t.Context(), s, lease)
			}
			leave()
			for i, op := range operations {
				test.verify(s, op, results[i], errs[i])
			}
			until(t, func() error { return s.Set(t.Context(), "n:k", []byte("value of n:k"), newOptions) })
			if !s.found("n:k") {
				t.Error("afterwards, what was set is not found")
			}
			for _, op := range operations {
				s.must(s.Delete(t.Context(), "n:"+op.name))
				s.must(s.InvalidateTags(t.Context(), "n:"+op.name))
				if found := s.look(op); found != gone {
					t.Errorf("afterwards, Delete and InvalidateTags of %s returned nil and leave: %s", op.name, found)
				}
			}
		})
	}
}

// verify checks what became of an operation, when the server can be looked at again.
func (test state) verify(s *started, op operation, result string, err error) {
	s.Helper()
	want := map[string]string{"read": test.read, "store": test.store, "revoke": test.revoke}[op.kind]
	if differs, ok := test.except[op.name]; ok {
		want = differs
	}
	found, after := s.look(op), before
	switch want {
	case works:
		if err != nil || result != op.result {
			s.Errorf("%s: %q, %v; want %q", op.name, result, err, op.result)
		}
		after = op.after
	case miss:
		if err != nil || result != "" {
			s.Errorf("%s: %q, %v; want a miss", op.name, result, err)
		}
		after = found
		if found == stored {
			s.Errorf("%s: nothing came back, and the server has a new value", op.name)
		}
	case unavailable, withheld:
		if want == withheld && errors.Is(err, context.DeadlineExceeded) {
			err = driver.ErrUnavailable
		}
		if !errors.Is(err, driver.ErrUnavailable) || result != "" {
			s.Errorf("%s: %q, %v; want ErrUnavailable", op.name, result, err)
		}
	default:
		var answer *redis.ServerError
		if !errors.As(err, &answer) || answer.Code != want || result != "" {
			s.Errorf("%s: %q, %v; want %s", op.name, result, err, want)
		}
		if errors.Is(err, driver.ErrUnavailable) == test.mistake {
			s.Errorf("%s: %v: ErrUnavailable: %t", op.name, err, !test.mistake)
		}
		if op.name != "Lease" && op.name != "GetOrLease" && op.kind == "store" && test.revoke == works {
			after = gone // refused, and the old value must not stay readable
		}
	}
	if test.name == "FLUSHALL" && after == before {
		after = gone
	}
	if found != after {
		s.Errorf("%s: returned %q, %v; in the server: %s, want %s", op.name, result, err, found, after)
	}
}
