package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// With wait_replicas the caller of a revocation is told that no replica has it; it is applied all
// the same.
func TestWaitReplicas(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{WaitReplicas: 1, Lanes: 4})
	s.set("n:a", time.Minute, "n:t")
	s.set("n:b", time.Minute, "n:t")
	for name, err := range map[string]error{
		"Delete": s.Delete(t.Context(), "n:a"), "InvalidateTags": s.InvalidateTags(t.Context(), "n:t"),
	} {
		if !errors.Is(err, driver.ErrNotReplicated) {
			t.Errorf("%s: %v, want ErrNotReplicated", name, err)
		}
	}
	if s.found("n:a") || s.found("n:b") {
		t.Error("a revocation was not applied")
	}
}

// So it is with what takes more than one command: the first unconfirmed one does not keep the rest
// from being applied, because ErrNotReplicated says that all is.
func TestAllOfItIsAppliedWithoutReplicas(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	direct := start(t, server, redis.Options{Lanes: 2})
	s := on(redis.Options{Addresses: server.Addrs(), WaitReplicas: 1, Lanes: 2})(t).(*redis.Strategy)
	service := cache.Options{Namespace: "n", Timeout: time.Second}
	direct.must(s.Init(t.Context(), drivertest.NewInjector(t, service)))
	t.Cleanup(func() { direct.must(s.Destroy(context.Background())) })
	const entries = 2500
	tags, keys := make([]string, entries), make([]string, entries)
	for i := range entries {
		keys[i], tags[i] = fmt.Sprint("n:k", i), fmt.Sprint("n:t", i)
	}
	for name, revoke := range map[string]func() error{
		"Clear":          func() error { return s.Clear(t.Context()) },
		"InvalidateTags": func() error { return s.InvalidateTags(t.Context(), tags...) },
	} {
		for i, key := range keys {
			direct.must(direct.Set(t.Context(), key, []byte("v"), driver.SetOptions{TTL: time.Hour, Tags: tags[i : i+1]}))
		}
		if err := revoke(); !errors.Is(err, driver.ErrNotReplicated) {
			t.Errorf("%s: %v, want ErrNotReplicated", name, err)
		}
		left := 0
		for _, key := range keys {
			_, found, err := direct.Get(t.Context(), key)
			direct.must(err)
			if found {
				left++
			}
		}
		if left > 0 {
			t.Errorf("%s: %d of %d entries are left, and it says that it is applied", name, left, entries)
		}
	}
}

// A server that says too late how many replicas have it: applied, not confirmed.
func TestConfirmationTooLate(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	slow, direct := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, WaitReplicas: 1}), start(t, server, redis.Options{})
	direct.set("n:k", time.Minute)
	late := proxy.HoldReply("wait")
	defer late.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	// With it ends the connection. Whether the nodes still agree may not be known in time, which is
	// said beside it.
	var lanes *redis.LanesError
	err := slow.Delete(ctx, "n:k")
	if !errors.As(err, &lanes) || !errors.Is(lanes, driver.ErrNotReplicated) || errors.Is(lanes, context.DeadlineExceeded) {
		t.Errorf("%v, want ErrNotReplicated", err)
	}
	if direct.found("n:k") {
		t.Error("the revocation was not applied")
	}
}

// A server that hangs: with wait_replicas too, nothing takes longer than its deadline, beyond what
// a busy machine does to it.
func TestHungServerWithReplicas(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{WaitReplicas: 1, Lanes: 4})
	for _, revoke := range []func(context.Context) error{
		func(ctx context.Context) error { return s.Delete(ctx, "n:k") },
		func(ctx context.Context) error { return s.InvalidateTags(ctx, "n:t") },
	} {
		for _, hung := range []bool{false, true, true} { // the last one has no connection left
			if hung {
				s.server.Pause()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			began := time.Now()
			err := revoke(ctx)
			cancel()
			if took := time.Since(began); err == nil || hung && !errors.Is(err, context.DeadlineExceeded) || took > 900*time.Millisecond {
				t.Errorf("hung: %t: %v after %v", hung, err, took)
			}
		}
		s.server.Resume()
	}
}

// Replicas that confirm in time make a revocation succeed.
func TestReplicated(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.StartSentinel(t, 1, 3).Master(), redis.Options{WaitReplicas: 1})
	s.set("n:a", time.Minute, "n:t")
	for what, revoke := range map[string]func() error{
		"Delete":         func() error { return s.Delete(t.Context(), "n:a") },
		"InvalidateTags": func() error { return s.InvalidateTags(t.Context(), "n:t") },
	} {
		for _, found := range []bool{true, false} {
			// Since Redis 7.2 WAIT after a command that wrote nothing waits for nothing.
			counts := s.commands(func() { s.must(revoke()) })
			if written := counts["set"] == 1; written == found || counts["wait"] != 1 {
				t.Errorf("%s, where there was something: %t: %v; want one WAIT, after a write", what, found, counts)
			}
		}
	}
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
		if err := <-result; !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
		s.direct("REPLICAOF", "NO", "ONE")
		until(t, func() error { return s.Set(t.Context(), "n:k", nil, newOptions) }) // it was not used meanwhile
	}
}

// A slot is on the move, and the nonce of an entry's tag has gone ahead: the script cannot see it.
func TestSlotOnTheMove(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 2, 0)
	s := startAt(t, redis.Options{Mode: redis.Cluster, Addresses: cluster.Addrs(), Lanes: 1})
	opts := driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t", "n:u"}}
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
		case err != nil && !errors.Is(err, driver.ErrUnavailable):
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

// With wait_replicas no lane waits for another one, and the error names those that failed.
func TestLanesWaitSideBySide(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, WaitReplicas: 1, Lanes: 8})
	held := make([]*redistest.Held, 8)
	for i := range held {
		held[i] = proxy.Hold("wait")
	}
	done := make(chan error, 1)
	go func() { done <- s.InvalidateTags(t.Context(), "n:t") }()
	for i, h := range held {
		select {
		case <-h.Arrived():
		case err := <-done:
			t.Fatalf("it ended with %v when %d lanes had asked the server to wait", err, i)
		}
	}
	for _, h := range held {
		h.Release()
	}
	err := <-done
	var failed *redis.LanesError
	if !errors.As(err, &failed) || !slices.Equal(failed.Lanes, []int{0, 1, 2, 3, 4, 5, 6, 7}) || failed.Of != 8 || !errors.Is(err, driver.ErrNotReplicated) {
		t.Errorf("%v, want ErrNotReplicated in all lanes", err)
	}
}
