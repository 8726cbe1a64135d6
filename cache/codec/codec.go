// Package codec holds the codecs CBOR and MessagePack, and [ByName], by which the configuration
// selects a codec. They are not in package cache, so that it does not depend on their libraries.
package codec

import (
	"encoding"
	"fmt"
	"reflect"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/internal/shape"
)

// Names returns the names that ByName accepts.
func Names() []string { return []string{"cbor", "json", "msgpack"} }

// ByName returns the codec with this name. For any other name it returns an error, which does not
// repeat the name.
func ByName(name string) (cache.Codec, error) {
	for _, c := range []cache.Codec{CBOR{}, cache.JSON{}, MessagePack{}} {
		if c.Name() == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("there is no such codec; choose one of %q", Names())
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
