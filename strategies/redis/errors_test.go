package redis_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// What Redis answers in its bad states, and what becomes of it. A Delete returns nil only if it was
// applied.
func TestStatesOfTheServer(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for _, test := range []struct {
		name        string
		config      []string
		enter       [][]any
		read, write string // the codes; empty: it works
		unavailable bool
	}{
		{name: "healthy"},
		{name: "NOREPLICAS", enter: [][]any{{"CONFIG", "SET", "min-replicas-to-write", "1"}}, write: "NOREPLICAS", unavailable: true},
		{name: "READONLY", enter: [][]any{{"REPLICAOF", "127.0.0.1", "1"}}, write: "READONLY", unavailable: true},
		{name: "NOPERM", enter: [][]any{{"ACL", "SETUSER", "default", "-unlink", "-evalsha", "-eval"}}, write: "NOPERM"},
		{name: "WRONGTYPE", enter: [][]any{{"DEL", "n:v:{0}:k"}, {"LPUSH", "n:v:{0}:k", "x"}}, read: "WRONGTYPE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, redistest.Start(t, redistest.Config(test.config...)), redis.Options{})
			opts := cache.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}}
			s.set("n:k", time.Minute, "n:t")
			s.must(s.InvalidateTags(t.Context(), "n:other"))
			for _, command := range test.enter {
				_, err := s.server.Do(t.Context(), command...)
				s.must(err)
			}
			_, found, read := s.Get(t.Context(), "n:k")
			verify := func(op string, err error, code string) {
				t.Helper()
				var answer *redis.ServerError
				switch {
				case code == "" && err != nil, code != "" && (!errors.As(err, &answer) || answer.Code != code):
					t.Errorf("%s: %v, want %q", op, err, code)
				case code != "" && errors.Is(err, cache.ErrUnavailable) != test.unavailable:
					t.Errorf("%s: %v; unavailable: want %t", op, err, test.unavailable)
				}
			}
			verify("Get", read, test.read)
			if read == nil && !found {
				t.Error("the entry is not found")
			}
			verify("InvalidateTags", s.InvalidateTags(t.Context(), "n:t"), test.write)
			verify("Delete", s.Delete(t.Context(), "n:k"), test.write)
			verify("Set", s.Set(t.Context(), "n:k", []byte("value of n:k"), opts), test.write)
		})
	}
}

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
	if err := slow.Delete(ctx, "n:k"); !errors.Is(err, cache.ErrNotReplicated) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want ErrNotReplicated", err)
	}
	if direct.found("n:k") {
		t.Error("the revocation was not applied")
	}
}

// A server that hangs: with wait_replicas too, nothing takes longer than its deadline, beyond what a busy
// machine does to it.
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
	if !errors.As(err, &failed) || !slices.Equal(failed.Lanes, []int{0, 1, 2, 3, 4, 5, 6, 7}) || failed.Of != 8 || !errors.Is(err, cache.ErrNotReplicated) {
		t.Errorf("%v, want ErrNotReplicated in all lanes", err)
	}
}
