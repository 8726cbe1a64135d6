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
		[]byte{}, []any{}, []string{}, map[string]any{},
		int8(math.MinInt8), int16(math.MinInt16), int32(math.MinInt32), int32(math.MaxInt32),
		uint(math.MaxUint), uint8(math.MaxUint8), uint16(math.MaxUint16), uint32(math.MaxUint32),
		float32(0), float32(-0.1), float32(math.MaxFloat32), float32(math.Inf(1)),
		time.Duration(0), 300 * time.Second, time.Duration(math.MinInt64),
		[16]byte{0, 1, 15: 0xff}, [1]byte{7}, [64]byte{63: 1},
		[]int{1, -1}, []int64{math.MinInt64, 0, math.MaxInt64}, []int64{}, []int64(nil), []uint16{0, 65535}, []bool{true, false},
		[]float32{1.5}, []float64{math.Pi}, []time.Duration{time.Hour}, []time.Time{{}, time.Unix(0, 1).UTC()},
		[][]byte{nil, {}, {1}}, [][]string{{"a"}, nil, {}}, [][][][]int{{{{1}, nil}}}, [][16]byte{{1}, {15: 2}},
		map[string]string{"": "\xff", "theme": "dark"}, map[string]string{}, map[string]string(nil),
		map[string]int{"a": 1}, map[string]bool{"a": false}, map[string][]string{"roles": {"x"}, "none": nil},
		map[string]map[string]string{"a": {"b": "c"}, "nil": nil}, map[int]string{-1: "a", 300: "b"}, map[uint8]int8{255: -128},
		map[time.Duration]bool{time.Hour: true}, map[[16]byte]int64{{1}: 2, {15: 3}: 4}, map[int64][]float64{1: {2}},
		[]map[string]any{{"a": nil, "b": []int32{1}}, nil, {}}, map[string][]any{"a": {nil, int8(1), map[string]string{"b": "c"}}},
		map[int]any{1: nil, 2: map[string]any{"a": uint(1)}},
	}
	for i, value := range cases {
		t.Run(fmt.Sprintf("%d %T", i, value), func(t *testing.T) {
			t.Parallel()
			checkRoundTrip(t, fieldOnly("field", value))
		})
	}
}

type (
	named  string
	bag    map[string]any
	roles  []named
	uuid   [16]byte
	level  int8
	octets []byte
	pairs  map[named]level
	nested map[string]roles
)

func (uuid) MarshalText() ([]byte, error)   { return []byte("not what is stored"), nil }
func (*uuid) UnmarshalText(_ []byte) error  { panic("not called") }
func (named) String() string                { return "not what is stored" }
func (octets) MarshalJSON() ([]byte, error) { return nil, errors.New("not called") }

// A type of the application comes back as its underlying type, a time in UTC, and nothing else
// changes.
func TestFieldsThatComeBackAsAnotherType(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ value, want any }{
		"time of a zone":        {time.Unix(5, 6).In(time.FixedZone("east", 3600)), time.Unix(5, 6).UTC()},
		"time of a monotonic":   {time.Unix(5, 6).Local(), time.Unix(5, 6).UTC()},
		"times of a zone":       {[]time.Time{time.Unix(5, 6).In(time.FixedZone("east", 3600))}, []time.Time{time.Unix(5, 6).UTC()}},
		"named string":          {named("admin"), "admin"},
		"id":                    {sessioncache.ID("7"), "7"},
		"named int":             {level(-3), int8(-3)},
		"month":                 {time.March, 3},
		"uuid":                  {uuid{1, 15: 2}, [16]byte{1, 15: 2}},
		"named bytes":           {octets("x"), []byte("x")},
		"named map":             {bag{"a": named("b"), "c": bag(nil)}, map[string]any{"a": "b", "c": map[string]any(nil)}},
		"named strings":         {roles{"a", "b"}, []string{"a", "b"}},
		"strings of named":      {[]named{"a"}, []string{"a"}},
		"uuids":                 {[]uuid{{1}}, [][16]byte{{1}}},
		"by uuid":               {map[uuid]uuid{{1}: {2}}, map[[16]byte][16]byte{{1}: {2}}},
		"named keys and values": {pairs{"a": 1}, map[string]int8{"a": 1}},
		"named within named":    {nested{"a": {"b"}}, map[string][]string{"a": {"b"}}},
		"named within lists":    {[]any{named("a"), roles(nil)}, []any{"a", []string(nil)}},
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
	for _, bits := range []uint32{0x7fc00000, 0x7f800001, 0xffc00123, 1 << 31} {
		for _, value := range []any{math.Float32frombits(bits), []float32{math.Float32frombits(bits)}} {
			decoded, err := sessioncache.Decode(encode(t, fieldOnly("field", value)))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := decoded.CustomFields["field"].(float32)
			if !ok {
				got = decoded.CustomFields["field"].([]float32)[0]
			}
			if got := math.Float32bits(got); got != bits {
				t.Errorf("got %x, want %x", got, bits)
			}
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
			fields[fmt.Sprint("name", i)] = map[string]any{fmt.Sprint(i): i, fmt.Sprint(i + 1): map[int]string{i: "", -i: "", 99 - i: ""}}
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

type recursive []recursive

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
		{map[string]any{"count": complex(1, 0)}, "count", "complex128"},
		{map[string]any{"struct": struct{ A string }{private}}, "struct", "struct { A string }"},
		{map[string]any{"structs": []struct{ A string }{{private}}}, "structs", "[]struct { A string }"},
		{map[string]any{"array": [2]string{private}}, "array", "[2]string"},
		{map[string]any{"no bytes": [0]byte{}}, `["no bytes"]`, "[0]uint8"},
		{map[string]any{"bytes": [65]byte{}}, "bytes", "[65]uint8"},
		{map[string]any{"errors": []error{errors.New(private)}}, "errors", "[]error"},
		{map[string]any{"keys": map[float64]int{1: 1}}, "keys", "map[float64]int"},
		{map[string]any{"keys": map[any]any{private: 1}}, "keys", "map[interface {}]interface {}"},
		{map[string]any{"address": uintptr(1)}, "address", "uintptr"},
		{map[string]any{"recursive": recursive{}}, "recursive", "sessioncache_test.recursive"},
		{map[string]any{"five": [][][][][]int{}}, "five", "[][][][][]int"},
		{map[string]any{"m": bag{"a": map[int]any{-7: func() {}}}}, "m.a[-7]", "func()"},
		{map[string]any{"m": map[named][]any{"a b": {nil, map[uint8]any{7: func() {}}}}}, `m["a b"][1][7]`, "func()"},
		{map[string]any{"m": map[uuid]any{{}: func() {}}}, "m[key]", "func()"},
		{map[string]any{"pointer": &struct{ s string }{private}}, "pointer", "*struct { s string }"},
		{map[string]any{"secret": cache.NewSecret(private)}, "secret", "driver.Secret"},
		{map[string]any{"a": 1, "cart": map[string]any{"lines": []any{1, 2, map[string]any{"price": complex64(1)}}}}, "cart.lines[2].price", "complex64"},
		{map[string]any{"a.b": map[string]any{"": map[string]any{"x\n": []func(){}}}}, `["a.b"][""]["x\n"]`, "[]func()"},
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

	typed := func(levels int) []any { // each [][]any is two levels
		list := [][]any{}
		for range levels/2 - 1 {
			list = [][]any{{list}}
		}
		return []any{list}
	}
	checkRoundTrip(t, fieldOnly("field", typed(14)))
	if _, err := fieldOnly("field", typed(16)).AppendBinary(nil); !errors.Is(err, sessioncache.ErrUnsupportedField) {
		t.Errorf("18 levels, by types: %v", err)
	}

	for lists, corrupt := range map[int]bool{15: false, 16: true, 100_000: true} { // the fields are a level, too
		forged := append([]byte{2, 4}, make([]byte, 16+4)...)
		forged = append(forged, 2, 0)
		forged = append(forged, bytes.Repeat([]byte{10, 2}, lists)...)
		if _, err := sessioncache.Decode(append(forged, 0)); errors.Is(err, sessioncache.ErrCorrupt) != corrupt {
			t.Errorf("decoding %d lists in one another: %v", lists, err)
		}
	}
}

func TestForgedFields(t *testing.T) {
	t.Parallel()
	header := append([]byte{2, 4}, make([]byte, 16+4)...)
	cases := map[string][]byte{
		"unknown kind":         {2, 0, 27},
		"missing kind":         {2, 0},
		"descending names":     {3, 1, 'b', 0, 1, 'a', 0},
		"a name twice":         {3, 1, 'a', 0, 1, 'a', 0},
		"an empty name twice":  {3, 0, 0, 0, 0},
		"short float":          {2, 0, 6, 0, 0, 0, 0, 0, 0, 0},
		"too many nanoseconds": {2, 0, 9, 0, 0x80, 0x94, 0xeb, 0xdc, 0x03},
		"short bytes":          {2, 0, 8, 3, 0},
		"int8 of 200":          {2, 0, 13, 0x90, 0x03},
		"uint8 of 256":         {2, 0, 17, 0x80, 0x02},
		"short float32":        {2, 0, 20, 0, 0, 0},
		"array of no bytes":    {2, 0, 22, 0},
		"array of 65 bytes":    append([]byte{2, 0, 22, 65}, make([]byte, 65)...),
		"short array":          {2, 0, 22, 2, 0},
		"a type alone":         {2, 0, 26},
		"a bool as a type":     {2, 0, 25, 1},
		"a slice of nothing":   {2, 0, 23, 0, 1},
		"a slice of lists":     {2, 0, 23, 10, 1},
		"five slices":          {2, 0, 23, 23, 23, 23, 23, 3, 1},
		"a map by bool":        {2, 0, 24, 25, 3, 1},
		"a map by any":         {2, 0, 24, 26, 3, 1},
		"a map by bytes":       {2, 0, 24, 8, 3, 1},
		"descending keys":      {2, 0, 24, 3, 3, 3, 4, 0, 2, 0},
		"a key twice":          {2, 0, 24, 3, 3, 3, 2, 0, 2, 0},
		"short slice":          {2, 0, 23, 3, 3, 0},
	}
	for name, fields := range cases {
		if _, err := sessioncache.Decode(append(header[:len(header):len(header)], fields...)); !errors.Is(err, sessioncache.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	for _, fields := range [][]byte{{2, 0, 24, 3, 3, 3, 2, 0, 4, 0}, {2, 0, 22, 2, 0, 0}, {2, 0, 23, 23, 23, 23, 3, 1}} {
		if _, err := sessioncache.Decode(append(header[:len(header):len(header)], fields...)); err != nil {
			t.Errorf("the cases are wrong, a good one is refused: %v", err)
		}
	}
}
