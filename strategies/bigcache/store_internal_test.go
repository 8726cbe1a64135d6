package bigcache

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/allegro/bigcache/v3"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// These tests look below the surface: they replace the hasher, and ask bigcache itself.

// constant is a hasher under which all keys collide.
type constant uint64

func (c constant) Sum64(string) uint64 { return uint64(c) }

// colliding returns a strategy in which every key is stored in the same place.
func colliding(t *testing.T) *Strategy {
	t.Helper()
	s := opened(t, Options{MaxSize: 4 * driver.MiB})
	old := s.store.Load()
	layout := old.layout
	layout.shards, layout.megabytes = 1, 1
	st, err := newStore(layout, old.clock, old.fence, old.names, constant(7))
	if err != nil {
		t.Fatal(err)
	}
	s.store.Store(st)
	return s
}

func opened(t *testing.T, options Options) *Strategy {
	t.Helper()
	s, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Destroy(context.Background()) })
	return s
}

// A Set evicts the entry of a colliding key, and Delete removes it: that may cost a hit, but never
// shows one key's value under another, and never brings a deleted one back.
func TestCollidingKeys(t *testing.T) {
	t.Parallel()
	s, ctx := colliding(t), t.Context()
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{}
	hits := 0
	for i := range 20_000 {
		key := fmt.Sprint("key", random.IntN(4))
		switch random.IntN(5) {
		case 0, 1:
			want[key] = fmt.Sprint(key, "=", i)
			if err := s.Set(ctx, key, []byte(want[key]), driver.SetOptions{TTL: time.Hour, Tags: []string{key}}); err != nil {
				t.Fatal(err)
			}
			if value, found, err := s.Get(ctx, key); err != nil || !found || string(value) != want[key] {
				t.Fatalf("Get just after Set: %q, found %t, error %v", value, found, err)
			}
		case 2:
			want[key] = ""
			if err := s.Delete(ctx, key); err != nil {
				t.Fatal(err)
			}
		case 3:
			want[key] = ""
			if err := s.InvalidateTags(ctx, key); err != nil {
				t.Fatal(err)
			}
		}
		value, found, err := s.Get(ctx, key)
		if err != nil || found && string(value) != want[key] {
			t.Fatalf("Get(%s) = %q, found %t, error %v; want a miss or %q", key, value, found, err, want[key])
		}
		if found {
			hits++
		}
	}
	if hits == 0 {
		t.Error("nothing was ever found: the test shows nothing")
	}
}

// Two keys that collide under bigcache's own hash, FNV-1a, evict one another there. Ours is seeded.
func TestHashIsSeeded(t *testing.T) {
	t.Parallel()
	const one, two = "8yn0iYCKYHlIj4-BwPqk", "GReLUrM4wMqfg9yzV3KQ"
	raw, err := bigcache.New(t.Context(), bigcache.Config{Shards: 1, LifeWindow: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	s, ctx := opened(t, Options{}), t.Context()
	for _, key := range []string{one, two} {
		if err := raw.Set(key, []byte(key)); err != nil {
			t.Fatal(err)
		}
		if err := s.Set(ctx, key, []byte(key), driver.SetOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := raw.Get(one); err == nil {
		t.Error("the keys do not collide under bigcache's hash: the test shows nothing")
	}
	if value, found, err := s.Get(ctx, one); err != nil || !found || string(value) != one {
		t.Errorf("Get: %q, found %t, error %v; want the first of two keys that collide under FNV-1a", value, found, err)
	}
	first, second := hasher{seed: maphash.MakeSeed()}, hasher{seed: maphash.MakeSeed()}
	if first.Sum64(one) == second.Sum64(one) {
		t.Error("two instances hash alike")
	}
}

// Why hasher never returns 0: bigcache takes an entry of that hash for a deleted one, and leaves
// its key in the index when the entry goes. Delete then removes whatever is stored there now.
func TestHashZeroIsTheTrap(t *testing.T) {
	t.Parallel()
	const zero = "77kepQFQ8Kl" // its FNV-1a is 0
	raw, err := bigcache.New(t.Context(), bigcache.Config{Shards: 1, HardMaxCacheSize: 1, LifeWindow: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Set(zero, []byte("v")); err != nil {
		t.Fatal(err)
	}
	for i := range 100 { // which evicts it, and overwrites where it was
		if err := raw.Set(fmt.Sprint("key", i), make([]byte, 50_000)); err != nil {
			t.Fatal(err)
		}
	}
	// Should bigcache ever be cured of this, the guard can go.
	if err := raw.Delete(zero); err != nil {
		t.Errorf("Delete of an evicted key with hash 0: %v; it is no longer in the index", err)
	}
}

// Statistics for each key would take the shard's write lock on every hit.
func TestStatsAreOff(t *testing.T) {
	t.Parallel()
	s, ctx := opened(t, Options{}), t.Context()
	if err := s.Set(ctx, "key", []byte("v"), driver.SetOptions{TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, found, err := s.Get(ctx, "key"); err != nil || !found {
			t.Fatalf("Get: found %t, error %v", found, err)
		}
	}
	if n := s.store.Load().entries.KeyMetadata("key").RequestCount; n != 0 {
		t.Errorf("bigcache counted %d requests of a key; want StatsEnabled off", n)
	}
}

// What is in bigcache and not ours is an error, not a hit and not a panic.
func TestDamagedEntry(t *testing.T) {
	t.Parallel()
	s := opened(t, Options{})
	long := appendEntry(nil, entryFormat, nil, 1<<60, 0, []uint64{1, 2, 3})
	for name, raw := range map[string][]byte{
		"empty":                 {},
		"short":                 long[:headerBytes-1],
		"cut within the tags":   long[:headerBytes+2*tagBytes],
		"of another format":     append([]byte{chunkFormat + 1}, long[1:]...),
		"a chunk":               appendChunk(nil, "key", 1, []byte("data")),
		"a head without id":     append([]byte{headFormat}, long[1:]...),
		"claims too many tags":  append([]byte{entryFormat, 0xff, 0xff}, long[3:]...),
		"a single byte of ours": {entryFormat},
	} {
		if err := s.store.Load().entries.Set(name, raw); err != nil {
			t.Fatal(err)
		}
		if value, found, err := s.Get(t.Context(), name); found || err == nil {
			t.Errorf("Get of an entry that is %s: %q, found %t, error %v; want an error", name, value, found, err)
		}
		if err := s.Delete(t.Context(), name); err != nil {
			t.Error(err)
		}
		if _, found, err := s.Get(t.Context(), name); found || err != nil {
			t.Errorf("Get after Delete: found %t, error %v", found, err)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add(appendEntry(nil, entryFormat, []byte("value"), 1, 2, []uint64{3}))
	f.Add(appendEntry(nil, headFormat, appendHead(nil, 4, 5), 1, 2, nil))
	f.Add(appendChunk(nil, "key", 6, []byte("data")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if e := entry(raw); e.isChunk() && string(appendChunk(nil, e.chunkOf(), e.id(), e.data())) != string(raw) {
			t.Errorf("%x reads as another chunk", raw)
		}
		if e := entry(raw); e.valid() {
			again := appendEntry(nil, raw[0], e.value(), e.expiry(), e.sequence(), e.appendTags(nil))
			if string(again) != string(raw) {
				t.Errorf("%x reads as %x", raw, again)
			}
		}
	})
}

// Memory that grows after an eviction puts the newest entries where the oldest are, and they are
// evicted next. A shard grows after one if it lacks less than the entry that needed room. So the
// memory doubles until it is exactly the shard, and no entry is larger than it is at first.
func TestShardsDoubleUntilTheyAreWhole(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	planned := 0
	for range 100_000 {
		options := Options{MaxSize: driver.MiB + driver.Size(random.Int64N(1<<(21+random.IntN(16)))), Shards: 1 << random.IntN(17)}
		limits := driver.Limits{
			MaxValueBytes: driver.Size(1 + random.IntN(1<<random.IntN(24))),
			MaxKeyBytes:   driver.Size(1 + random.IntN(1<<random.IntN(16))), MaxTags: random.IntN(1 << random.IntN(13)),
		}
		l, err := plan(options, limits)
		if err != nil {
			continue
		}
		planned++
		shard := l.megabytes << 20 / l.shards
		size := l.initial / entriesAtFirst * entriesAtFirst // as bigcache computes it
		if size < l.small {
			t.Fatalf("%+v %+v: a shard begins with %d bytes, an entry may have %d", options, limits, size, l.small)
		}
		for 2*size <= shard {
			size *= 2
		}
		if smallest := overheadBytes + headerBytes; shard-size > smallest {
			t.Fatalf("%+v %+v: a shard of %d bytes stops at %d", options, limits, shard, size)
		}
	}
	if planned < 1000 {
		t.Errorf("%d of 100,000 could be planned: the test compares too little", planned)
	}
}
