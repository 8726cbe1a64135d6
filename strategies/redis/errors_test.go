package redis_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// With wait_replicas the caller of a revocation is told that no replica has it; it is applied all the
// same.
func TestWaitReplicas(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{WaitReplicas: 1, Lanes: 4})
	s.set("n:a", time.Minute, "n:t")
	s.set("n:b", time.Minute, "n:t")
	for name, err := range map[string]error{
		"Delete": s.Delete(t.Context(), "n:a"), "InvalidateTags": s.InvalidateTags(t.Context(), "n:t"),
	} {
		if !errors.Is(err, cache.ErrNotReplicated) {
			t.Errorf("%s: %v, want ErrNotReplicated", name, err)
		}
	}
	if s.found("n:a") || s.found("n:b") {
		t.Error("a revocation was not applied")
	}
}

// Replicas that confirm in time make a revocation succeed.
func TestReplicated(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.StartSentinel(t, 1, 3).Master(), redis.Options{WaitReplicas: 1})
	s.set("n:a", time.Minute, "n:t")
	s.must(s.Delete(t.Context(), "n:a"))
	s.must(s.InvalidateTags(t.Context(), "n:t"))
	if s.found("n:a") {
		t.Error("a revocation was not applied")
	}
}

// The master becomes a replica while a revocation waits for its own: WAIT ends with UNBLOCKED, and
// nobody has confirmed anything.
func TestDemotedWhileWaiting(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{WaitReplicas: 1})
	for name, revoke := range map[string]func() error{
		"Delete":         func() error { return s.Delete(t.Context(), "n:a") },
		"InvalidateTags": func() error { return s.InvalidateTags(t.Context(), "n:t") },
	} {
		s.direct("SET", "n:v:{0}:a", "x")
		result := make(chan error, 1)
		go func() { result <- revoke() }()
		until(t, func() error {
			info, err := s.server.Info(t.Context(), "clients")
			if err == nil && info["blocked_clients"] != "1" {
				err = errors.New("nobody waits")
			}
			return err
		})
		s.direct("REPLICAOF", "127.0.0.1", "1")
		if err := <-result; !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
		s.direct("REPLICAOF", "NO", "ONE")
	}
}

// A slot is on the move, and the nonce of an entry's tag has gone ahead: the script cannot see it.
func TestSlotOnTheMove(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 2, 0)
	s := startAt(t, redis.Options{Mode: redis.Cluster, Addresses: cluster.Addrs(), Lanes: 1})
	opts := cache.SetOptions{TTL: time.Hour, Tags: []string{"n:t", "n:u"}}
	if err := s.Set(t.Context(), "n:k", []byte("v"), opts); err != nil {
		t.Fatal(err)
	}
	slot := cluster.SlotOf("n:v:{0}:k")
	from := cluster.NodeForSlot(slot)
	to := cluster.Nodes[0]
	if from == to {
		to = cluster.Nodes[1]
	}
	refused := 0
	migration := cluster.BeginMigration(slot, to)
	for moved := 0; ; moved += migration.MoveKeys(1) {
		value, found, err := s.Get(t.Context(), "n:k")
		switch {
		case err != nil && !errors.Is(err, cache.ErrUnavailable):
			t.Errorf("%d keys moved: %v", moved, err)
		case err != nil:
			refused++
		case found && string(value) != "v":
			t.Errorf("%d keys moved: %q", moved, value)
		}
		if moved == 3 {
			break
		}
	}
	if refused == 0 {
		t.Error("the script always saw all keys: the test proves nothing")
	}
	migration.Finish()
	if value, found, err := s.Get(t.Context(), "n:k"); err != nil || !found || string(value) != "v" {
		t.Errorf("moved: %q, %t, %v", value, found, err)
	}
}
