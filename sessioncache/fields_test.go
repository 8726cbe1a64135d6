package sessioncache_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// fieldOnly returns a session with one custom field.
func fieldOnly(name string, value any) *sessioncache.CachedSession {
	return &sessioncache.CachedSession{CustomFields: map[string]any{name: value}}
}

func TestFieldsKeepValueAndType(t *testing.T) {
	t.Parallel()
	cases := []any{
		nil, true, false,
		0, 1, -1, math.MaxInt, math.MinInt,
		int64(0), int64(math.MaxInt64), int64(math.MinInt64),
		uint64(0), uint64(math.MaxUint64),
		0.0, 1.5, math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64, math.MaxFloat64,
		"", "text", "\x00\xff\xfe", strings.Repeat("x", 1000),
		[]byte{0}, bytes.Repeat([]byte{0xff}, 1000),
		time.Time{}, time.Unix(0, 1).UTC(), time.Unix(-1, 999_999_999).UTC(), time.Unix(1<<40, 0).UTC(),
		[]any{nil, 1, int64(1), uint64(1), 1.0, "1", []any{[]string{"x"}}},
		[]string{"", "\xff"},
		map[string]any{"": nil, "\xff": map[string]any{"a": 1}},
		[]byte(nil), []any(nil), []string(nil), map[string]any(nil),
	}
	for i, value := range cases {
		t.Run(fmt.Sprintf("%d %T", i, value), func(t *testing.T) {
			t.Parallel()
			checkRoundTrip(t, fieldOnly("field", value))
		})
	}
}

func TestFieldsThatComeBackEqualButNotTheSame(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ value, want any }{
		"empty bytes":         {[]byte{}, []byte(nil)},
		"empty list":          {[]any{}, []any(nil)},
		"empty strings":       {[]string{}, []string(nil)},
		"empty map":           {map[string]any{}, map[string]any(nil)},
		"time of a zone":      {time.Unix(5, 6).In(time.FixedZone("east", 3600)), time.Unix(5, 6).UTC()},
		"time of a monotonic": {time.Unix(5, 6).Local(), time.Unix(5, 6).UTC()},
	}
	for name, c := range cases {
		decoded, err := sessioncache.Decode(encode(t, fieldOnly("field", c.value)))
		if err != nil || !reflect.DeepEqual(decoded.CustomFields["field"], c.want) {
			t.Errorf("%s: got %#v, %v, want %#v", name, decoded.CustomFields["field"], err, c.want)
		}
	}
}

func TestFloatsKeepTheirBits(t *testing.T) {
	t.Parallel()
	for _, bits := range []uint64{math.Float64bits(math.NaN()), 0x7ff0000000000001, 0xfff8000000000123, 1 << 63} {
		decoded, err := sessioncache.Decode(encode(t, fieldOnly("field", math.Float64frombits(bits))))
		if err != nil {
			t.Fatal(err)
		}
		if got := math.Float64bits(decoded.CustomFields["field"].(float64)); got != bits {
			t.Errorf("got %x, want %x", got, bits)
		}
	}
}

func TestEqualFieldsHaveEqualEncodings(t *testing.T) {
	t.Parallel()
	build := func(backwards bool) *sessioncache.CachedSession {
		fields := map[string]any{}
		for i := range 100 {
			if backwards {
				i = 99 - i
			}
			fields[fmt.Sprint("name", i)] = map[string]any{fmt.Sprint(i): i, fmt.Sprint(i + 1): i}
		}
		return &sessioncache.CachedSession{CustomFields: fields}
	}
	want := encode(t, build(false))
	for range 50 {
		if got := encode(t, build(true)); !bytes.Equal(got, want) {
			t.Fatal("two encodings of the same fields differ")
		}
	}
}

type named string

func TestUnsupportedFields(t *testing.T) {
	t.Parallel()
	const private = "do-not-print"
	deep := any(private)
	for range 16 {
		deep = []any{deep}
	}
	cases := []struct {
		fields     map[string]any
		path, kind string
	}{
		{map[string]any{"count": int32(1)}, "count", "int32"},
		{map[string]any{"role": named(private)}, "role", "sessioncache_test.named"},
		{map[string]any{"pointer": &struct{ s string }{private}}, "pointer", "*struct { s string }"},
		{map[string]any{"secret": cache.NewSecret(private)}, "secret", "driver.Secret"},
		{map[string]any{"a": 1, "cart": map[string]any{"lines": []any{1, 2, map[string]any{"price": float32(1)}}}}, "cart.lines[2].price", "float32"},
		{map[string]any{"a.b": map[string]any{"": map[string]any{"x\n": []int{1}}}}, `["a.b"][""]["x\n"]`, "[]int"},
		{map[string]any{"f": func() {}}, "f", "func()"},
		{map[string]any{"deep": deep}, "deep" + strings.Repeat("[0]", 15), "[]interface {}"},
	}
	for _, c := range cases {
		_, err := (&sessioncache.CachedSession{CustomFields: c.fields}).AppendBinary(nil)
		var failure *sessioncache.FieldError
		if !errors.As(err, &failure) || !errors.Is(err, sessioncache.ErrUnsupportedField) {
			t.Errorf("%s: %v is not a FieldError", c.path, err)
			continue
		}
		if failure.Path != c.path || failure.Type != c.kind {
			t.Errorf("got %s of type %s, want %s of type %s", failure.Path, failure.Type, c.path, c.kind)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, private) || !strings.Contains(err.Error(), c.kind) {
			t.Errorf("the error shows the value or not the type: %s", text)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	t.Parallel()
	nest := func(levels int) map[string]any {
		fields := map[string]any{"leaf": 1}
		for range levels - 1 {
			fields = map[string]any{"inner": fields}
		}
		return fields
	}
	checkRoundTrip(t, &sessioncache.CachedSession{CustomFields: nest(16)})
	if _, err := (&sessioncache.CachedSession{CustomFields: nest(17)}).AppendBinary(nil); !errors.Is(err, sessioncache.ErrUnsupportedField) {
		t.Errorf("17 levels: %v", err)
	}
	endless := map[string]any{}
	endless["self"] = []any{endless}
	if _, err := (&sessioncache.CachedSession{CustomFields: endless}).AppendBinary(nil); !errors.Is(err, sessioncache.ErrUnsupportedField) {
		t.Errorf("a map in itself: %v", err)
	}

	for lists, corrupt := range map[int]bool{15: false, 16: true, 100_000: true} { // the fields are a level, too
		forged := append([]byte{1, 4}, make([]byte, 16+4)...)
		forged = append(forged, 1, 0)
		forged = append(forged, bytes.Repeat([]byte{10, 1}, lists)...)
		if _, err := sessioncache.Decode(append(forged, 0)); errors.Is(err, sessioncache.ErrCorrupt) != corrupt {
			t.Errorf("decoding %d lists in one another: %v", lists, err)
		}
	}
}

func TestForgedFields(t *testing.T) {
	t.Parallel()
	header := append([]byte{1, 4}, make([]byte, 16+4)...)
	cases := map[string][]byte{
		"unknown kind":         {1, 0, 13},
		"missing kind":         {1, 0},
		"descending names":     {2, 1, 'b', 0, 1, 'a', 0},
		"a name twice":         {2, 1, 'a', 0, 1, 'a', 0},
		"an empty name twice":  {2, 0, 0, 0, 0},
		"short float":          {1, 0, 6, 0, 0, 0, 0, 0, 0, 0},
		"too many nanoseconds": {1, 0, 9, 0, 0x80, 0x94, 0xeb, 0xdc, 0x03},
	}
	for name, fields := range cases {
		if _, err := sessioncache.Decode(append(header[:len(header):len(header)], fields...)); !errors.Is(err, sessioncache.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}
