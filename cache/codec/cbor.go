package codec

import (
	"bytes"
	"math"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fxcache/fxcache/cache/internal/shape"
)

// CBOR is a cache.Codec for CBOR, RFC 8949. It uses the struct tags of the cbor library or of
// encoding/json. It is safe for concurrent use.
//
// It refuses to encode what would come back as something else, or is nested deeper than 1000
// levels. docs/caching.md has the list.
type CBOR struct{}

// Name implements cache.Codec.
func (CBOR) Name() string { return "cbor" }

// CheckType implements cache.TypeChecker.
func (CBOR) CheckType(t reflect.Type) []shape.Loss { return cborRules.Plan(t).Losses }

// Append implements cache.Codec.
func (CBOR) Append(dst []byte, value any) ([]byte, error) {
	value, plan, err := cborRules.Prepare(value)
	if err != nil {
		return nil, err
	}
	buffer := bytes.NewBuffer(dst)
	if err := cborEncoding.NewEncoder(buffer).Encode(value); err != nil {
		return nil, err
	}
	if encoded := buffer.Bytes()[len(dst):]; plan.Nests && len(encoded) >= maxDepth && cborDecoding.Wellformed(encoded) != nil {
		return nil, tooDeep("cbor")
	}
	return buffer.Bytes(), nil
}

// Unmarshal implements cache.Codec.
func (CBOR) Unmarshal(data []byte, target any) error { return cborDecoding.Unmarshal(data, target) }

// cborDecoding reads everything that the encoder writes. The library's default limits would refuse
// some values within max_value_bytes. Within an interface, it makes an int64 of an integer, and a
// map[string]any of a map.
var cborDecoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32, MaxNestedLevels: maxDepth, UTF8: cbor.UTF8DecodeInvalid,
		IntDec: cbor.IntDecConvertSignedOrFail, DefaultMapType: reflect.TypeFor[map[string]any](),
	}.DecMode()
	if err != nil {
		panic(err) // as below
	}
	return mode
}()

// cborEncoding keeps the nanoseconds and the zone of a time.Time. The library's default truncates
// to seconds.
var cborEncoding = func() cbor.EncMode {
	mode, err := cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode()
	if err != nil {
		panic(err) // the options are constants, and a test runs this
	}
	return mode
}()

var cborRules = &shape.Rules{
	Codec: "cbor",
	Own: []shape.Pair{
		{Marshal: reflect.TypeFor[cbor.Marshaler](), Unmarshal: reflect.TypeFor[cbor.Unmarshaler](), To: "MarshalCBOR", From: "UnmarshalCBOR", Nests: true},
		binaryPair,
	},
	Known: []reflect.Type{reflect.TypeFor[time.Time](), reflect.TypeFor[big.Int]()},
	Dynamic: []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[int64](), reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](),
	},
	Fields: func(t reflect.Type) (kept, lost []shape.Field) { return shape.EmbeddingFields(t, cborTag) },
	Depth:  maxDepth - 2, // as for MessagePack
}

func cborTag(field reflect.StructField) shape.Tag {
	tag := field.Tag.Get("cbor")
	if tag == "" {
		tag = field.Tag.Get("json")
	}
	name, _, _ := strings.Cut(tag, ",")
	return shape.Tag{Name: name, Tagged: tag != "", Skip: tag == "-"}
}
