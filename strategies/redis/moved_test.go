package redis_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// movable is a strategy behind an address that can move from one server to another.
type movable struct {
	*redis.Strategy
	t        *testing.T
	old, new *redistest.Server // the new one begins as a replica of the old one
	proxy    *redistest.Proxy
}

const movedSessions = 100

// startMovable returns a strategy with sessions, on all its connections to the old server.
func startMovable(t *testing.T, options redis.Options, server ...redistest.Option) *movable {
	t.Helper()
	m := &movable{t: t, old: redistest.Start(t, server...), new: redistest.Start(t, server...)}
	m.proxy = redistest.NewProxy(t, m.old.Addr())
	options.Addresses = []string{m.proxy.Addr()}
	m.Strategy = startAt(t, options)
	for i := range movedSessions {
		m.must(m.Set(t.Context(), fmt.Sprint("n:s", i), []byte("session"), driver.SetOptions{TTL: time.Hour}))
	}
	until(t, func() error { // all its connections are made
		if n := m.connections(m.old); n < cmp.Or(options.Connections, 2) {
			m.must(m.Set(t.Context(), "n:k", nil, newOptions))
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	m.follow(m.new, m.old)
	return m
}

func (m *movable) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *movable) tell(server *redistest.Server, args ...any) any {
	m.t.Helper()
	reply, err := server.Do(m.t.Context(), args...)
	m.must(err)
	return reply
}

func (m *movable) connections(server *redistest.Server) int {
	m.t.Helper()
	return strings.Count(m.tell(server, "CLIENT", "LIST").(string), " name=fxcache ")
}

// follow makes a server the replica of another one, and returns when it has all that this one has.
func (m *movable) follow(replica, master *redistest.Server) {
	m.t.Helper()
	host, port, _ := strings.Cut(master.Addr(), ":")
	m.tell(replica, "REPLICAOF", host, port)
	m.synced(replica, master)
}

func (m *movable) synced(replica, master *redistest.Server) {
	m.t.Helper()
	until(m.t, func() error {
		of, err := replica.Info(m.t.Context(), "replication")
		m.must(err)
		at, err := master.Info(m.t.Context(), "replication")
		m.must(err)
		if of["master_link_status"] != "up" || of["slave_repl_offset"] != at["master_repl_offset"] {
			return fmt.Errorf("not synced: %s, %s of %s", of["master_link_status"], of["slave_repl_offset"], at["master_repl_offset"])
		}
		return nil
	})
}

// How the old master lives on.
const (
	itsReplica  = "a replica of the new one"
	cutReplica  = "a replica without a link"
	deaf        = "a replica without a link that does not serve"
	writable    = "a replica without a link that takes writes"
	stillMaster = "a master"
)

// move promotes the new server, and leads new connections there.
func (m *movable) move(becomes string) {
	m.t.Helper()
	m.synced(m.new, m.old)
	m.tell(m.new, "REPLICAOF", "NO", "ONE")
	switch becomes {
	case itsReplica:
		m.follow(m.old, m.new)
	case deaf:
		m.tell(m.old, "CONFIG", "SET", "replica-serve-stale-data", "no")
		m.tell(m.old, "REPLICAOF", "127.0.0.1", "1")
	case writable:
		m.tell(m.old, "CONFIG", "SET", "replica-read-only", "no")
		m.tell(m.old, "REPLICAOF", "127.0.0.1", "1")
	case cutReplica:
		m.tell(m.old, "REPLICAOF", "127.0.0.1", "1")
	}
	m.proxy.Move(m.new.Addr())
}

// revokeAll deletes each session, and looks at it afterwards. What was revoked must never be found.
func (m *movable) revokeAll() {
	m.t.Helper()
	served := 0
	for i := range movedSessions {
		key := fmt.Sprint("n:s", i)
		until(m.t, func() error { return m.Delete(m.t.Context(), key) })
		for range 4 { // on several connections
			ctx, cancel := context.WithTimeout(m.t.Context(), 50*time.Millisecond)
			if _, found, _ := m.Get(ctx, key); found {
				served++
			}
			if m.GetMany(ctx, []string{key}, nil)[0].Found {
				served++
			}
			cancel()
		}
		if m.tell(m.new, "EXISTS", m.key(key)) != int64(0) {
			m.t.Errorf("%s was revoked, and is in the new master", key)
		}
	}
	if served > 0 {
		m.t.Errorf("%d times of %d a revoked session was served", served, 8*movedSessions)
	}
}

// key is what Redis calls an entry, whatever the lanes.
func (m *movable) key(key string) string {
	keys := m.tell(m.new, "KEYS", "n:v:*:"+strings.TrimPrefix(key, "n:")).([]any)
	if len(keys) == 0 {
		return "n:none"
	}
	return keys[0].(string)
}

// serves fails unless what is stored is found again, on the new server.
func (m *movable) serves() {
	m.t.Helper()
	until(m.t, func() error {
		m.must(errors.Join(ignoreUnavailable(m.Set(m.t.Context(), "n:after", []byte("v"), newOptions))))
		_, found, err := m.Get(m.t.Context(), "n:after")
		if err == nil && !found {
			err = errors.New("not found")
		}
		return err
	})
	if n := m.connections(m.old); n > 0 {
		m.t.Errorf("%d connections still lead to the old server", n)
	}
}

func ignoreUnavailable(err error) error {
	if errors.Is(err, driver.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// The address leads to another server, and the old one lives on as a replica, with our connections.
func TestDemotedBehindItsAddress(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, options := range map[string]redis.Options{
		"default": {}, "4 connections, 4 lanes": {Connections: 4, Lanes: 4}, "1 connection": {Connections: 1},
	} {
		for _, becomes := range []string{itsReplica, cutReplica, deaf} {
			t.Run(name+", "+becomes, func(t *testing.T) {
				t.Parallel()
				m := startMovable(t, options)
				m.move(becomes)
				began := time.Now()
				until(t, func() error { return m.Delete(t.Context(), "n:s0") })
				t.Logf("the first revocation was applied after %v", time.Since(began))
				m.revokeAll()
				m.serves()
			})
		}
	}
}

// One connection is from before, one from after.
func TestConnectionsFromBeforeAndAfter(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, test := range map[string]struct {
		options redis.Options
		becomes []string
		server  []redistest.Option
	}{
		"default":                {becomes: []string{itsReplica, cutReplica, deaf, writable, stillMaster}},
		"4 connections, 4 lanes": {options: redis.Options{Connections: 4, Lanes: 4}, becomes: []string{cutReplica, stillMaster}},
		"least privilege": {
			options: redis.Options{Username: "shop", Password: driver.NewSecret("password")},
			becomes: []string{cutReplica, stillMaster}, server: []redistest.Option{leastPrivilege(t)},
		},
		"without INFO": {
			options: redis.Options{Username: "shop", Password: driver.NewSecret("password")},
			becomes: []string{cutReplica}, server: []redistest.Option{leastPrivilegeWithoutInfo(t)},
		},
	} {
		for _, becomes := range test.becomes {
			t.Run(name+", "+becomes, func(t *testing.T) {
				t.Parallel()
				m := startMovable(t, test.options, test.server...)
				m.move(becomes)
				for line := range strings.Lines(m.tell(m.old, "CLIENT", "LIST").(string)) {
					if strings.Contains(line, " name=fxcache ") {
						id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
						m.tell(m.old, "CLIENT", "KILL", "ID", id)
						break
					}
				}
				until(t, func() error { // it is made again
					_, _, _ = m.Get(t.Context(), "n:k")
					if m.connections(m.new) == 0 {
						return errors.New("not yet")
					}
					// One that takes writes takes revocations, too, until the node has noticed.
					if (becomes == stillMaster || becomes == writable) && m.connections(m.old) > 0 {
						return errors.New("it has not noticed")
					}
					return nil
				})
				m.revokeAll()
				m.serves()
			})
		}
	}
}

func leastPrivilegeWithoutInfo(t *testing.T) redistest.Option {
	t.Helper()
	return redistest.User("shop", "password", strings.NewReplacer("~shop:*", "~*", "&shop:*", "&*", "+info|server ", "").Replace(documentedRule(t)))
}

// There and back again, several times, while sessions are revoked.
func TestMovedThereAndBack(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	m := startMovable(t, redis.Options{Connections: 4})
	for round := range 4 {
		m.move(itsReplica)
		for i := range movedSessions {
			until(t, func() error {
				return m.Set(t.Context(), fmt.Sprint("n:s", i), []byte("session"), driver.SetOptions{TTL: time.Hour})
			})
		}
		t.Logf("round %d: stored again", round)
		m.revokeAll()
		m.old, m.new = m.new, m.old
	}
}

// A node that only reads is led to the new master when its connections have lived long enough.
func TestConnectionLifetime(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	m := startMovable(t, redis.Options{ConnectionLifetime: time.Second})
	m.move(stillMaster)
	m.tell(m.new, "FLUSHALL")
	until(t, func() error {
		_, found, err := m.Get(t.Context(), "n:s0")
		if err == nil && found {
			err = errors.New("the old master still serves it")
		}
		return err
	})
	until(t, func() error {
		_, _, _ = m.Get(t.Context(), "n:s0")
		if n := m.connections(m.old); n > 0 {
			return fmt.Errorf("%d connections still lead to the old server", n)
		}
		return nil
	})
}

// While the address leads to a replica, connections are not made again all the time, and once it is
// the master it is used.
func TestReplicaByMistake(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	master, replica := redistest.Start(t), redistest.Start(t)
	host, port, _ := strings.Cut(master.Addr(), ":")
	if _, err := replica.Do(t.Context(), "REPLICAOF", host, port); err != nil {
		t.Fatal(err)
	}
	proxy := redistest.NewProxy(t, replica.Addr())
	s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, Connections: 4})
	ended := time.Now().Add(3 * time.Second)
	calls := 0
	for time.Now().Before(ended) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if _, found, err := s.Get(ctx, "n:k"); found || err == nil {
			t.Fatalf("Get from a replica: %t, %v", found, err)
		}
		if err := s.Delete(ctx, "n:k"); err == nil {
			t.Fatal("Delete on a replica: no error")
		}
		cancel()
		calls++
	}
	if err := s.Delete(t.Context(), "n:k"); !errors.Is(err, redis.ErrReplica) {
		t.Errorf("Delete does not say that the server is a replica: %v", err)
	}
	// 50 ms, doubling to 2 s, less a half: some 10 in 3 s.
	if n := proxy.Accepted(); n > 20 {
		t.Errorf("%d connections were made in 3 s, in which it was called %d times", n, calls)
	}
	if _, err := replica.Do(t.Context(), "REPLICAOF", "NO", "ONE"); err != nil {
		t.Fatal(err)
	}
	until(t, func() error { return s.Delete(t.Context(), "n:k") })
}

// An application's own client cannot be told to make its connections anew. While one of them leads
// to a replica no hit is served; when none does, they are served again.
func TestLentClientOnAReplica(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	own, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: server.Addrs(), DisableCache: true, DisableRetry: true, AlwaysPipelining: true, ForceSingleClient: true, PipelineMultiplex: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	direct := start(t, server, redis.Options{})
	s := on(redis.Options{})(t).(*redis.Strategy)
	direct.must(s.Init(t.Context(), lending(t, own)))
	defer func() { direct.must(s.Destroy(t.Context())) }()
	direct.must(s.Set(t.Context(), "n:k", []byte("v"), newOptions))
	direct.direct("REPLICAOF", "127.0.0.1", "1")
	var answer *redis.ServerError
	if err := s.Delete(t.Context(), "n:other"); !errors.As(err, &answer) || answer.Code != "READONLY" {
		t.Fatalf("Delete: %v, want READONLY", err)
	}
	for range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if _, found, err := s.Get(ctx, "n:k"); found || err == nil {
			t.Fatalf("a hit from what refuses writes: %t, %v", found, err)
		}
		if result := s.GetMany(ctx, []string{"n:k"}, nil)[0]; result.Found || result.Err == nil {
			t.Fatalf("a hit from what refuses writes: %+v", result)
		}
		cancel()
	}
	direct.direct("REPLICAOF", "NO", "ONE")
	until(t, func() error { _, _, err := s.Get(t.Context(), "n:k"); return err })
}
