package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// startAt starts a strategy on other addresses than a server's own.
func startAt(t testing.TB, options redis.Options) *redis.Strategy {
	t.Helper()
	strategy := on(options)(t).(*redis.Strategy)
	in := drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: 2 * time.Second})
	if err := strategy.Init(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := strategy.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return strategy
}

// V16: a fill is under way, on a slow network; its caller gives up at the deadline; the key is
// deleted. When the frame arrives at last, it must not bring the entry back.
func TestLateFillIsRefused(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	slow, other := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}}), start(t, server, redis.Options{})
	opts := driver.SetOptions{TTL: time.Minute, Tags: []string{"n:learned"}}
	for name, revoke := range map[string]func() error{
		"Delete":         func() error { return other.Delete(t.Context(), "n:k") },
		"InvalidateTags": func() error { return other.InvalidateTags(t.Context(), "n:learned") },
		"Set":            func() error { return other.Set(t.Context(), "n:k", []byte("value of n:k"), opts) },
	} {
		for range 3 { // the first loads the scripts
			var lease *driver.Lease
			until(t, func() (err error) { // the server has just been silent
				_, _, lease, err = slow.GetOrLease(t.Context(), "n:k")
				return err
			})
			if lease == nil {
				t.Fatal("no lease")
			}
			held := proxy.HoldFunc(script(3, 9))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			stored, err := slow.Fill(ctx, lease, []byte("late"), opts)
			cancel()
			if stored || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: Fill: %t, %v", name, stored, err)
			}
			<-held.Arrived()
			other.must(revoke())
			held.Release()
			<-held.Answered()
			value, found, err := other.Get(t.Context(), "n:k")
			other.must(err)
			if found && string(value) == "late" {
				t.Errorf("%s: the late fill was stored", name)
			}
			other.must(other.Delete(t.Context(), "n:k"))
		}
	}
}

// until repeats try until it returns nil.
func until(t testing.TB, try func() error) time.Duration {
	t.Helper()
	began, patience := time.Now(), 30*time.Second
	if limited, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, ok := limited.Deadline(); ok {
			patience = min(patience, time.Until(deadline)/4) // a mutant's time is short
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			t.Fatalf("still after %v: %v", time.Since(began), err)
		}
		<-tick.C
	}
}

// The ledger may be evicted at any time. A lease that was granted on the lost one cannot know what
// was invalidated since, and is refused, also when there is a new ledger by then.
func TestLostLedger(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	for _, renewed := range []bool{false, true} {
		_, _, lease, err := s.GetOrLease(t.Context(), "n:k")
		s.must(err)
		removed, err := s.server.Do(t.Context(), "DEL", "n:g:{0}:")
		s.must(err)
		if removed != int64(1) {
			t.Fatal("there was no ledger: the test proves nothing")
		}
		s.must(s.InvalidateTags(t.Context(), "n:learned")) // after the load has read the old row
		if renewed {
			_, _, _, err := s.GetOrLease(t.Context(), "n:other")
			s.must(err)
		}
		stored, err := s.Fill(t.Context(), lease, []byte("old"), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:learned"}})
		if stored || err != nil || s.found("n:k") {
			t.Errorf("a new ledger: %t; stored %t, %v; want it refused", renewed, stored, err)
		}
	}
}
