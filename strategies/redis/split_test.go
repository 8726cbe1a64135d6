package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// onSlot is a strategy with a single lane, and the master that has it.
type onSlot struct {
	*redis.Strategy
	*testing.T
	cluster  *redistest.Cluster
	slot     int
	from, to *redistest.Server
}

func startOnSlot(t *testing.T, replicas int, options redis.Options) *onSlot {
	t.Helper()
	cluster := redistest.StartCluster(t, 3, replicas, leastPrivilege(t))
	options.Mode, options.Addresses, options.Lanes = redis.Cluster, cluster.Addrs(), 1
	options.Username, options.Password = "shop", driver.NewSecret("password")
	o := &onSlot{Strategy: startAt(t, options), T: t, cluster: cluster, slot: cluster.SlotOf("{0}")}
	o.from = cluster.NodeForSlot(o.slot)
	masters := cluster.Masters()
	o.to = masters[(slices.Index(masters, o.from)+1)%len(masters)]
	return o
}

func (o *onSlot) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

// has reports whether a node holds a Redis key.
func (o *onSlot) has(node *redistest.Server, key string) bool {
	o.Helper()
	conn, err := node.Dial(o.Context())
	o.must(err)
	defer func() { _ = conn.Close() }() // the reply is in
	_, err = conn.Do(o.Context(), "ASKING")
	o.must(err)
	n, err := conn.Do(o.Context(), "EXISTS", key)
	if err != nil && !strings.HasPrefix(err.Error(), "ASK ") && !strings.HasPrefix(err.Error(), "MOVED ") {
		o.Fatal(err)
	}
	return n == int64(1)
}

// A slot stands still half-way: whatever is on which side, a revocation returns nil and is applied.
func TestRevocationsInASplitSlot(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for _, replicas := range []int{0, 1} {
		t.Run(fmt.Sprint("wait_replicas ", replicas), func(t *testing.T) {
			t.Parallel()
			s := startOnSlot(t, replicas, redis.Options{WaitReplicas: replicas})
			ctx, opts := t.Context(), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t"}}
			for _, key := range []string{"n:stays", "n:goes", "n:t1", "n:t2"} {
				s.must(s.Set(ctx, key, []byte("old"), opts))
			}
			_, _, early, err := s.GetOrLease(ctx, "n:deleted")
			s.must(err)
			_, _, learned, err := s.GetOrLease(ctx, "n:learned")
			s.must(err)
			m := s.cluster.BeginMigration(s.slot, s.to)
			m.Move("n:v:{0}:goes", "n:l:{0}:deleted", "n:v:{0}:t2", "n:g:{0}:")

			s.must(s.Delete(ctx, "n:stays", "n:goes", "n:deleted"))
			for _, key := range []string{"n:v:{0}:stays", "n:v:{0}:goes", "n:l:{0}:deleted"} {
				if s.has(s.from, key) || s.has(s.to, key) {
					t.Errorf("after Delete %s is still there", key)
				}
			}
			if !s.has(s.from, "n:v:{0}:t1") || !s.has(s.to, "n:v:{0}:t2") || !s.has(s.to, "n:g:{0}:") || !s.has(s.from, "n:t:{0}:t") {
				t.Fatal("the keys are not where the test wants them")
			}
			s.must(s.InvalidateTags(ctx, "n:t", "n:unknown"))
			for _, key := range []string{"n:t:{0}:t", "n:g:{0}:"} {
				if s.has(s.from, key) || s.has(s.to, key) {
					t.Errorf("after InvalidateTags %s is still there", key)
				}
			}
			for _, lease := range []*driver.Lease{early, learned} {
				stored, err := s.Fill(ctx, lease, []byte("old"), opts)
				if stored || err != nil && !errors.Is(err, driver.ErrUnavailable) {
					t.Errorf("Fill: %t, %v", stored, err)
				}
			}
			// Refused, and then nothing must be readable.
			if err := s.Set(ctx, "n:t1", []byte("new"), opts); err != nil && !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("Set: %v", err)
			}
			for range 2 { // once while the slot is open, once when it is closed
				for _, key := range []string{"n:stays", "n:goes", "n:deleted", "n:learned", "n:t1", "n:t2"} {
					value, found, err := s.Get(ctx, key)
					if string(value) == "old" || found && string(value) != "new" {
						t.Errorf("%s: %q, %t", key, value, found)
					}
					if err != nil && !errors.Is(err, driver.ErrUnavailable) {
						t.Errorf("%s: %v, want ErrUnavailable at worst", key, err)
					}
				}
				if s.cluster.NodeForSlot(s.slot) != s.to {
					m.Finish()
				}
			}
			until(t, func() error { return s.Set(ctx, "n:goes", []byte("new"), opts) })
			if value, found, err := s.Get(ctx, "n:goes"); string(value) != "new" || !found || err != nil {
				t.Errorf("after the migration: %q, %t, %v", value, found, err)
			}
		})
	}
}

// Piece by piece means guards first: a value, or a nonce, is unlinked when what a fill needs is
// gone, or a fill in between would stay. Which command came first is read off the servers.
func TestGuardsGoFirst(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := startOnSlot(t, 0, redis.Options{})
	opts := driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t"}}
	s.must(s.Set(t.Context(), "n:k", []byte("old"), opts))
	_, _, lease, err := s.GetOrLease(t.Context(), "n:l")
	s.must(err)
	s.must(s.Set(t.Context(), "n:l", []byte("old"), opts)) // the lease is gone by that
	if _, err := s.Fill(t.Context(), lease, nil, opts); err != nil {
		t.Fatal(err)
	}
	lease, err = s.Lease(t.Context(), "n:l")
	s.must(err)
	if lease == nil {
		t.Fatal("no lease")
	}
	m := s.cluster.BeginMigration(s.slot, s.to)
	// The guards are where it takes longer: behind an ASK.
	m.Move("n:l:{0}:l", "n:g:{0}:")
	seen := make(chan string, 64)
	for _, node := range []*redistest.Server{s.from, s.to} {
		watch(t, node, seen)
	}
	s.must(s.Delete(t.Context(), "n:l"))
	s.must(s.InvalidateTags(t.Context(), "n:t"))
	for _, step := range [][3]string{{"n:l:{0}:l", "n:v:{0}:l", "n:b:{0}:l"}, {"n:g:{0}:", "n:t:{0}:t", "n:h:{0}:"}} {
		var times [3]string // the second must follow the first; of the third, nothing is said
		for i := range step {
			line := <-seen
			key := slices.IndexFunc(step[:], func(key string) bool { return strings.HasSuffix(line, `"`+key+`"`) })
			if key < 0 || times[key] != "" {
				t.Fatalf("command %d: %s, want an UNLINK of one of %q", i, line, step)
			}
			times[key], _, _ = strings.Cut(line, " ")
		}
		if times[0] >= times[1] { // both in seconds and microseconds, of one clock
			t.Errorf("%s was unlinked at %s, %s at %s", step[0], times[0], step[1], times[1])
		}
	}
}

// watch sends every UNLINK that a client made a node execute.
func watch(t *testing.T, node *redistest.Server, seen chan<- string) {
	t.Helper()
	conn, err := node.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Do(t.Context(), "MONITOR"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		defer func() { _ = conn.Close() }()
		for {
			line, err := conn.Receive(ctx)
			if err != nil {
				return // the test is over
			}
			if text := line.(string); strings.Contains(text, `"UNLINK"`) && !strings.Contains(text, " lua]") {
				seen <- text
			}
		}
	}()
}

// A nonce must never be on both sides, or one of them would outlive the invalidation of its tag. So
// a script that may write nonces has to name them, for Redis to refuse it.
func TestNonceIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := startOnSlot(t, 0, redis.Options{})
	ctx := t.Context()
	s.must(s.Set(ctx, "n:k", []byte("old"), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:a", "n:b"}}))
	s.must(s.InvalidateTags(ctx, "n:a"))
	_, _, _, err := s.GetOrLease(ctx, "n:k") // makes a lease and a ledger
	s.must(err)
	m := s.cluster.BeginMigration(s.slot, s.to)
	m.Move("n:v:{0}:k", "n:l:{0}:k", "n:g:{0}:")
	if !s.has(s.from, "n:t:{0}:b") {
		t.Fatal("the nonce is not where the test wants it")
	}
	err = s.Set(ctx, "n:k", []byte("new"), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:b"}})
	if err != nil && !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Set: %v", err)
	}
	if s.has(s.from, "n:t:{0}:b") && s.has(s.to, "n:t:{0}:b") {
		t.Error("both nodes have a nonce of the tag")
	}
	s.must(s.InvalidateTags(ctx, "n:b"))
	m.Finish()
	if value, found, err := s.Get(ctx, "n:k"); found || err != nil {
		t.Errorf("an entry whose tag was invalidated is back: %q, %t, %v", value, found, err)
	}
}

// Half of a revocation that replicas do not confirm is no revocation: ErrNotReplicated means that
// it is applied, and nobody would try again.
func TestSplitSlotUnconfirmed(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := startOnSlot(t, 1, redis.Options{WaitReplicas: 1})
	opts := driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t"}}
	for _, key := range []string{"n:stays", "n:goes"} {
		s.must(s.Set(t.Context(), key, []byte("old"), opts))
	}
	m := s.cluster.BeginMigration(s.slot, s.to)
	m.Move("n:v:{0}:goes")
	var replicas []*redistest.Server
	for _, node := range []*redistest.Server{s.from, s.to} {
		replicas = append(replicas, s.cluster.ReplicasOf(node)...)
	}
	for _, replica := range replicas {
		replica.Pause()
	}
	for _, keys := range [][]string{{"n:goes"}, {"n:stays", "n:goes", "n:stays"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := s.Delete(ctx, keys...)
		cancel()
		if err == nil {
			t.Errorf("%q: nil, although no replica has confirmed it", keys)
		}
		there := s.has(s.from, "n:v:{0}:stays") && slices.Contains(keys, "n:stays") || s.has(s.to, "n:v:{0}:goes")
		if errors.Is(err, driver.ErrNotReplicated) && there {
			t.Errorf("%q: %v, and not all of it is gone", keys, err)
		}
	}
	for _, replica := range replicas {
		replica.Resume()
	}
	until(t, func() error { return s.Delete(t.Context(), "n:goes", "n:stays") })
	if s.has(s.from, "n:v:{0}:stays") || s.has(s.to, "n:v:{0}:goes") {
		t.Error("it returned nil and is not applied")
	}
}
