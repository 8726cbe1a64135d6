package cache_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
)

// foreign are entries that this Service did not write. valid is what it writes for "value", as JSON.
func foreign(t testing.TB) map[string][]byte {
	t.Helper()
	written := func(value any, options cache.Options) []byte {
		strategy := new(table)
		service := start(t, strategy, options)
		mustSet(t, service, "k", value, cache.SetOptions{})
		row, _ := strategy.row("app:k")
		return row.value
	}
	valid := written("value", cache.Options{})
	future := slices.Clone(valid)
	future[0]++
	return map[string][]byte{
		"empty":             {},
		"one byte":          valid[:1],
		"no payload":        valid[:2],
		"truncated":         valid[:len(valid)-1],
		"trailing bytes":    append(slices.Clone(valid), 'x'),
		"future format":     future,
		"no envelope":       valid[2:],
		"text":              []byte("value"),
		"other codec":       written("value", cache.Options{Codec: codec.CBOR{}}),
		"another codec":     written("value", cache.Options{Codec: codec.MessagePack{}}),
		"self-encoded":      written(time.Now(), cache.Options{}),
		"self-encoded text": written(byValue{`"value"`}, cache.Options{}),
		"another type":      written([]int{1}, cache.Options{}),
		"over the limit":    written(strings.Repeat("x", 2000), cache.Options{}),
		"nested too deep":   append(slices.Clone(valid[:2]), bytes.Repeat([]byte("["), 900)...),
		"zeros":             make([]byte, 100),
		"a lot of garbage":  bytes.Repeat([]byte{0xff}, 1000),
	}
}

// A corrupt or foreign entry reads as a miss, is counted, and is deleted: by each way to read it.
func TestForeignEntries(t *testing.T) {
	t.Parallel()
	for name, raw := range foreign(t) {
		for _, kind := range kinds[:2] {
			log := new(logBook)
			strategy := kind.make(t)
			service := start(t, strategy, cache.Options{MaxValueBytes: 1000, Logger: log.logger()})
			c := newCache(t, service, "c", cache.Policy[string]{})
			ctx := t.Context()
			plant := func(key string) {
				t.Helper()
				if err := strategy.Set(ctx, key, raw, cache.SetOptions{TTL: time.Hour}); err != nil {
					t.Fatal(err)
				}
			}
			gone := func(key string) {
				t.Helper()
				if _, found, err := strategy.Get(ctx, key); found || err != nil {
					t.Errorf("%s over %s: it was not deleted: %v, %v", name, kind.name, found, err)
				}
			}
			plant("app:k")
			if found, err := service.Get(ctx, "k", new(string)); found || err != nil {
				t.Errorf("%s over %s: Service.Get = %v, %v", name, kind.name, found, err)
			}
			gone("app:k")
			plant("app:c:k")
			if got, found, err := c.Get(ctx, "k"); got != "" || found || err != nil {
				t.Errorf("%s over %s: Cache.Get = %q, %v, %v", name, kind.name, got, found, err)
			}
			gone("app:c:k")
			plant("app:c:k")
			if got, err := c.GetOrLoad(ctx, "k", value("loaded")); got != "loaded" || err != nil {
				t.Errorf("%s over %s: GetOrLoad = %q, %v", name, kind.name, got, err)
			}
			if got, found, err := c.Get(ctx, "k"); got != "loaded" || !found || err != nil {
				t.Errorf("%s over %s: then Get = %q, %v, %v", name, kind.name, got, found, err)
			}
			stats := service.Stats()
			if stats.Corrupt != 3 || stats.Hits != 1 || stats.Errors != 0 {
				t.Errorf("%s over %s: %+v", name, kind.name, stats)
			}
			if stats.Misses != 3 {
				t.Errorf("%s over %s: Misses = %d, want 3: corrupt entries count as misses, too", name, kind.name, stats.Misses)
			}
			if log.count("could not be decoded") != 1 {
				t.Errorf("%s over %s: logged\n%s", name, kind.name, log)
			}
		}
	}
}

// An entry that goes bad between the first look of GetOrLoad and the one under the lease.
func TestForeignEntryUnderTheLease(t *testing.T) {
	t.Parallel()
	for _, raw := range [][]byte{{}, []byte("garbage")} {
		service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		recorder.Before("get_or_lease", func(ctx context.Context, key string) {
			recorder.Before("get_or_lease", nil)
			if err := strategy.Set(ctx, key, raw, cache.SetOptions{TTL: time.Hour}); err != nil {
				t.Error(err)
			}
		})
		if got, err := c.GetOrLoad(t.Context(), "k", value(1)); got != 1 || err != nil {
			t.Errorf("GetOrLoad = %v, %v", got, err)
		}
		if got, found, err := c.Get(t.Context(), "k"); got != 1 || !found || err != nil {
			t.Errorf("Get = %v, %v, %v: the load had no lease", got, found, err)
		}
		if stats := service.Stats(); stats.Corrupt != 1 || stats.LeaseTimeouts != 0 {
			t.Errorf("%+v", stats)
		}
	}
}

// brittle is a Codec whose decoder panics.
type brittle struct{ cache.JSON }

func (brittle) Unmarshal([]byte, any) error { panic("bug") }

// A decoder that panics on an entry makes it a miss.
func TestDecoderPanics(t *testing.T) {
	t.Parallel()
	strategy := new(table)
	service := start(t, strategy, cache.Options{Codec: brittle{}})
	self := []byte{1, 0, 'x'} // an envelope of a type that encodes itself
	mustSet(t, service, "k", 1, cache.SetOptions{})
	row, _ := strategy.row("app:k")
	values := newCache(t, service, "values", cache.Policy[panics]{})
	pointers := newCache(t, service, "pointers", cache.Policy[*panics]{})
	for name, test := range map[string]struct {
		key  string
		raw  []byte
		read func() (bool, error)
	}{
		"codec":             {"app:k", row.value, func() (bool, error) { return service.Get(t.Context(), "k", new(int)) }},
		"type":              {"app:k", self, func() (bool, error) { return service.Get(t.Context(), "k", new(panics)) }},
		"Cache":             {"app:values:k", self, func() (bool, error) { _, found, err := values.Get(t.Context(), "k"); return found, err }},
		"Cache of pointers": {"app:pointers:k", self, func() (bool, error) { _, found, err := pointers.Get(t.Context(), "k"); return found, err }},
	} {
		if err := strategy.Set(t.Context(), test.key, test.raw, cache.SetOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if found, err := test.read(); found || err != nil {
			t.Errorf("%s: Get = %v, %v", name, found, err)
		}
		if _, kept := strategy.row(test.key); kept {
			t.Errorf("%s: the entry is still there", name)
		}
	}
	if n := service.Stats().Corrupt; n != 4 {
		t.Errorf("Corrupt = %d", n)
	}
}

// Whatever bytes a storage returns: no panic, no error, and no value that is not theirs.
func FuzzServiceGet(f *testing.F) {
	for _, raw := range foreign(f) {
		f.Add(raw)
	}
	for _, tag := range []byte{0, foreign(f)["no payload"][1]} { // that of types that encode themselves, and of JSON
		for _, raw := range [][]byte{{2, tag}, {2, tag, 'x'}, {5, tag}, {5, tag, 'x'}} {
			f.Add(raw)
		}
		timed := []byte{4, tag, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
		f.Add(timed)
		f.Add(append(timed, 'x'))
	}
	type services struct {
		strategy *table
		service  *cache.Service
	}
	var all []services
	for _, name := range codec.Names() {
		chosen, err := codec.ByName(name)
		if err != nil {
			f.Fatal(err)
		}
		strategy := new(table)
		all = append(all, services{strategy, start(f, strategy, cache.Options{Codec: chosen})})
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ctx := context.Background()
		for _, s := range all {
			for _, target := range []any{new(int), new(string), new(*point), new(any), new(map[string]any), new(time.Time), new(*byPointer), new(owning)} {
				if err := s.strategy.Set(ctx, "app:k", raw, cache.SetOptions{TTL: time.Hour}); err != nil {
					t.Fatal(err)
				}
				found, err := s.service.Get(ctx, "k", target)
				if err != nil {
					t.Errorf("%T: %v", target, err)
				}
				// What is past its TTL, or says that there is nothing, is kept though it is no hit.
				known := len(raw) >= 14 && (raw[0] == 3 || raw[0] == 4) || len(raw) == 2 && raw[0] == 5
				if _, kept := s.strategy.row("app:k"); kept != found && (!kept || !known) {
					t.Errorf("%T: found = %v, kept = %v", target, found, kept)
				}
				_, pointer := target.(**byPointer)
				plain, timed := len(raw) >= 2 && raw[0] == 1, len(raw) >= 14 && raw[0] == 3
				null := string(raw) == "\x02\x00" || len(raw) == 14 && raw[0] == 4
				if found && !plain && !timed && (!pointer || !null) {
					t.Errorf("%T: % x is a hit", target, raw)
				}
			}
		}
	})
}

// Random bytes behind a valid envelope, in any run of the tests and not only when fuzzing.
func TestRandomBytes(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for _, name := range codec.Names() {
		chosen, err := codec.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		strategy := new(table)
		service := start(t, strategy, cache.Options{Codec: chosen})
		mustSet(t, service, "k", 1, cache.SetOptions{})
		row, _ := strategy.row("app:k")
		envelope := row.value[:2]
		for range 3000 {
			raw := slices.Clone(envelope)
			for range random.IntN(40) {
				raw = append(raw, byte(random.Uint32()))
			}
			if err := strategy.Set(t.Context(), "app:k", raw, cache.SetOptions{TTL: time.Hour}); err != nil {
				t.Fatal(err)
			}
			var target struct {
				A any
				B map[string][]int
				C *time.Time
			}
			if _, err := service.Get(t.Context(), "k", &target); err != nil {
				t.Fatalf("seed %d, %s: % x: %v", seed, name, raw, err)
			}
		}
	}
}
