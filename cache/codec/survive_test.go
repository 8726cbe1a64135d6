package codec_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// The verdicts about a kind of value.
const (
	comesBack  = "comes back"
	refusedNew = "refused by New"
	refusedSet = "refused by Set"
)

// kind is a kind of value, with the verdict of each codec.
type kind struct {
	name                string
	json, cbor, msgpack string
	try                 func(t *testing.T, service *cache.Service) string
}

// of is a kind that has the same verdict everywhere.
func of[T any](name, verdict string, v T) kind { return by(name, verdict, verdict, verdict, v) }

func by[T any](name, asJSON, asCBOR, asMsgpack string, v T) kind {
	return kind{name: name, json: asJSON, cbor: asCBOR, msgpack: asMsgpack, try: func(t *testing.T, service *cache.Service) string {
		return survives(t, service, v)
	}}
}

// survives stores v in all ways, and says what became of it. Whatever is neither refused nor equal
// is an error.
func survives[T any](t *testing.T, service *cache.Service, v T) string {
	t.Helper()
	untyped := service.Set(t.Context(), "k", v, cache.SetOptions{})
	if untyped == nil && reflect.TypeFor[T]().Kind() != reflect.Interface {
		var got T
		if found, err := service.Get(t.Context(), "k", &got); !found || err != nil || !same(got, v) {
			t.Errorf("Service: stored, and then %v, %v, %#v, want %#v", found, err, got, v)
		}
	}
	c, err := cache.New(service, "c", cache.Policy[T]{})
	if err != nil {
		var option *cache.OptionError
		if !errors.As(err, &option) || !strings.HasPrefix(option.Name, "T") || option.Reason == "" || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("New: %v", err)
		}
		if reflect.TypeFor[T]().Kind() != reflect.Interface && !errors.Is(untyped, cache.ErrEncoding) {
			t.Errorf("New refuses (%v), and Service.Set does not: %v", err, untyped)
		}
		return refusedNew
	}
	verdict := comesBack
	if err := c.Set(t.Context(), "k", v); err != nil {
		if !errors.Is(err, cache.ErrEncoding) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("Set: %v", err)
		}
		verdict = refusedSet
	}
	if got, err := c.GetOrLoad(t.Context(), "loaded", func(context.Context) (T, error) { return v, nil }); err != nil || !same(got, v) {
		t.Errorf("GetOrLoad: %#v, %v", got, err)
	}
	for _, key := range []string{"k", "loaded"} {
		switch got, found, err := c.Get(t.Context(), key); {
		case err != nil, found != (verdict == comesBack):
			t.Errorf("%s, and then Get of %s = %v, %v", verdict, key, found, err)
		case found && !same(got, v):
			t.Errorf("%s: %#v\nwas    %#v", key, got, v)
		}
	}
	if stats := service.Stats(); stats.Corrupt != 0 {
		t.Errorf("stored, and not decoded: %+v", stats)
	}
	return verdict
}

// same is reflect.DeepEqual, except for times, which may change their zone.
func same(a, b any) bool {
	switch x := a.(type) {
	case time.Time:
		return x.Equal(b.(time.Time))
	case box[time.Time]:
		return same(x.V, b.(box[time.Time]).V)
	default:
		return reflect.DeepEqual(a, b)
	}
}

func start(t *testing.T, c cache.Codec) *cache.Service {
	t.Helper()
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 64 << 20, Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	service, err := cache.NewService(strategy, cache.Options{
		Codec: c, Logger: slog.New(slog.DiscardHandler), MeterProvider: metricnoop.NewMeterProvider(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return service
}

func TestWhatSurvives(t *testing.T) {
	t.Parallel()
	for _, c := range []cache.Codec{cache.JSON{}, codec.CBOR{}, codec.MessagePack{}, codec.Compress(cache.JSON{}, 1)} {
		name := c.Name()
		for _, kind := range kindsOfValues() {
			t.Run(name+"/"+kind.name, func(t *testing.T) {
				service := start(t, c)
				want := map[string]string{"json": kind.json, "cbor": kind.cbor, "msgpack": kind.msgpack}[strings.TrimSuffix(name, "+zstd")]
				if got := kind.try(t, service); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			})
		}
	}
}

type (
	plain  struct{ A, B string }
	hidden struct{ secret string }
	mixed  struct{ Name, secret string }
	tagged struct {
		Name string
		Skip string `json:"-"`
	}
	Base   struct{ Name, Other string }
	shadow struct {
		Base
		Name string
	}
	Rest  struct{ Name string }
	twice struct {
		Base
		Rest
	}
	embedsValue  struct{ plain }
	embedsHidden struct {
		hidden
		Name string
	}
	embedsPointer struct{ *plain }
	embedsBase    struct{ *Base }
	word          string
	embedsWord    struct{ word }
	node          struct {
		V    int
		Next *node
	}
	tree       struct{ Kids map[string]tree }
	embedsSelf struct {
		*embedsSelf
		V int
	}
	box[T any] struct{ V T }
	stamped    struct {
		time.Time
		Note string
	}
	withAny struct{ V any }
)

// The encodings that types of applications have.
type (
	binaryPair struct{ v string }
	binaryOnly struct{ V string }
	jsonPair   struct{ v string }
	jsonOnly   struct{ V string }
	jsonBack   struct{ V string }
	textPair   struct{ v string }
	textOnly   struct{ V string }
	id         [16]byte
	textKey    int
	level      string
	onPointer  struct{ v string }
	raw        string
)

func (b binaryPair) MarshalBinary() ([]byte, error)     { return []byte(b.v), nil }
func (b *binaryPair) UnmarshalBinary(data []byte) error { b.v = string(data); return nil }
func (b binaryOnly) MarshalBinary() ([]byte, error)     { return []byte(b.V), nil }
func (j jsonPair) MarshalJSON() ([]byte, error)         { return json.Marshal(j.v) }
func (j *jsonPair) UnmarshalJSON(data []byte) error     { return json.Unmarshal(data, &j.v) }
func (j jsonOnly) MarshalJSON() ([]byte, error)         { return json.Marshal(j.V) }
func (j *jsonBack) UnmarshalJSON(data []byte) error     { return json.Unmarshal(data, &j.V) }
func (x textPair) MarshalText() ([]byte, error)         { return []byte(x.v), nil }
func (x *textPair) UnmarshalText(data []byte) error     { x.v = string(data); return nil }
func (x textOnly) MarshalText() ([]byte, error)         { return []byte(x.V), nil }
func (i id) MarshalText() ([]byte, error)               { return hex.AppendEncode(nil, i[:]), nil }
func (i *id) UnmarshalText(data []byte) error {
	_, err := hex.Decode(i[:], data)
	return err
}
func (k textKey) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "k%d", int(k)), nil }
func (k *textKey) UnmarshalText(data []byte) error {
	_, err := fmt.Sscanf(string(data), "k%d", (*int)(k))
	return err
}
func (l *level) UnmarshalText(data []byte) error {
	*l = level(strings.ToLower(string(data)))
	return nil
}
func (p *onPointer) MarshalJSON() ([]byte, error)    { return json.Marshal(p.v) }
func (p *onPointer) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &p.v) }
func (r raw) MarshalText() ([]byte, error)           { return []byte(r), nil }
func (r *raw) UnmarshalText(data []byte) error       { *r = raw(data); return nil }

func nested(depth int) *node {
	var n *node
	for range depth {
		n = &node{Next: n}
	}
	return n
}

func nestedAny(depth int) any {
	v := any([]any{})
	for range depth - 1 {
		v = []any{v}
	}
	return v
}

func cyclicAny() any {
	v := []any{nil}
	v[0] = v
	return v
}

func cyclic() *node {
	n := &node{}
	n.Next = n
	return n
}

// Around the limit of each codec, a value is refused, or comes back.
func TestDepthLimits(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"json": 10_000, "cbor": 1000, "msgpack": 1000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := codec.ByName(name)
			if err != nil {
				t.Fatal(err)
			}
			for depth := limit - 4; depth <= limit+4; depth++ {
				verdicts := []string{
					survives(t, start(t, c), nested(depth)), survives(t, start(t, c), nestedAny(depth)),
					survives(t, start(t, c), box[any]{nestedAny(depth)}), survives(t, start(t, c), selfNested(depth)),
				}
				for i, verdict := range verdicts {
					if depth < limit-3 && verdict != comesBack || depth > limit+2 && verdict != refusedSet {
						t.Errorf("%d, %d levels: %s", i, depth, verdict)
					}
				}
			}
		})
	}
}

// selfNested encodes itself, in each format, as so many arrays.
type selfNested int

func (s selfNested) nest(open, end byte) []byte {
	return append(bytes.Repeat([]byte{open}, int(s)), bytes.Repeat([]byte{end}, int(s))...)
}
func (s selfNested) MarshalJSON() ([]byte, error)    { return s.nest('[', ']'), nil }
func (s selfNested) MarshalCBOR() ([]byte, error)    { return append(s.nest(0x81, 0)[:s-1], 0x80), nil }
func (s selfNested) MarshalMsgpack() ([]byte, error) { return append(s.nest(0x91, 0)[:s-1], 0x90), nil }
func (s *selfNested) UnmarshalJSON(data []byte) error {
	*s = selfNested(bytes.Count(data, []byte{'['}))
	return nil
}
func (s *selfNested) UnmarshalCBOR(data []byte) error    { *s = selfNested(len(data)); return nil }
func (s *selfNested) UnmarshalMsgpack(data []byte) error { *s = selfNested(len(data)); return nil }

func kindsOfValues() []kind {
	var unset *int
	var unsetSlice []string
	date := time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)
	address := netip.MustParseAddr("10.0.0.1")
	return []kind{
		// what everybody stores
		of("struct", comesBack, plain{"a", "b"}),
		of("pointer", comesBack, &plain{"a", ""}),
		of("nil pointer", comesBack, (*plain)(nil)),
		of("nil field", comesBack, box[*plain]{}),
		of("slice", comesBack, []plain{{"a", "b"}, {}}),
		of("nil slice", comesBack, []string(nil)),
		of("empty slice", comesBack, []string{}),
		of("empty map", comesBack, map[string]int{}),
		of("bytes", comesBack, []byte{0, 0xff, 0xfe}),
		of("empty bytes", comesBack, box[[]byte]{[]byte{}}),
		of("array", comesBack, [2]string{"a", "b"}),
		of("int keys", comesBack, map[int]string{-1: "a", 2: "b"}),
		of("set", comesBack, map[string]struct{}{"a": {}}),
		of("time", comesBack, date),
		of("time in a struct", comesBack, box[time.Time]{date.Local()}),
		of("duration", comesBack, box[time.Duration]{time.Hour}),
		of("big.Int", comesBack, box[*big.Int]{new(big.Int).Lsh(big.NewInt(1), 200)}),
		of("big.Int by value", comesBack, box[big.Int]{*big.NewInt(5)}),
		of("sql.NullString", comesBack, box[sql.NullString]{sql.NullString{String: "a", Valid: true}}),
		of("url.URL", comesBack, url.URL{Scheme: "https", Host: "h", Path: "/p"}),
		of("netip.Addr", comesBack, box[netip.Addr]{address}),
		of("net.IP", comesBack, box[net.IP]{net.IPv4(10, 0, 0, 1)}),
		of("http.Header", comesBack, http.Header{"A": {"b"}}),
		of("RawMessage", comesBack, box[json.RawMessage]{json.RawMessage(`{"a":[1,"\ufffd"]}`)}),
		of("generic", comesBack, box[box[map[string][]int]]{}),
		of("MaxUint64", comesBack, box[uint64]{math.MaxUint64}),
		of("embedded", comesBack, embedsValue{plain{"a", "b"}}),
		of("recursive", comesBack, tree{map[string]tree{"a": {map[string]tree{}}}}),
		of("list", comesBack, nested(100)),
		of("U+FFFD", comesBack, box[string]{"\ufffd \\ufffd"}),
		// what encodes itself
		of("MarshalBinary and UnmarshalBinary", comesBack, binaryPair{"a"}),
		of("pointer to it", comesBack, &binaryPair{"a"}),
		by("within", refusedNew, comesBack, comesBack, box[binaryPair]{binaryPair{"a"}}),
		by("MarshalJSON and UnmarshalJSON", comesBack, refusedNew, refusedNew, jsonPair{"a"}),
		by("MarshalText and UnmarshalText", comesBack, refusedNew, comesBack, []textPair{{"a"}}),
		by("methods of the pointer", comesBack, refusedNew, refusedNew, box[onPointer]{onPointer{"a"}}),
		by("methods of the pointer in a map", refusedNew, refusedNew, refusedNew, map[string]onPointer{"a": {"a"}}),
		by("pointers in a map", comesBack, refusedNew, refusedNew, map[string]*onPointer{"a": {"a"}}),
		of("id", comesBack, map[id]box[id]{{1, 2}: {id{3, 0xff}}}),
		of("text keys", comesBack, map[textKey]string{7: "a"}),
		// in one direction
		by("MarshalBinary only", comesBack, refusedNew, refusedNew, binaryOnly{"a"}),
		by("MarshalJSON only", refusedNew, comesBack, comesBack, box[jsonOnly]{jsonOnly{"a"}}),
		by("MarshalText only", refusedNew, comesBack, refusedNew, map[string]textOnly{"a": {"a"}}),
		by("UnmarshalJSON only", refusedSet, comesBack, comesBack, jsonBack{"a"}),
		by("a key that UnmarshalText changes", refusedSet, comesBack, refusedNew, map[level]int{"A": 1}),
		by("a key that UnmarshalText leaves", comesBack, comesBack, refusedNew, map[level]int{"a": 1}),
		of("promoted MarshalJSON", refusedNew, stamped{date, "SECRET"}),
		of("promoted, within", refusedNew, []*stamped{{date, "SECRET"}}),
		// what is dropped
		of("unexported only", refusedNew, hidden{"SECRET"}),
		of("unexported only, within", refusedNew, box[[]hidden]{[]hidden{{"SECRET"}}}),
		of("unexported", refusedNew, box[mixed]{mixed{"a", "SECRET"}}),
		of("unexported behind a pointer", refusedNew, box[map[string][]*mixed]{}),
		of("tag", refusedNew, tagged{"a", "SECRET"}),
		of("shadowed", refusedNew, shadow{Base{"SECRET", "b"}, "c"}),
		by("one name twice", refusedNew, refusedNew, comesBack, twice{Base{"SECRET", "b"}, Rest{"SECRET"}}),
		of("embedded unexported", refusedNew, embedsHidden{hidden{"SECRET"}, "a"}),
		of("embedded pointer to unexported", refusedNew, embedsPointer{&plain{"SECRET", "b"}}),
		of("embedded unexported string", refusedNew, embedsWord{"SECRET"}),
		of("embedded pointer", comesBack, embedsBase{&Base{"a", "b"}}),
		by("embedded nil pointer", comesBack, comesBack, refusedSet, embedsBase{}),
		of("embedded in itself", refusedNew, embedsSelf{nil, 1}),
		of("mutex", refusedNew, &struct {
			mu   sync.Mutex
			Name string
		}{}),
		// what no codec decodes
		of("interface with methods", refusedNew, box[fmt.Stringer]{date}),
		of("error", refusedNew, box[error]{io.EOF}),
		of("channel", refusedNew, box[chan int]{}),
		of("function", refusedNew, box[func()]{}),
		of("complex", refusedNew, box[complex128]{1}),
		by("bool keys", refusedNew, comesBack, comesBack, map[bool]int{true: 1}),
		by("struct keys", refusedNew, comesBack, comesBack, map[plain]int{{"a", "b"}: 1}),
		of("pointer to nil", refusedSet, &unset),
		of("pointer to a nil slice", refusedSet, box[*[]string]{&unsetSlice}),
		// what interfaces hold
		of("any", comesBack, withAny{map[string]any{"a": []any{"b", 1.5, true, nil}}}),
		of("nil in any", comesBack, any(nil)),
		of("string in any", comesBack, any("a")),
		by("int64 in any", refusedSet, comesBack, comesBack, withAny{int64(math.MaxInt64)}),
		by("uint64 in any", refusedSet, refusedSet, comesBack, withAny{uint64(math.MaxUint64)}),
		by("bytes in any", refusedSet, comesBack, comesBack, withAny{[]byte{1}}),
		of("int in any", refusedSet, map[string]any{"a": []any{1 << 60}}),
		of("json.Number in any", refusedSet, withAny{json.Number("12345678901234567890")}),
		of("struct in any", refusedSet, any(plain{"a", "SECRET"})),
		of("time in any", refusedSet, []any{date}),
		of("typed slice in any", refusedSet, withAny{[]string{"a"}}),
		of("nil slice in any", refusedSet, withAny{[]any(nil)}),
		of("named string in any", refusedSet, withAny{word("a")}),
		by("float32 in any", refusedSet, refusedSet, comesBack, withAny{float32(0.1)}),
		by("map of any to any", refusedNew, comesBack, comesBack, map[any]any{"a": "b"}),
		of("cycle of any", refusedSet, cyclicAny()),
		// strings
		by("invalid UTF-8", refusedSet, comesBack, comesBack, []plain{{"a", "\xff SECRET"}}),
		by("invalid UTF-8 key", refusedSet, comesBack, comesBack, map[string]int{"\xff SECRET": 1}),
		by("invalid UTF-8 in any", refusedSet, comesBack, comesBack, map[string]any{"a": "\xffSECRET"}),
		by("invalid UTF-8 of MarshalText", refusedSet, comesBack, comesBack, []raw{"\xffSECRET"}),
		// depth
		by("a cycle", refusedSet, refusedSet, refusedSet, cyclic()),
		by("2,000 levels", comesBack, refusedSet, refusedSet, nested(2000)),
		of("11,000 levels", refusedSet, nested(11_000)),
		of("11,000 levels of any", refusedSet, nestedAny(11_000)),
		of("100,000 levels", refusedSet, nested(100_000)),
	}
}
