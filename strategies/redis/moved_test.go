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

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/cachetest"
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
		m.must(m.Set(t.Context(), fmt.Sprint("n:s", i), []byte("session"), cache.SetOptions{TTL: time.Hour}))
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
	if errors.Is(err, cache.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
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
			options: redis.Options{Username: "shop", Password: cache.NewSecret("password")},
			becomes: []string{cutReplica, stillMaster}, server: []redistest.Option{leastPrivilege(t)},
		},
		"without INFO": {
			options: redis.Options{Username: "shop", Password: cache.NewSecret("password")},
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
				return m.Set(t.Context(), fmt.Sprint("n:s", i), []byte("session"), cache.SetOptions{TTL: time.Hour})
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

// While the address leads to a replica, connections are not made again all the time, and once it is the master it is used.
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
	// 50 ms, doubling to 2 s, less a half: some 10 in 3 s.
	if n := proxy.Accepted(); n > 20 {
		t.Errorf("%d connections were made in 3 s, in which it was called %d times", n, calls)
	}
	if _, err := replica.Do(t.Context(), "REPLICAOF", "NO", "ONE"); err != nil {
		t.Fatal(err)
	}
	until(t, func() error { return s.Delete(t.Context(), "n:k") })
}

// A server that says it is a master and refuses to write, as a proxy may: its connections are not made anew all the time.
func TestReadOnlyForEver(t *testing.T) {
	t.Parallel()
	address := redistest.Fake(t, func(args []string) string {
		switch strings.ToUpper(args[0]) {
		case "HELLO":
			return hello("7.2.4", "standalone", "master")
		case "INFO":
			return "$8\r\nrun_id:a\r\n"
		case "UNLINK":
			return "-READONLY You can't write against a read only replica.\r\n"
		case "MGET":
			return "*1\r\n$1\r\nv\r\n"
		}
		return ":0\r\n"
	})
	proxy := redistest.NewProxy(t, address)
	s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, Connections: 4})
	var answer *redis.ServerError
	if err := s.Delete(t.Context(), "n:k"); !errors.As(err, &answer) || answer.Code != "READONLY" {
		t.Fatalf("Delete: %v, want READONLY", err)
	}
	before := proxy.Accepted()
	for ended := time.Now().Add(2500 * time.Millisecond); time.Now().Before(ended); {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if err := s.Delete(ctx, "n:k"); err == nil {
			t.Fatal("Delete: no error")
		}
		if _, found, err := s.GetHinted(ctx, "n:k", nil); found || err == nil {
			t.Fatalf("a read: %t, %v", found, err)
		}
		cancel()
	}
	// All four at once, a second later, and two seconds later.
	if n := proxy.Accepted() - before; n > 12 {
		t.Errorf("%d connections were made in 2.5 s", n)
	}
}

// An application's own client cannot be told to make its connections anew. While one of them leads to a
// replica no hit is served; when none does, they are served again.
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

// hello is the answer of a server to HELLO.
func hello(version, mode, role string) string {
	return fmt.Sprintf("%%4\r\n+version\r\n$%d\r\n%s\r\n+proto\r\n:3\r\n+mode\r\n+%s\r\n+role\r\n+%s\r\n", len(version), version, mode, role)
}

// A server that cannot be used is an error of the start, or where it comes later of every operation.
func TestServersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mode, hello, want string
	}{
		"Redis 6":                    {redis.Standalone, hello("6.2.16", "standalone", "master"), "needs Redis 7.0 or newer, this is 6.2.16"},
		"a replica, Redis 6":         {redis.Standalone, hello("6.2.16", "standalone", "replica"), "needs Redis 7.0 or newer, this is 6.2.16"},
		"Redis 6, cluster":           {redis.Cluster, hello("6.2.16", "cluster", "master"), "needs Redis 7.0 or newer, this is 6.2.16"},
		"no HELLO":                   {redis.Standalone, "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n", "needs Redis 7.0 or newer"},
		"a cluster":                  {redis.Standalone, hello("7.2.4", "cluster", "master"), "mode is standalone, and the server at one of the addresses is a node of a cluster"},
		"a sentinel":                 {redis.Standalone, hello("7.2.4", "sentinel", ""), "mode is standalone, and the server at one of the addresses is a sentinel"},
		"no cluster":                 {redis.Cluster, hello("7.2.4", "standalone", "master"), "mode is cluster, and the server at one of the addresses is no node of a cluster"},
		"no sentinel":                {redis.Sentinel, hello("7.2.4", "standalone", "master"), "mode is sentinel, and the server at one of the addresses is no node of a cluster and no sentinel"},
		"a cluster, and no sentinel": {redis.Sentinel, hello("7.2.4", "cluster", "master"), "mode is sentinel, and the server at one of the addresses is a node of a cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := redistest.Fake(t, func(args []string) string {
				if strings.EqualFold(args[0], "HELLO") {
					return test.hello
				}
				return "+OK\r\n"
			})
			check := func(err error) {
				t.Helper()
				var version *redis.VersionError
				var mode *redis.ModeError
				if !errors.As(err, &version) && !errors.As(err, &mode) || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("%v, want %q", err, test.want)
				}
			}
			s := on(redis.Options{Mode: test.mode, Addresses: []string{address}})(t).(*redis.Strategy)
			defer func() { _ = s.Destroy(context.Background()) }() // there is nothing to be closed
			check(s.Init(t.Context(), cachetest.NewInjector(t, cache.Options{})))
			if err := s.Delete(t.Context(), "n:k"); !errors.Is(err, cache.ErrClosed) {
				t.Errorf("Delete after a failed Init: %v", err)
			}

			proxy := redistest.NewProxy(t, address)
			proxy.Refuse()
			later := startLogged(t, redis.Options{Mode: test.mode, Addresses: []string{proxy.Addr()}})
			proxy.Accept()
			until(t, func() error {
				err := later.Delete(t.Context(), "n:k")
				var version *redis.VersionError
				var mode *redis.ModeError
				if errors.As(err, &version) || errors.As(err, &mode) {
					check(err)
					return nil
				}
				return fmt.Errorf("not asked yet: %w", err)
			})
			if _, found, err := later.Get(t.Context(), "n:k"); found || !errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("Get: %t, %v", found, err)
			} else {
				check(err)
			}
			if later.log.count("level=ERROR") == 0 || later.log.count(test.want) == 0 {
				t.Error("it is not logged as an error")
			}
		})
	}
}

// Servers that say less, or call themselves something else, are used.
func TestServersThatCanBeUsed(t *testing.T) {
	t.Parallel()
	for name, greeting := range map[string]string{
		"Redis 7":    hello("7.0.0", "standalone", "master"),
		"Valkey":     hello("7.2.4", "standalone", "master"),
		"Redis 10":   hello("10.0.1", "standalone", "master"),
		"no number":  hello("unstable", "standalone", "master"),
		"says less":  "%1\r\n+proto\r\n:3\r\n",
		"in RESP2":   "*6\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n",
		"in modules": "%3\r\n+proto\r\n:3\r\n+version\r\n+7.0.0\r\n+modules\r\n*1\r\n%2\r\n+name\r\n+x\r\n+ver\r\n:1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := redistest.Fake(t, func(args []string) string {
				switch strings.ToUpper(args[0]) {
				case "HELLO":
					return greeting
				case "INFO":
					return "-NOPERM no\r\n"
				case "UNLINK":
					return ":1\r\n"
				}
				return "+OK\r\n"
			})
			proxy := redistest.NewProxy(t, address)
			proxy.Slice(1)
			s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, ClientName: strings.Repeat("n", 5000), WriteBuffer: cache.KiB})
			if err := s.Delete(t.Context(), "n:k"); err != nil {
				t.Error(err)
			}
		})
	}
}
