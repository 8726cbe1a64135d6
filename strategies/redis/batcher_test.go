package redis_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// traffic returns what do makes of each server: how often it reads from its clients, which is once
// for a pipeline that is not long, and how often it runs each command.
func traffic(t *testing.T, servers []*redistest.Server, do func()) (reads []int, commands map[string]int) {
	t.Helper()
	total := func(server *redistest.Server) int {
		stats, err := server.Info(t.Context(), "stats")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(stats["total_reads_processed"])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	idle := make([]int, len(servers)) // what it costs to ask
	before := make([]int, len(servers))
	for i, server := range servers {
		first := total(server)
		before[i] = total(server)
		idle[i] = before[i] - first
		if _, err := server.Do(t.Context(), "CONFIG", "RESETSTAT"); err != nil {
			t.Fatal(err)
		}
		before[i] = total(server)
	}
	do()
	commands = map[string]int{}
	for i, server := range servers {
		reads = append(reads, total(server)-before[i]-idle[i])
		stats, err := server.Info(t.Context(), "commandstats")
		if err != nil {
			t.Fatal(err)
		}
		for name, line := range stats {
			var calls int
			if _, err := fmt.Sscanf(line, "calls=%d", &calls); err == nil {
				commands[name] += calls
				if name == "cmdstat_hello" || name == "cmdstat_ping" || strings.HasPrefix(name, "cmdstat_cluster") {
					reads[i] -= calls // the client itself, which connects, or looks after a cluster
				}
			}
		}
	}
	return reads, commands
}

// Many keys are one round trip for each node: as many reads by a server as there are pipelines.
func TestManyRoundTrips(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, begin := range map[string]func() (redis.Options, []*redistest.Server){
		"standalone": func() (redis.Options, []*redistest.Server) {
			server := redistest.Start(t)
			return redis.Options{Addresses: []string{server.Addr()}, Connections: 1, Lanes: 1}, []*redistest.Server{server}
		},
		"cluster": func() (redis.Options, []*redistest.Server) {
			cluster := redistest.StartCluster(t, 3, 0)
			return redis.Options{Addresses: cluster.Addrs(), Connections: 1, Lanes: 64, Mode: redis.Cluster}, cluster.Masters()
		},
	} {
		options, servers := begin()
		strategy := startAt(t, options)
		const n = 45 // what a server reads at once holds as many scripts
		ctx, tags := t.Context(), []string{"n:all"}
		keys, items := []string(nil), []driver.Item(nil)
		lanes := map[uint64]bool{}
		for i := range n {
			key := fmt.Sprint("n:", i)
			hash := fnv.New64a()
			_, _ = hash.Write([]byte(key)) // never fails
			lanes[hash.Sum64()%uint64(options.Lanes)] = true
			keys = append(keys, key)
			items = append(items, driver.Item{Key: key, Value: []byte("v"), Options: driver.SetOptions{TTL: time.Hour, Tags: []string{"n:all", "n:own" + strconv.Itoa(i%7)}}})
		}
		set := func() error { return errors.Join(strategy.SetMany(ctx, items)...) }
		get := func(tags []string) func() error {
			return func() error {
				for i, r := range strategy.GetMany(ctx, keys, tags) {
					if r.Err != nil || !r.Found || string(r.Value) != "v" {
						return fmt.Errorf("key %d: %q, %t, %w", i, r.Value, r.Found, r.Err)
					}
				}
				return nil
			}
		}
		remove := func() error { return strategy.Delete(ctx, keys...) }
		for _, step := range []struct {
			name, command string
			count         int
			do            func() error
			first         bool // sends the scripts, which are more than a server reads at once
		}{
			{"SetMany, scripts unknown", "cmdstat_eval", len(lanes), set, true},
			{"SetMany", "cmdstat_evalsha", n, set, false},
			{"GetMany, scripts unknown", "cmdstat_eval_ro", len(lanes), get(nil), true},
			{"GetMany", "cmdstat_mget", len(lanes), get(nil), false},
			{"GetMany with a hint", "cmdstat_mget", len(lanes), get(tags), false},
			{"DeleteMany", "cmdstat_unlink", len(lanes), remove, false},
			{"SetMany again", "cmdstat_evalsha", n, set, false},
		} {
			var err error
			var reads []int
			var commands map[string]int
			most := 1
			for try := range 3 {
				reads, commands = traffic(t, servers, func() { err = step.do() })
				t.Logf("%s, %s of %d keys in %d lanes: reads by node %v; %v", name, step.name, n, len(lanes), reads, commands)
				if err != nil {
					t.Errorf("%s, %s: %v", name, step.name, err)
				}
				if unknown := commands["cmdstat_evalsha_ro"]; unknown > 0 && unknown <= 3 {
					most = 2 // few keys share their place in memory with another, and are not remembered
				}
				// The end of the connection that asked before counts as a read, perhaps only now.
				if step.first || slices.Max(reads) <= most || try == 2 {
					break
				}
			}
			for node, trips := range reads {
				if trips > most && !step.first {
					t.Errorf("%s, %s: node %d was read %d times, want once", name, step.name, node, trips)
				}
			}
			// One that is not remembered may be the only one of its lane.
			alone := 0
			if step.command == "cmdstat_mget" {
				alone = commands["cmdstat_evalsha_ro"]
			}
			if missing := step.count - commands[step.command]; missing < 0 || missing > alone {
				t.Errorf("%s, %s: %d times %s, want %d", name, step.name, commands[step.command], step.command, step.count)
			}
		}
		// A hint that is wrong costs a second pipeline, once; but what few keys share their place
		// in memory with another are not remembered.
		other := startAt(t, options)
		for i, most := range []int{n, n / 6} {
			var results []driver.Result
			reads, commands := traffic(t, servers, func() { results = other.GetMany(ctx, keys, []string{}) })
			t.Logf("%s, wrong hint, time %d: reads by node %v; %v", name, i+1, reads, commands)
			for node, trips := range reads {
				if i == 1 && trips > 2 { // the first time it connects to a cluster's nodes
					t.Errorf("%s, wrong hint, time %d: node %d was read %d times", name, i+1, node, trips)
				}
			}
			if scripts := commands["cmdstat_evalsha_ro"]; scripts > most {
				t.Errorf("%s, wrong hint, time %d: %d keys were read by the script", name, i+1, scripts)
			}
			for i, r := range results {
				if r.Err != nil || !r.Found || string(r.Value) != "v" {
					t.Errorf("key %d: %+v", i, r)
				}
			}
		}
	}
}

// No command is endless: one MGET reads so many keys, and no more.
func TestManyKeysInOneLane(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	keys := make([]string, 1500)
	for i := range keys {
		keys[i] = fmt.Sprint("n:", i)
	}
	s.set(keys[1499], time.Minute)
	counts := s.commands(func() {
		for i, r := range s.GetMany(t.Context(), keys, []string{}) {
			if r.Err != nil || r.Found != (i == 1499) {
				t.Errorf("key %d: %+v", i, r)
			}
		}
	})
	if counts["mget"] != 2 {
		t.Errorf("%d times MGET, want 2", counts["mget"])
	}
}

// Out of memory: what SetMany cannot store, it hides.
func TestSetManyOutOfMemory(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t, redistest.Config("maxmemory-policy noeviction")), redis.Options{})
	keys, items := existing(s)
	s.direct("CONFIG", "SET", "maxmemory", "1") // full, to the byte
	for i, err := range s.SetMany(t.Context(), items) {
		var answer *redis.ServerError
		if !errors.As(err, &answer) || answer.Code != "OOM" || !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("%s: %v, want OOM", keys[i], err)
		}
		if s.found(keys[i]) {
			t.Errorf("%s: the old value is still readable", keys[i])
		}
	}
}

// existing returns items for keys that have entries already.
func existing(s *started) (keys []string, items []driver.Item) {
	s.Helper()
	keys = []string{"n:a", "n:b", "n:c"}
	for _, key := range keys {
		s.set(key, time.Minute)
		items = append(items, driver.Item{Key: key, Value: []byte("value of " + key), Options: driver.SetOptions{TTL: time.Minute}})
	}
	return keys, items
}

// Where what is refused cannot be hidden either, both are told, of that item and no other.
func TestSetManyCannotHide(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	_, items := existing(s)
	items[1].Options.TTL = -1
	s.direct("ACL", "SETUSER", "default", "-unlink")
	failures := s.SetMany(t.Context(), items)
	s.direct("ACL", "SETUSER", "default", "+unlink")
	var answer *redis.ServerError
	if !errors.Is(failures[1], driver.ErrInvalidTTL) || !errors.As(failures[1], &answer) || answer.Code != "NOPERM" {
		t.Errorf("%v, want ErrInvalidTTL and NOPERM", failures[1])
	}
	for _, i := range []int{0, 2} {
		if errors.Is(failures[i], driver.ErrInvalidTTL) {
			t.Errorf("item %d: %v", i, failures[i])
		}
	}
}

// Cluster: the keys of a lost node fail, and no others: partial results.
func TestManyWithAMasterLost(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3, 0, redistest.Config("cluster-require-full-coverage no"))
	s := startAt(t, redis.Options{Mode: redis.Cluster, Addresses: cluster.Addrs()})
	var keys []string
	var items []driver.Item
	for i := range 200 {
		keys = append(keys, fmt.Sprint("n:", i))
		items = append(items, driver.Item{Key: keys[i], Value: []byte(keys[i]), Options: driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t"}}})
	}
	if err := errors.Join(s.SetMany(t.Context(), items)...); err != nil {
		t.Fatal(err)
	}
	s.GetMany(t.Context(), keys, nil) // learns
	cluster.Masters()[0].Kill()
	for name, read := range map[string]func() []driver.Result{
		"learned": func() []driver.Result { return s.GetMany(t.Context(), keys, nil) },
		"hinted":  func() []driver.Result { return s.GetMany(t.Context(), keys, []string{"n:t"}) },
	} {
		works, fails := 0, 0
		for i, r := range read() {
			switch {
			case r.Err != nil:
				fails++
				if !errors.Is(r.Err, driver.ErrUnavailable) {
					t.Errorf("%s, key %d: %v", name, i, r.Err)
				}
			case r.Found && string(r.Value) == keys[i]:
				works++
			default:
				t.Errorf("%s, key %d: %+v, want its value or an error", name, i, r)
			}
		}
		t.Logf("%s: %d keys work, %d fail", name, works, fails)
		if works == 0 || fails == 0 {
			t.Errorf("%s: %d keys work and %d fail; want some of both", name, works, fails)
		}
	}
	works, fails := 0, 0
	for _, err := range s.SetMany(t.Context(), items) {
		if err == nil {
			works++
		} else {
			fails++
		}
	}
	if works == 0 || fails == 0 {
		t.Errorf("SetMany: %d keys work and %d fail; want some of both", works, fails)
	}
}

// The connections are lost while the server hangs: whoever makes them anew is held up by rueidis,
// and nobody notices.
func TestManyKeepTheirDeadline(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	const timeout, grace = 100 * time.Millisecond, 400 * time.Millisecond
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s, direct := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}}), start(t, server, redis.Options{})
	keys, item := []string{"n:a", "n:b"}, driver.Item{Key: "n:a", Value: []byte("v"), Options: driver.SetOptions{TTL: time.Hour}}
	for name, many := range map[string]func(ctx context.Context) error{
		"GetMany": func(ctx context.Context) error { return s.GetMany(ctx, keys, nil)[0].Err },
		"SetMany": func(ctx context.Context) error { return s.SetMany(ctx, []driver.Item{item})[0] },
	} {
		until(t, func() error { return many(t.Context()) })
		direct.hang()
		proxy.Cut()
		for range 5 { // the first one may be told of the loss
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			began := time.Now()
			err := many(ctx)
			if took := time.Since(began); took > timeout+grace || err == nil {
				t.Errorf("%s took %v: %v", name, took, err)
			}
			cancel()
		}
		server.Resume()
	}
}
