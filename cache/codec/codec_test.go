package codec_test

import (
	"bytes"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
)

type address struct {
	Street string   `json:"street"`
	Lines  []string `json:"lines,omitempty"`
}

type customer struct {
	ID      uint64             `json:"id"`
	Name    string             `json:"name"`
	Balance float64            `json:"balance"`
	Home    *address           `json:"home"`
	Others  map[string]address `json:"others"`
	Photo   []byte             `json:"photo"`
	Created time.Time          `json:"created"`
	Hidden  string             `json:"-"`
}

func example() customer {
	return customer{
		ID: math.MaxUint64, Name: "Zoë <&> \x00", Balance: 0.1, Home: &address{"Main", []string{"", "2"}},
		Others: map[string]address{"": {}, "work": {Street: "Side"}}, Photo: []byte{0, 0xff},
		Created: time.Date(2026, 2, 3, 4, 5, 6, 123456789, time.FixedZone("", 3600)),
	}
}

func each(t *testing.T, check func(t *testing.T, c cache.Codec)) {
	t.Helper()
	for _, name := range codec.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := codec.ByName(name)
			if err != nil {
				t.Fatal(err)
			}
			check(t, c)
		})
	}
}

func TestByName(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c cache.Codec) {
		if !strings.HasSuffix(t.Name(), "/"+c.Name()) {
			t.Errorf("%s is called %s", t.Name(), c.Name())
		}
	})
	for _, name := range []string{"", "JSON", "gob", "+zstd", "zstd", "json+gzip", "json+zstd+zstd"} {
		if c, err := codec.ByName(name); err == nil || c != nil || !strings.Contains(err.Error(), `"cbor" "cbor+zstd" "json" "json+zstd" "msgpack" "msgpack+zstd"]`) {
			t.Errorf("ByName(%q) = %v, %v", name, c, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c cache.Codec) {
		want := example()
		want.Hidden = "not stored"
		data, err := c.Append([]byte("before"), want)
		if err != nil || !bytes.HasPrefix(data, []byte("before")) {
			t.Fatalf("Append = %q, %v", data, err)
		}
		if bytes.Contains(data, []byte("not stored")) || !bytes.Contains(data, []byte("street")) {
			t.Error("the tags of encoding/json are not honoured")
		}
		data = data[len("before"):]
		var got customer
		if err := c.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		clear(data) // V14: the value keeps no reference
		if !got.Created.Equal(want.Created) {
			t.Errorf("times keep their nanoseconds: %v, want %v", got.Created, want.Created)
		}
		got.Created, want.Created, want.Hidden = time.Time{}, time.Time{}, ""
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	})
}

// Every value within max_value_bytes can be read back. Otherwise it would be stored and discarded
// again and again.
func TestWhatEncodesDecodes(t *testing.T) {
	t.Parallel()
	nested := func(depth int) any {
		var v any
		for range depth {
			v = []any{v}
		}
		return v
	}
	keys := map[int]bool{}
	for i := range 200_000 {
		keys[i] = true
	}
	each(t, func(t *testing.T, c cache.Codec) {
		for name, value := range map[string]any{
			"many elements": make([]int8, 200_000), "many keys": keys, "40 levels": nested(40), "no UTF-8": "\xff\xfe",
			"NaN": math.NaN(), "infinity": math.Inf(1), "zero time": time.Time{}, "long ago": time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC),
			"far future": time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC), "nil": nil, "nil map": map[string]int(nil), "text": strings.Repeat("x", 1<<20),
		} {
			data, err := c.Append(nil, value)
			if err != nil {
				continue // refused in time
			}
			target := new(any)
			if value == nil {
				if err := c.Unmarshal(data, target); err != nil || *target != nil {
					t.Errorf("%s: %v, %v", name, *target, err)
				}
				continue
			}
			typed := reflect.New(reflect.TypeOf(value))
			if err := c.Unmarshal(data, typed.Interface()); err != nil {
				t.Errorf("%s encodes, but: %v", name, err)
				continue
			}
			if strings.HasPrefix(c.Name(), "json") && name == "no UTF-8" {
				continue // encoding/json replaces what is not UTF-8
			}
			got := typed.Elem().Interface()
			if f, ok := value.(float64); ok && f != f && got.(float64) != got.(float64) {
				continue
			}
			if wanted, ok := value.(time.Time); ok && wanted.Equal(got.(time.Time)) {
				continue
			}
			if !reflect.DeepEqual(got, value) {
				t.Errorf("%s: another %T was read", name, got)
			}
		}
	})
}

func TestUnencodable(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c cache.Codec) {
		for _, value := range []any{make(chan int), func() {}, struct{ C chan int }{make(chan int)}} {
			if _, err := c.Append(nil, value); err == nil {
				t.Errorf("%T encodes", value)
			}
		}
		if _, err := c.Append(nil, 1); err != nil {
			t.Errorf("after a failure: %v", err)
		}
	})
}

// Damaged data is an error, and not a shorter or another value.
func TestDamage(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c cache.Codec) {
		data, err := c.Append(nil, example())
		if err != nil {
			t.Fatal(err)
		}
		for n := range data {
			if err := c.Unmarshal(data[:n:n], new(customer)); err == nil {
				t.Errorf("the first %d of %d bytes decode", n, len(data))
			}
		}
		for _, more := range []string{"x", "\x00", "\xc0", "{}"} {
			if err := c.Unmarshal(append(data[:len(data):len(data)], more...), new(customer)); err == nil {
				t.Errorf("trailing %q is not noticed", more)
			}
		}
		if err := c.Unmarshal(data, new(int)); err == nil {
			t.Error("a struct decodes into an int")
		}
	})
}

// If a few bytes announce a huge value, the decoder must not allocate it. Otherwise a damaged entry
// could end the process.
func TestAnnouncedSizeIsNotBelieved(t *testing.T) { // not parallel: it measures
	for _, test := range []struct {
		codec string
		data  []byte
	}{
		{"msgpack", []byte{0xdd, 0x00, 0x40, 0x00, 0x00}}, // an array of 4 Mi
		{"msgpack", []byte{0xdf, 0x00, 0x10, 0x00, 0x00}}, // a map of 1 Mi
		{"msgpack", []byte{0xc6, 0x04, 0x00, 0x00, 0x00}}, // 64 MiB of bytes
		{"msgpack", []byte{0xdb, 0x04, 0x00, 0x00, 0x00}}, // a string of 64 MiB
		{"msgpack", []byte{0x91, 0xdd, 0x00, 0x40, 0x00, 0x00}},
		{"cbor", []byte{0x9a, 0x00, 0x40, 0x00, 0x00}},
		{"cbor", []byte{0xba, 0x00, 0x10, 0x00, 0x00}},
		{"cbor", []byte{0x5a, 0x04, 0x00, 0x00, 0x00}},
	} {
		for _, target := range []any{new(any), new([]int), new([]string), new([][8]int), new(map[string]int), new(map[string]any), new([]byte), new(string), new([][]int)} {
			c, err := codec.ByName(test.codec)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err = c.Unmarshal(test.data, target)
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; err == nil || grown > 4<<20 {
				t.Errorf("%s % x into %T: %v, and %d MiB", test.codec, test.data, target, err, grown>>20)
			}
		}
	}
}

// Deep nesting is an error long before the stack overflows, which no recover can catch.
func TestDeepNesting(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]byte{"json": '[', "cbor": 0x81, "msgpack": 0x91} {
		c, err := codec.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Unmarshal(append(bytes.Repeat([]byte{open}, 20_000), 0xc0), new(any)); err == nil {
			t.Errorf("%s: 20,000 levels decode", name)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, name := range codec.Names() {
		c, err := codec.ByName(name)
		if err != nil {
			f.Fatal(err)
		}
		data, err := c.Append(nil, example())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range codec.Names() {
			c, err := codec.ByName(name)
			if err != nil {
				t.Fatal(err)
			}
			var first, second customer
			if c.Unmarshal(bytes.Clone(data), &first) != nil {
				continue
			}
			again, err := c.Append(nil, first)
			if err != nil {
				continue // times that JSON cannot write
			}
			if err := c.Unmarshal(again, &second); err != nil {
				t.Errorf("%s: % x decodes, but not what it encodes to: %v", name, data, err)
			}
		}
	})
}

func BenchmarkCodecs(b *testing.B) {
	for _, name := range codec.Names() {
		c, err := codec.ByName(name)
		if err != nil {
			b.Fatal(err)
		}
		data, err := c.Append(nil, example())
		if err != nil {
			b.Fatal(err)
		}
		b.Run("codec="+name+"/op=append", func(b *testing.B) {
			b.ReportAllocs()
			value, buffer := example(), make([]byte, 0, 1024)
			for b.Loop() {
				if _, err := c.Append(buffer, &value); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("codec="+name+"/op=unmarshal", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var value customer
				if err := c.Unmarshal(data, &value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
