package bigcache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/allegro/bigcache/v3"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// watched is a hasher that tells of each use. bigcache asks it just before it does anything.
type watched struct {
	bigcache.Hasher
	before func(key string)
}

func (w *watched) Sum64(key string) uint64 {
	if w.before != nil {
		w.before(key)
	}
	return w.Hasher.Sum64(key)
}

// crowded is a strategy with one shard, in which push evicts a key without giving it its second
// chance yet.
type crowded struct {
	*testing.T
	*Strategy
	clock  *drivertest.Clock
	hasher *watched
	n      int
}

func crowd(t *testing.T) *crowded {
	t.Helper()
	clock := drivertest.NewClock(time.Now())
	strategy, err := New(Options{MaxSize: 2 * driver.MiB, Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := strategy.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Clock: clock, MaxValueBytes: 100 * driver.KiB})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = strategy.Destroy(context.Background()) })
	c := &crowded{T: t, Strategy: strategy, clock: clock}
	old := strategy.store.Load()
	c.hasher = &watched{Hasher: hasher{seed: maphash.MakeSeed()}}
	st, err := newStore(old.layout, clock, old.fence, old.names, c.hasher)
	if err != nil {
		t.Fatal(err)
	}
	strategy.store.Store(st)
	return c
}

func (c *crowded) opts() driver.SetOptions {
	return driver.SetOptions{TTL: time.Hour, Tags: []string{"tag"}}
}

func (c *crowded) set(key, value string) {
	c.Helper()
	if err := c.Set(c.Context(), key, []byte(value), c.opts()); err != nil {
		c.Fatal(err)
	}
}

// push writes until key was evicted.
func (c *crowded) push(key string) {
	c.Helper()
	st := c.store.Load()
	for range 1000 {
		c.n++
		if err := st.entries.Set(fmt.Sprint("other", c.n), make([]byte, 10_000)); err != nil {
			c.Fatal(err)
		}
		if st.await(key) != nil {
			return
		}
	}
	c.Fatalf("%s was not evicted", key)
}

// settle gives everything its second chance.
func (c *crowded) settle() {
	c.Helper()
	st := c.store.Load()
	for i := range st.parts {
		st.readmit(&st.parts[i])
	}
	if n := st.waiting.Load(); n != 0 {
		c.Errorf("%d entries still wait", n)
	}
}

func (c *crowded) want(value string, found bool) {
	c.Helper()
	got, ok, err := c.Get(c.Context(), "key")
	if err != nil || ok != found || string(got) != value {
		c.Errorf("Get: %q, found %t, error %v; want %q, found %t", got, ok, err, value, found)
	}
}

// What was evicted and waits for its second chance is subject to everything that happens
// meanwhile.
func TestWhileItWaits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		meanwhile func(*crowded) error
		value     string
		found     bool
	}{
		"nothing":          {func(*crowded) error { return nil }, "old", true},
		"Delete":           {func(c *crowded) error { return c.Delete(c.Context(), "key") }, "", false},
		"Delete of others": {func(c *crowded) error { return c.Delete(c.Context(), "kex") }, "old", true},
		"InvalidateTags":   {func(c *crowded) error { return c.InvalidateTags(c.Context(), "tag") }, "", false},
		"another tag":      {func(c *crowded) error { return c.InvalidateTags(c.Context(), "tug") }, "old", true},
		"Clear":            {func(c *crowded) error { return c.Clear(c.Context()) }, "", false},
		"Set":              {func(c *crowded) error { return c.Set(c.Context(), "key", []byte("new"), c.opts()) }, "new", true},
		"a refused Set": {func(c *crowded) error {
			if err := c.Set(c.Context(), "key", make([]byte, driver.MiB), c.opts()); !errors.Is(err, driver.ErrValueTooLarge) {
				return fmt.Errorf("a value of 1 MiB: %w", err)
			}
			return nil
		}, "", false},
		"Fill": {func(c *crowded) error {
			lease, err := c.Lease(c.Context(), "key")
			if err != nil {
				return err
			}
			_, err = c.Fill(c.Context(), lease, []byte("new"), c.opts())
			return err
		}, "new", true},
		"its end": {func(c *crowded) error { c.clock.Advance(time.Hour); return nil }, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := crowd(t)
			c.set("key", "old")
			c.push("key")
			c.want("old", true)
			if err := test.meanwhile(c); err != nil {
				t.Fatal(err)
			}
			c.want(test.value, test.found)
			c.settle()
			c.want(test.value, test.found)
		})
	}
}

// An entry that is evicted just before it is overwritten must not come back over its successor.
func TestEvictedJustBeforeItsSuccessor(t *testing.T) {
	t.Parallel()
	c := crowd(t)
	c.set("key", "old")
	evicted := false
	c.hasher.before = func(key string) {
		if key == "key" && !evicted {
			evicted = true
			c.push("key")
		}
	}
	c.set("key", "new")
	c.hasher.before = nil
	if !evicted {
		t.Fatal("bigcache no longer asks the hasher first: the test shows nothing")
	}
	c.want("new", true)
	c.settle()
	c.want("new", true)
	if err := c.Delete(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	c.settle()
	c.want("", false)
}

// A Delete that comes while an entry gets its second chance waits, and takes effect.
func TestDeletedDuringItsSecondChance(t *testing.T) {
	t.Parallel()
	c := crowd(t)
	c.set("key", "old")
	c.push("key")
	deleted := make(chan error, 1)
	c.hasher.before = func(key string) {
		if key != "key" || c.store.Load().waiting.Load() > 0 {
			return
		}
		c.hasher.before = nil // the entry no longer waits, and is not back yet
		go func() { deleted <- c.Delete(context.Background(), key) }()
		select {
		case err := <-deleted:
			deleted <- err
		case <-time.After(100 * time.Millisecond): // it waits
		}
	}
	c.settle()
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	c.want("", false)
}

// A second chance is no write: the lease that is out stays good.
func TestSecondChanceLeavesLeases(t *testing.T) {
	t.Parallel()
	c := crowd(t)
	c.set("key", "old")
	lease, err := c.Lease(t.Context(), "key")
	if err != nil || lease == nil {
		t.Fatalf("Lease: %v, %v", lease, err)
	}
	c.push("key")
	c.settle()
	if stored, err := c.Fill(t.Context(), lease, []byte("new"), c.opts()); err != nil || !stored {
		t.Errorf("Fill: stored %t, %v", stored, err)
	}
	c.want("new", true)
}

// If everything is alive, the oldest entries go, and what a write costs is bounded.
func TestNoSecondChanceIfAllIsAlive(t *testing.T) {
	t.Parallel()
	c := crowd(t)
	st := c.store.Load()
	writes := 0
	c.hasher.before = func(string) { writes++ }
	const entries = 10_000
	for i := range entries {
		c.set(fmt.Sprint(i), string(make([]byte, 1000)))
	}
	// Each Set asks five times or so. Those of the first round may all get a second chance.
	if limit := 12 * entries; writes > limit {
		t.Errorf("%d uses of the hasher for %d writes, want at most %d", writes, entries, limit)
	}
	if credit := st.parts[0].credit.Load(); credit > st.maxCredit/4 {
		t.Errorf("a credit of %d bytes, want little", credit)
	}
	for i := entries - 300; i < entries; i++ {
		if _, found, err := c.Get(t.Context(), fmt.Sprint(i)); err != nil || !found {
			t.Errorf("entry %d of %d: found %t, %v; want the newest", i, entries, found, err)
		}
	}
}

// Writers of their own keys, in a cache that is always full, and readers of all: no value is older
// than one whose Set had returned, none is back after Delete, and none is mixed from two.
func TestCrowdedRaces(t *testing.T) {
	t.Parallel()
	const keys, rounds = 24, 600
	strategy := opened(t, Options{MaxSize: 8 * driver.MiB})
	if strategy.store.Load().chunks == 0 {
		t.Fatal("large values are not divided: the test shows less")
	}
	var acknowledged [keys]atomic.Uint64 // 2 × version, + 1 if it was deleted
	var writers, readers sync.WaitGroup
	var stop atomic.Bool
	for k := range keys {
		random := rand.New(rand.NewPCG(uint64(k), 1))
		key := fmt.Sprint("key", k)
		writers.Go(func() {
			for version := uint64(1); version <= rounds; version++ {
				value := bytes.Repeat(binary.LittleEndian.AppendUint64(nil, version), 1+random.IntN(1<<random.IntN(15)))
				if err := strategy.Set(t.Context(), key, value, driver.SetOptions{TTL: time.Hour}); err != nil {
					t.Error(err)
				}
				acknowledged[k].Store(2 * version)
				if random.IntN(3) == 0 {
					if err := strategy.Delete(t.Context(), key); err != nil {
						t.Error(err)
					}
					acknowledged[k].Store(2*version + 1)
				}
			}
		})
	}
	for r := range 2 {
		random := rand.New(rand.NewPCG(uint64(r), 2))
		readers.Go(func() {
			for hits := 0; !stop.Load() || hits == 0; {
				k := random.IntN(keys)
				want := acknowledged[k].Load()
				value, found, err := strategy.Get(t.Context(), fmt.Sprint("key", k))
				if err != nil {
					t.Error(err)
				}
				if !found {
					continue
				}
				hits++
				version := binary.LittleEndian.Uint64(value)
				if 2*version < want {
					t.Errorf("key %d: version %d, although %d/2 was acknowledged", k, version, want)
				}
				if !bytes.Equal(value, bytes.Repeat(value[:8], len(value)/8)) {
					t.Errorf("key %d: a mixed value", k)
				}
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
}
