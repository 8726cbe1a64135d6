package cache_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// envelope is the length of an entry's header.
const envelope = 6

// unreadable returns entries that this Service did not write. valid is the entry that it writes for
// "value", as JSON.
func unreadable(t testing.TB) (damaged, foreign map[string][]byte) {
	t.Helper()
	written := func(value any, options cache.Options) []byte {
		strategy := new(table)
		service := start(t, strategy, options)
		mustSet(t, service, "k", value, cache.SetOptions{})
		row, _ := strategy.row("app::k")
		return row.value
	}
	valid := written("value", cache.Options{})
	with := func(format byte) []byte { return append([]byte{format}, valid[1:]...) }
	return map[string][]byte{
			"empty":            {},
			"one byte":         valid[:1],
			"half an envelope": valid[:4],
			"no payload":       valid[:envelope],
			"truncated":        valid[:len(valid)-1],
			"trailing bytes":   append(slices.Clone(valid), 'x'),
			"over the limit":   written(strings.Repeat("x", 2000), cache.Options{}),
			"nested too deep":  append(slices.Clone(valid[:envelope]), bytes.Repeat([]byte("["), 900)...),
			"nil and more":     with(7),
		}, map[string][]byte{
			"future format":     with(11),
			"past format":       with(5),
			"no envelope":       valid[envelope:],
			"text":              []byte("value"),
			"other codec":       written("value", cache.Options{Codec: codec.CBOR{}}),
			"another codec":     written("value", cache.Options{Codec: codec.MessagePack{}}),
			"self-encoded":      written(time.Now(), cache.Options{}),
			"self-encoded text": written(byValue{`"value"`}, cache.Options{}),
			"another type":      written([]int{1}, cache.Options{}),
			"zeros":             make([]byte, 100),
			"a lot of garbage":  bytes.Repeat([]byte{0xff}, 1000),
		}
}

// An entry that cannot be read is a miss, however it is read. A damaged one is counted as corrupt
// and deleted. One of another release is counted as foreign, and stays until a fill replaces it.
func TestUnreadableEntries(t *testing.T) {
	t.Parallel()
	damaged, foreign := unreadable(t)
	for name, raw := range damaged {
		unreadableEntry(t, name, raw, true)
	}
	for name, raw := range foreign {
		unreadableEntry(t, name, raw, false)
	}
}

func unreadableEntry(t *testing.T, name string, raw []byte, damaged bool) {
	for _, kind := range kinds[:2] {
		name := name + " over " + kind.name
		log := new(logBook)
		strategy, recorder := drivertest.Record(kind.make(t))
		service := start(t, strategy, cache.Options{MaxValueBytes: 1000, Logger: log.logger()})
		c := newCache(t, service, "c", cache.Policy[string]{})
		ctx := t.Context()
		plant := func(key string) {
			t.Helper()
			if err := strategy.Set(ctx, key, raw, cache.SetOptions{TTL: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		left := func(key string) {
			t.Helper()
			if kept, found, err := strategy.Get(ctx, key); found == damaged || found && !bytes.Equal(kept, raw) || err != nil {
				t.Errorf("%s: it is still there: %v, %v", name, found, err)
			}
		}
		plant("app::k")
		if found, err := service.Get(ctx, "k", new(string)); found || err != nil {
			t.Errorf("%s: Service.Get = %v, %v", name, found, err)
		}
		left("app::k")
		plant("app:c:k")
		if got, found, err := c.Get(ctx, "k"); got != "" || found || err != nil {
			t.Errorf("%s: Cache.Get = %q, %v, %v", name, got, found, err)
		}
		left("app:c:k")
		plant("app:c:k")
		if got, err := c.GetMany(ctx, "k"); len(got) != 0 || err != nil {
			t.Errorf("%s: Cache.GetMany = %q, %v", name, got, err)
		}
		left("app:c:k")
		plant("app:c:k")
		before := service.Stats()
		recorder.Reset()
		if got, err := c.GetOrLoad(ctx, "k", value("loaded")); got != "loaded" || err != nil {
			t.Errorf("%s: GetOrLoad = %q, %v", name, got, err)
		}
		if n := recorder.Count(drivertest.OpDelete); (n > 0) != damaged {
			t.Errorf("%s: GetOrLoad deletes %d times", name, n)
		}
		if got, found, err := c.Get(ctx, "k"); got != "loaded" || !found || err != nil {
			t.Errorf("%s: then Get = %q, %v, %v", name, got, found, err)
		}
		stats := service.Stats()
		if stats.Hits != 1 || stats.Errors != 0 || stats.LeaseTimeouts != 0 || stats.PendingRevocations != 0 {
			t.Errorf("%s: %+v", name, stats)
		}
		for i, s := range []cache.Stats{before, stats} {
			met, other := s.Foreign, s.Corrupt
			if damaged {
				met, other = s.Corrupt, s.Foreign
			}
			// The read under the lease finds the foreign entry once more.
			if want := uint64(3 + i); met != want && (damaged || met != want+uint64(i)) || other != 0 || s.Misses != met {
				t.Errorf("%s: %+v: %d met, and %d others, want %d and 0, all of them misses", name, s, met, other, want)
			}
		}
		if n := log.count("could not be decoded"); n > 0 != damaged || n > 1 {
			t.Errorf("%s: logged\n%s", name, log)
		}
	}
}

// An entry becomes unreadable between the first read of GetOrLoad and the read under the lease.
func TestForeignEntryUnderTheLease(t *testing.T) {
	t.Parallel()
	damaged, foreign := unreadable(t)
	for _, raw := range [][]byte{damaged["empty"], damaged["no payload"], foreign["text"], foreign["another type"]} {
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
		if stats := service.Stats(); stats.Corrupt+stats.Foreign != 1 || stats.LeaseTimeouts != 0 {
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
	mustSet(t, service, "k", 1, cache.SetOptions{})
	row, _ := strategy.row("app::k")
	values := newCache(t, service, "values", cache.Policy[panics]{})
	pointers := newCache(t, service, "pointers", cache.Policy[*panics]{})
	// Entries of types that encode themselves begin like entries of nil. Only the format differs.
	mustSet(t, service, "nil", (*panics)(nil), cache.SetOptions{})
	if err := pointers.Set(t.Context(), "nil", nil); err != nil {
		t.Fatal(err)
	}
	self := func(key string) []byte {
		row, _ := strategy.row(key)
		return append([]byte{6}, append(row.value[1:envelope], 'x')...)
	}
	for name, test := range map[string]struct {
		key  string
		raw  []byte
		read func() (bool, error)
	}{
		"codec":             {"app::k", row.value, func() (bool, error) { return service.Get(t.Context(), "k", new(int)) }},
		"type":              {"app::k", self("app::nil"), func() (bool, error) { return service.Get(t.Context(), "k", new(panics)) }},
		"Cache":             {"app:values:k", self("app::nil"), func() (bool, error) { _, found, err := values.Get(t.Context(), "k"); return found, err }},
		"Cache of pointers": {"app:pointers:k", self("app:pointers:nil"), func() (bool, error) { _, found, err := pointers.Get(t.Context(), "k"); return found, err }},
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

// Whatever bytes a storage returns, there is no panic, no error and no wrong value, and no foreign
// entry is deleted. If the second byte is even, the fuzzer's input is the format and the payload of
// an entry of the type that is read.
func FuzzServiceGet(f *testing.F) {
	damaged, foreign := unreadable(f)
	for _, raw := range damaged {
		f.Add(raw)
		if len(raw) > envelope {
			f.Add(append([]byte{raw[0], 0}, raw[envelope:]...))
		}
	}
	for _, raw := range foreign {
		f.Add(raw)
	}
	for format := range byte(12) {
		f.Add([]byte{format, 0})
		f.Add([]byte{format, 0, 'x'})
		f.Add([]byte{format, 0, '7'})
		f.Add([]byte{format, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
		f.Add([]byte{format, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, '7'})
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
		if strings.HasSuffix(name, "+zstd") { // to it, a first byte that it does not know is foreign too
			continue
		}
		strategy := new(table)
		all = append(all, services{strategy, start(f, strategy, cache.Options{Codec: chosen})})
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		ctx := context.Background()
		for _, s := range all {
			for _, target := range []any{new(int), new(string), new(*point), new(any), new(map[string]any), new(time.Time), new(*byPointer), new(owning)} {
				mustSet(t, s.service, "k", reflect.ValueOf(target).Elem().Interface(), cache.SetOptions{})
				own, _ := s.strategy.row("app::k")
				raw := input
				if len(input) > 1 && input[1]%2 == 0 {
					raw = slices.Concat(input[:1], own.value[1:envelope], input[2:])
				}
				if err := s.strategy.Set(ctx, "app::k", raw, cache.SetOptions{TTL: time.Hour}); err != nil {
					t.Fatal(err)
				}
				found, err := s.service.Get(ctx, "k", target)
				if err != nil {
					t.Errorf("%T: %v", target, err)
				}
				_, anything := target.(*any)
				foreign := len(raw) > 0 && (raw[0] < 6 || raw[0] > 10) || len(raw) >= envelope &&
					(raw[1] != own.value[1] || !anything && string(raw[2:envelope]) != string(own.value[2:envelope]))
				if _, kept := s.strategy.row("app::k"); kept != (found || foreign) || found && foreign {
					t.Errorf("%T: % x: found %v, kept %v, foreign %v", target, raw, found, kept, foreign)
				}
				_, pointer := target.(**byPointer)
				if found && raw[0] != 6 && (!pointer || raw[0] != 7 || len(raw) > envelope) {
					t.Errorf("%T: % x is a hit", target, raw)
				}
			}
		}
	})
}

// Random bytes follow a valid header. This runs with every go test, and not only when fuzzing.
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
		var target struct {
			A any
			B map[string][]int
			C *time.Time
		}
		mustSet(t, service, "k", target, cache.SetOptions{})
		row, _ := strategy.row("app::k")
		for range 3000 {
			raw := slices.Clone(row.value[:envelope])
			for range random.IntN(40) {
				raw = append(raw, byte(random.Uint32()))
			}
			if err := strategy.Set(t.Context(), "app::k", raw, cache.SetOptions{TTL: time.Hour}); err != nil {
				t.Fatal(err)
			}
			if _, err := service.Get(t.Context(), "k", &target); err != nil {
				t.Fatalf("seed %d, %s: % x: %v", seed, name, raw, err)
			}
		}
	}
}
