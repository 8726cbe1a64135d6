package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// A server that hangs holds nobody up beyond the deadline. What the calls that gave up have left
// behind goes when the connection is given up, while the server still hangs.
//
//nolint:paralleltest // it counts goroutines, and others would be among them
func TestHungServer(t *testing.T) {
	redistest.Require(t)
	const (
		timeout = 100 * time.Millisecond
		// How much longer than its timeout a call may take, on a machine that has other things to
		// do. What rueidis lets callers wait for takes a second and more.
		grace  = 400 * time.Millisecond
		least  = 200 // calls
		rounds = 100 // at most, one each timeout
	)
	s := start(t, redistest.Start(t), redis.Options{})
	for _, op := range operations {
		s.set("n:"+op.name, time.Hour, "n:"+op.name)
	}
	lease, err := s.Lease(t.Context(), "n:Fill")
	s.must(err)
	s.must(s.InvalidateTags(t.Context(), "n:unused")) // loads the script
	idle := runtime.NumGoroutine()
	s.hang()
	began := time.Now()
	var longest time.Duration
	most, made, settled := 0, 0, 0
	for round := 0; round < rounds && (made < least || settled < 5); round++ {
		longest = max(longest, s.callAll(timeout, lease))
		made += len(operations)
		now := runtime.NumGoroutine()
		most = max(most, now)
		if now <= idle+len(operations) && most > idle+len(operations) {
			settled++
		}
	}
	paused := time.Since(began)
	s.server.Resume()
	recovery := until(t, func() error { return s.Delete(t.Context(), "n:Delete") })
	t.Logf("%d calls in %v, each took %v at most; %d goroutines, %d at most; working again after %v", made, paused, longest, idle, most, recovery)
	if recovery > 2*time.Second {
		t.Errorf("it works again only %v after the server does", recovery)
	}
	if longest > timeout+grace {
		t.Errorf("a call took %v, with a timeout of %v", longest, timeout)
	}
	if settled < 5 {
		t.Errorf("%d goroutines before, and up to %d after %d calls that gave up: they do not end", idle, most, made)
	}
	for _, op := range operations {
		s.must(s.Delete(t.Context(), "n:"+op.name))
		s.must(s.InvalidateTags(t.Context(), "n:"+op.name))
		if found := s.look(op); found != gone {
			t.Errorf("afterwards, Delete and InvalidateTags of %s returned nil and leave: %s", op.name, found)
		}
	}
}

// More calls at once than rueidis keeps outstanding: nobody waits for the others beyond the
// deadline.
//
//nolint:paralleltest // it is about time
func TestBurstOnHungServer(t *testing.T) {
	redistest.Require(t)
	const calls, timeout, grace = 6000, 200 * time.Millisecond, 700 * time.Millisecond
	s := start(t, redistest.Start(t), redis.Options{})
	s.set("n:k", time.Hour)
	s.hang()
	took := make([]time.Duration, calls)
	var all sync.WaitGroup
	for i := range took {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			began := time.Now()
			if i%10 == 0 {
				if err := s.Delete(ctx, "n:k"); err == nil {
					t.Error("Delete returned nil")
				}
			} else if _, _, err := s.Get(ctx, "n:k"); err == nil {
				t.Error("Get returned nil")
			}
			took[i] = time.Since(began)
		})
	}
	all.Wait()
	if longest := slices.Max(took); longest > timeout+grace {
		t.Errorf("a call took %v, with a timeout of %v", longest, timeout)
	}
	s.server.Resume()
	until(t, func() error { return s.Delete(t.Context(), "n:k") })
	until(t, func() error {
		_, found, err := s.Get(t.Context(), "n:k")
		if found {
			t.Error("the entry is there, after Delete returned nil")
		}
		return err
	})
}

// hang pauses the server, and returns when it has stopped: the signal is not there at once.
func (s *started) hang() {
	s.Helper()
	s.server.Pause()
	until(s, func() error {
		ctx, cancel := context.WithTimeout(s.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := s.server.Do(ctx, "PING"); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("it has not stopped: %v", err) //nolint:errorlint // it may be nil
		}
		return nil
	})
}

// callAll makes all operations at once on a server that hangs, and returns how long the slowest
// took.
func (s *started) callAll(timeout time.Duration, lease *driver.Lease) time.Duration {
	var calls sync.WaitGroup
	took := make([]time.Duration, len(operations))
	for i, op := range operations {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(s.Context(), timeout)
			defer cancel()
			began := time.Now()
			result, err := op.do(ctx, s, lease)
			if took[i] = time.Since(began); took[i] > 2*timeout {
				s.Logf("%s took %v: %v", op.name, took[i], err)
			}
			if result != "" || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, driver.ErrUnavailable) {
				s.Errorf("%s: %q, %v, want DeadlineExceeded or ErrUnavailable", op.name, result, err)
			}
		})
	}
	calls.Wait()
	return slices.Max(took)
}

// An operation without a deadline of its own gets that of the Service. Without it the connection
// would be given up at last, some seconds later.
func TestHungServerWithoutDeadline(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	const timeout, grace = 100 * time.Millisecond, 700 * time.Millisecond
	server := redistest.Start(t)
	s := &started{Strategy: on(redis.Options{Addresses: server.Addrs()})(t).(*redis.Strategy), TB: t, server: server}
	s.must(s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: timeout})))
	t.Cleanup(func() { s.must(s.Destroy(context.Background())) })
	lease, err := s.Lease(t.Context(), "n:Fill")
	s.must(err)
	until(t, func() error { // all connections are there: none has to be made while the server hangs
		s.found("n:none")
		return connections(s, "fxcache", 2)
	})
	s.hang()
	defer s.server.Resume()
	var calls sync.WaitGroup
	for _, op := range operations {
		calls.Go(func() {
			began := time.Now()
			_, err := op.do(t.Context(), s, lease)
			took := time.Since(began)
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("%s: %v, want DeadlineExceeded or ErrUnavailable", op.name, err)
			}
			if took > timeout+grace {
				t.Errorf("%s took %v, with a timeout of %v", op.name, took, timeout)
			}
		})
	}
	calls.Wait()
}

// What was given up while the server hung comes late, when it goes on. A Delete that is issued then
// wins.
func TestLateAfterHanging(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	opts := driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t"}}
	s.direct("CONFIG", "SET", "slowlog-log-slower-than", "0") // of every command
	until(t, func() error {                                   // all connections are there, or else what should be late is never sent
		s.found("n:none")
		return connections(s, "fxcache", 2)
	})
	for round := range 10 {
		var lease *driver.Lease
		until(t, func() (err error) {
			_, _, lease, err = s.GetOrLease(t.Context(), "n:filled")
			return err
		})
		s.set("n:warm", time.Hour) // loads the script
		s.direct("SLOWLOG", "RESET")
		s.hang()
		var calls sync.WaitGroup // side by side: the first to get no answer closes the bulkhead
		late := func(do func(context.Context) error) {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, want DeadlineExceeded", err)
				}
			})
		}
		late(func(ctx context.Context) error { return s.Set(ctx, "n:set", []byte("late"), opts) })
		late(func(ctx context.Context) error { return s.Set(ctx, "n:seen", []byte("value of n:seen"), opts) })
		late(func(ctx context.Context) error {
			_, err := s.Fill(ctx, lease, []byte("late"), opts)
			return err
		})
		calls.Wait()
		s.server.Resume()
		s.must(s.Delete(t.Context(), "n:set", "n:filled"))
		until(t, func() error {
			late := 0 // others release leases that nobody knows of
			for _, entry := range s.direct("SLOWLOG", "GET", "128").([]any) {
				if command := fmt.Sprint(entry.([]any)[3]); strings.Contains(command, "EVALSHA") && strings.Contains(command, ":v:{") {
					late++
				}
			}
			if late != 3 {
				return fmt.Errorf("%d of 3 late scripts", late)
			}
			return nil
		})
		if !s.found("n:seen") {
			t.Errorf("round %d: nothing came late: the test proves nothing", round)
		}
		// The lease sees to that; for a plain Set nothing does.
		if _, found, err := s.Get(t.Context(), "n:filled"); found || err != nil {
			t.Errorf("round %d: %t, %v; want it deleted", round, found, err)
		}
		s.must(s.Delete(t.Context(), "n:seen", "n:set"))
	}
}

// Destroy keeps its deadline beside a server that hangs, and leaves no connection behind.
func TestDestroyBesideHungServer(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	direct := start(t, server, redis.Options{})
	strategy := on(redis.Options{Addresses: server.Addrs(), ClientName: "destroyed"})(t).(*redis.Strategy)
	if err := strategy.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: 100 * time.Millisecond})); err != nil {
		t.Fatal(err)
	}
	until(t, func() error {
		_, _, err := strategy.Get(t.Context(), "n:k")
		return errors.Join(err, connections(direct, "destroyed", 2))
	})
	direct.hang()
	for range 20 {
		_, _, _ = strategy.Get(t.Context(), "n:k") // suspects, and a probe that waits
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := strategy.Destroy(ctx)
	if took := time.Since(began); took > 800*time.Millisecond {
		t.Errorf("Destroy took %v: %v", took, err)
	}
	direct.server.Resume()
	until(t, func() error { return connections(direct, "destroyed", 0) })
}

// Revocations that wait for replicas are bounded like the others.
//
//nolint:paralleltest // it counts goroutines
func TestRevocationsAreBounded(t *testing.T) {
	redistest.Require(t)
	for _, replicas := range []int{0, 1} {
		s := start(t, redistest.Start(t), redis.Options{WaitReplicas: replicas, Lanes: 16})
		_ = s.InvalidateTags(t.Context(), "n:t") // with 1, there is no replica
		s.hang()
		idle, most := runtime.NumGoroutine(), 0
		for range 20 {
			var calls sync.WaitGroup
			for range 100 {
				calls.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					defer cancel()
					if err := s.InvalidateTags(ctx, "n:t"); err == nil {
						t.Error("InvalidateTags returned nil")
					}
				})
			}
			calls.Wait()
			most = max(most, runtime.NumGoroutine()-idle)
		}
		s.server.Resume()
		t.Logf("wait_replicas %d: %d goroutines at most", replicas, most)
		if limit := 256*(2+16) + 200; most > limit {
			t.Errorf("wait_replicas %d: %d goroutines, want no more than %d", replicas, most, limit)
		}
	}
}

// Revocations that get no answer close the bulkhead, though they do not pass it: what comes then
// fails early.
func TestSilentRevocationsCloseTheGate(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	until(t, func() error {
		s.found("n:none")
		return connections(s, "fxcache", 2)
	})
	s.hang()
	defer s.server.Resume()
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			// Most of it must be left when the command is sent: otherwise it is no silence.
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if err := s.Delete(ctx, "n:k"); err == nil {
				t.Error("Delete returned nil")
			}
		})
	}
	calls.Wait()
	// The first one waits for the suspicion to end; both together would be too few silences to
	// close the bulkhead.
	for _, want := range []error{context.DeadlineExceeded, driver.ErrUnavailable} {
		ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
		if _, _, err := s.Get(ctx, "n:k"); !errors.Is(err, want) {
			t.Errorf("Get: %v, want %v", err, want)
		}
		cancel()
	}
}
