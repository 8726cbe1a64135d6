package tiered_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
	"github.com/fxcache/fxcache/strategies/tiered"
)

// revocations are what may end an entry "shop:k" with the tag "shop:t". Each leaves it gone, or
// with the value "new".
var revocations = map[string]func(ctx context.Context, s driver.Strategy) (left string, err error){
	"Delete": func(ctx context.Context, s driver.Strategy) (string, error) {
		return "", s.Delete(ctx, "shop:other", "shop:k")
	},
	"InvalidateTags": func(ctx context.Context, s driver.Strategy) (string, error) {
		return "", s.InvalidateTags(ctx, "shop:other", "shop:t")
	},
	"Clear": func(ctx context.Context, s driver.Strategy) (string, error) {
		return "", driver.FeaturesOf(s).Clearer.Clear(ctx)
	},
	"Set": func(ctx context.Context, s driver.Strategy) (string, error) {
		return "new", s.Set(ctx, "shop:k", []byte("new"), driver.SetOptions{TTL: time.Hour})
	},
	"SetMany": func(ctx context.Context, s driver.Strategy) (string, error) {
		item := driver.Item{Key: "shop:k", Value: []byte("new"), Options: driver.SetOptions{TTL: time.Hour}}
		return "new", errors.Join(driver.FeaturesOf(s).Batcher.SetMany(ctx, []driver.Item{item})...)
	},
	"Fill": func(ctx context.Context, s driver.Strategy) (string, error) {
		leaser := driver.FeaturesOf(s).Leaser
		lease, err := leaser.Lease(ctx, "shop:k")
		if err != nil {
			return "", err
		}
		stored, err := leaser.Fill(ctx, lease, []byte("new"), driver.SetOptions{TTL: time.Hour})
		if !stored {
			err = errors.Join(err, errors.New("not stored"))
		}
		return "new", err
	},
	"FillMany": func(ctx context.Context, s driver.Strategy) (string, error) {
		leaser := driver.FeaturesOf(s).BatchLeaser
		granted := leaser.LeaseMany(ctx, []string{"shop:k"})[0]
		if granted.Err != nil {
			return "", granted.Err
		}
		filled := leaser.FillMany(ctx, []driver.Fill{{Lease: granted.Lease, Value: []byte("new"), Options: driver.SetOptions{TTL: time.Hour}}})[0]
		if !filled.Stored {
			return "", errors.Join(filled.Err, errors.New("not stored"))
		}
		return "new", filled.Err
	},
}

// What one node has revoked, neither that node nor another one serves from a copy: that node at
// once, the other one when the revocation returns. Nor does one that was done by a node without
// copies.
func TestRevocationsReachCopies(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	for _, lanes := range []int{1, 8} {
		far := redis.Options{Addresses: server.Addrs(), Lanes: lanes, ClientName: fmt.Sprint("lanes", lanes)}
		if lanes == 8 {
			far.DB = 1
		}
		a, b := node(t, long, far), node(t, long, far)
		for name, revoke := range revocations {
			set(t, a, "shop:k", "old", "shop:t")
			warm(t, a, "shop:k", "old")
			warm(t, b, "shop:k", "old")
			left, err := revoke(t.Context(), a)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			reads(t, a, "shop:k", left)
			propagated(t, a)
			reads(t, b, "shop:k", left)
			if t.Failed() {
				t.Fatal(name)
			}
		}
	}
}

// A copy lives no longer than l1_ttl, and no longer than what is left of its entry.
func TestCopiesExpire(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	far := redis.Options{Addresses: redistest.Start(t).Addrs()}
	short := long
	short.L1TTL = 300 * time.Millisecond
	s := node(t, short, far)
	set(t, s, "shop:k", "v")
	warm(t, s, "shop:k", "v")
	fills := s.Stats().Fills
	until(t, func() error { // the copy does not live for ever, and reading it does not prolong its life
		reads(t, s, "shop:k", "v")
		if s.Stats().Fills == fills {
			return errStill
		}
		return nil
	})
	s = node(t, long, far)
	if err := s.Set(t.Context(), "shop:short", []byte("v"), driver.SetOptions{TTL: 3 * time.Second}); err != nil {
		t.Fatal(err)
	}
	reads(t, s, "shop:short", "v")
	until(t, func() error {
		if _, found, err := s.Get(t.Context(), "shop:short"); found || err != nil {
			return errors.Join(errStill, err)
		}
		return nil
	})
}

// The options of a read say whether a copy is served, and how long.
func TestCopyOptions(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := node(t, long, redis.Options{Addresses: redistest.Start(t).Addrs()})
	set(t, s, "shop:off", "v")
	for range 3 {
		if value, found, err := s.GetFar(t.Context(), "shop:off", nil, driver.CopyOptions{Off: true}); string(value) != "v" || !found || err != nil {
			t.Fatalf("GetFar = %q, %t, %v", value, found, err)
		}
		if r := s.GetManyFar(t.Context(), []string{"shop:off"}, nil, driver.CopyOptions{Off: true})[0]; string(r.Value) != "v" || r.Err != nil {
			t.Fatalf("GetManyFar = %+v", r)
		}
		if _, found := s.GetNear("shop:off"); found {
			t.Fatal("there is a copy")
		}
	}
	set(t, s, "shop:short", "v")
	short := driver.CopyOptions{TTL: 200 * time.Millisecond}
	until(t, func() error {
		if value, found, err := s.GetFar(t.Context(), "shop:short", nil, short); string(value) != "v" || !found || err != nil {
			t.Fatalf("GetFar = %q, %t, %v", value, found, err)
		}
		if _, found := s.GetNear("shop:short"); !found {
			return errors.New("no copy")
		}
		return nil
	})
	until(t, func() error {
		if _, found := s.GetNear("shop:short"); found {
			return errStill
		}
		return nil
	})
}

// Many entries are served from copies too, and those that are not are copied.
func TestManyCopies(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := node(t, long, redis.Options{Addresses: redistest.Start(t).Addrs(), Lanes: 4})
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprint("shop:", i))
		if i%5 > 0 {
			set(t, s, keys[i], keys[i], "shop:t")
		}
	}
	until(t, func() error {
		before := s.Stats().Hits
		for i, r := range s.GetMany(t.Context(), keys, nil) {
			if r.Err != nil || r.Found != (i%5 > 0) || r.Found && string(r.Value) != keys[i] {
				t.Fatalf("%d: %+v", i, r)
			}
		}
		if hits := s.Stats().Hits - before; hits != 16 {
			return fmt.Errorf("%d copies were served, want 16", hits)
		}
		return nil
	})
}

// While Redis does not answer, copies are served for no longer than the lag. Afterwards they are
// served again.
func TestNoCopiesWithoutRedis(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	s := node(t, long, redis.Options{Addresses: server.Addrs()})
	set(t, s, "shop:k", "v")
	warm(t, s, "shop:k", "v")
	server.Pause()
	until(t, func() error { // the signal is not there at once
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := server.Do(ctx, "PING"); err == nil {
			return errStill
		}
		return nil
	})
	pause(t, long.Lag) // a heartbeat that was answered is older now
	if _, found := s.GetNear("shop:k"); found {
		t.Error("a copy was served although Redis has not answered for longer than the lag")
	}
	server.Resume()
	warm(t, s, "shop:k", "v")
}

// A copy ends with the connection that it was read over.
func TestCopiesEndWithTheirFeed(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	s := node(t, long, redis.Options{Addresses: server.Addrs()})
	set(t, s, "shop:k", "v")
	warm(t, s, "shop:k", "v")
	ended, fills := s.Stats().Tracker.Ended, s.Stats().Fills
	if _, err := server.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal"); err != nil {
		t.Fatal(err)
	}
	until(t, func() error {
		if s.Stats().Tracker.Ended == ended {
			return errors.New("the feed has not ended")
		}
		return nil
	})
	if _, found := s.GetNear("shop:k"); found {
		t.Error("a copy of the feed that has ended was served")
	}
	warm(t, s, "shop:k", "v")
	if s.Stats().Fills == fills {
		t.Error("the copy of the feed that has ended was served again")
	}
}

// Before all nodes know the lag, no copy is served.
func TestNoCopiesBeforeAgreement(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	far := redis.Options{Addresses: redistest.Start(t).Addrs()}
	s := made(t, long, far).Strategy
	initialise(t, s)
	set(t, s, "shop:k", "v")
	for range 100 {
		cold(t, s, "shop:k", "v")
	}
	if lag := s.Lag(); lag != 0 {
		t.Errorf("Lag = %v, although nobody had the time to hear of the lag", lag)
	}
	within(t, 15*time.Second, func() error { // from now on they wait for it
		if d := driver.FeaturesOf(s).Propagator.Propagation(); d != long.Lag {
			return fmt.Errorf("Propagation = %v", d)
		}
		return nil
	})
}

// Without a published lag, copies are served with coherence: eventual, and nobody waits.
func TestEventual(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	far := redis.Options{Addresses: redistest.Start(t).Addrs()}
	eventual := long
	eventual.Coherence = tiered.Eventual
	a, b := made(t, eventual, far).Strategy, made(t, eventual, far).Strategy
	initialise(t, a)
	initialise(t, b)
	for name, revoke := range revocations {
		set(t, a, "shop:k", "old", "shop:t")
		warm(t, a, "shop:k", "old")
		warm(t, b, "shop:k", "old")
		left, err := revoke(t.Context(), a)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		reads(t, a, "shop:k", left)
		until(t, func() error {
			if value, _, err := b.Get(t.Context(), "shop:k"); string(value) != left || err != nil {
				return errors.Join(errStill, err)
			}
			return nil
		})
	}
	if d := driver.FeaturesOf(a).Propagator.Propagation(); d != 0 {
		t.Errorf("Propagation = %v", d)
	}
}
