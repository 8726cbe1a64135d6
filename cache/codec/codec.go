// Package codec holds the codecs that the configuration can name, beyond cache.JSON: CBOR and
// MessagePack. They live apart from package cache so that it stays free of their libraries.
package codec

import (
	"bytes"
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/fxcache/fxcache/cache"
)

// CBOR encodes as RFC 8949, with the struct tags of encoding/json or of the cbor library.
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

// cborDecoding reads whatever the encoder writes: the library's default limits are lower than
// max_value_bytes.
var cborDecoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32, MaxNestedLevels: maxDepth, UTF8: cbor.UTF8DecodeInvalid,
	}.DecMode()
	if err != nil {
		panic(err) // as below
	}
	return mode
}()

// cborEncoding keeps the nanoseconds and the zone of a time.Time; the library's default truncates
// to seconds.
var cborEncoding = func() cbor.EncMode {
	mode, err := cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode()
	if err != nil {
		panic(err) // the options are constants, and a test runs this
	}
	return mode
}()

// MessagePack encodes as MessagePack, with the struct tags of encoding/json where a field has no
// msgpack tag.
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

// Names returns what ByName accepts.
func Names() []string { return []string{"cbor", "json", "msgpack"} }

// ByName returns the codec of that name. The error does not repeat the name.
func ByName(name string) (cache.Codec, error) {
	for _, c := range []cache.Codec{CBOR{}, cache.JSON{}, MessagePack{}} {
		if c.Name() == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("there is no such codec; choose one of %q", Names())
}
