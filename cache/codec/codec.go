// Package codec holds the codecs CBOR and MessagePack, [Compress] for any codec, and [ByName], by
// which the configuration selects a codec. They are not in package cache, so that it does not
// depend on their libraries.
package codec

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/internal/shape"
)

// Names returns the names that ByName accepts, in order.
func Names() []string { return NamesWith() }

// NamesWith returns the names that ByName accepts if there are others, in order.
func NamesWith(others ...cache.Codec) (names []string) {
	for _, c := range slices.Concat(builtin(), others) {
		names = append(names, c.Name(), c.Name()+zstdSuffix)
	}
	slices.Sort(names)
	return names
}

func builtin() []cache.Codec { return []cache.Codec{CBOR{}, cache.JSON{}, MessagePack{}} }

// ByName returns the codec with this name: cbor, json, msgpack, or one of others, which are in
// addition. With "+zstd" behind the name it is that codec in [Compress], with the default
// threshold. For any other name ByName returns an error, which lists the names, and does not repeat
// this one.
func ByName(name string, others ...cache.Codec) (cache.Codec, error) {
	plain, zip := strings.CutSuffix(name, zstdSuffix)
	for _, c := range slices.Concat(builtin(), others) {
		switch {
		case c.Name() != plain:
		case zip:
			return Compress(c, 0), nil
		default:
			return c, nil
		}
	}
	return nil, fmt.Errorf("there is no such codec; choose one of %q", NamesWith(others...))
}

// maxDepth limits how deep arrays and maps may be nested. Deeper ones could exhaust the stack of a
// decoder, and no recover can catch that.
const maxDepth = 1000

var (
	binaryPair = shape.Pair{
		Marshal: reflect.TypeFor[encoding.BinaryMarshaler](), Unmarshal: reflect.TypeFor[encoding.BinaryUnmarshaler](),
		To: "MarshalBinary", From: "UnmarshalBinary",
	}
	textPair = shape.Pair{
		Marshal: reflect.TypeFor[encoding.TextMarshaler](), Unmarshal: reflect.TypeFor[encoding.TextUnmarshaler](),
		To: "MarshalText", From: "UnmarshalText",
	}
)

func tooDeep(name string) error {
	return &shape.Error{Path: "T", Reason: fmt.Sprintf("is nested too deep: %s decodes %d levels", name, maxDepth)}
}
