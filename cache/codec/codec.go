// Package codec holds the codecs CBOR and MessagePack, and [ByName], by which the configuration
// selects a codec. They are not in package cache, so that it does not depend on their libraries.
package codec

import (
	"bytes"
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/fxcache/fxcache/cache"
)

// CBOR is a cache.Codec for CBOR, RFC 8949. It uses the struct tags of the cbor library or of
// encoding/json. Decoding fails if a value is nested deeper than 1000 levels. It is safe for
// concurrent use.
type CBOR struct{}

// Name implements cache.Codec.
func (CBOR) Name() string { return "cbor" }

// Append implements cache.Codec.
func (CBOR) Append(dst []byte, value any) ([]byte, error) {
	buffer := bytes.NewBuffer(dst)
	err := cborEncoding.NewEncoder(buffer).Encode(value)
	return buffer.Bytes(), err
}

// Unmarshal implements cache.Codec.
func (CBOR) Unmarshal(data []byte, target any) error { return cborDecoding.Unmarshal(data, target) }

// cborDecoding reads everything that the encoder writes. The library's default limits would refuse
// some values within max_value_bytes.
var cborDecoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32, MaxNestedLevels: maxDepth, UTF8: cbor.UTF8DecodeInvalid,
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

// MessagePack is a cache.Codec for MessagePack. If a field has no msgpack tag, it uses the tag of
// encoding/json. Decoding fails if a value is nested deeper than 1000 levels. It is safe for
// concurrent use.
type MessagePack struct{}

// Name implements cache.Codec.
func (MessagePack) Name() string { return "msgpack" }

// Append implements cache.Codec.
func (MessagePack) Append(dst []byte, value any) ([]byte, error) {
	buffer := bytes.NewBuffer(dst)
	encoder := msgpack.GetEncoder()
	defer msgpack.PutEncoder(encoder)
	encoder.Reset(buffer)
	encoder.SetCustomStructTag("json")
	err := encoder.Encode(value)
	return buffer.Bytes(), err
}

// Unmarshal implements cache.Codec.
func (MessagePack) Unmarshal(data []byte, target any) error {
	if err := wellFormed(data); err != nil {
		return err
	}
	decoder := msgpack.GetDecoder()
	defer msgpack.PutDecoder(decoder)
	decoder.Reset(bytes.NewReader(data))
	decoder.SetCustomStructTag("json")
	return decoder.Decode(target)
}

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
