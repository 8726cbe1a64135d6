package cache

import (
	"bytes"
	"encoding/json"
)

// Codec turns values into bytes and back. Implementations are safe for concurrent use. The ones for
// CBOR and MessagePack are in package cache/codec.
//
// A type T with encoding.BinaryAppender and encoding.BinaryUnmarshaler (or [OwnedUnmarshaler])
// encodes itself, whatever the Codec.
type Codec interface {
	// Name is the codec's name in the configuration. It is stored with each value in a hashed form,
	// so that after a change of codec the old values read as misses.
	Name() string
	// Append encodes value and appends it to dst.
	Append(dst []byte, value any) ([]byte, error)
	// Unmarshal decodes data into target, a pointer. It keeps no reference to data. Its error may
	// wrap [ErrForeign].
	Unmarshal(data []byte, target any) error
}

// OwnedUnmarshaler is encoding.BinaryUnmarshaler for types that may keep data: UnmarshalOwned can
// point into data instead of copying it, because nobody else will ever write or read it.
type OwnedUnmarshaler interface {
	UnmarshalOwned(data []byte) error
}

// JSON is the Codec of encoding/json, the default.
type JSON struct{}

// Name implements Codec.
func (JSON) Name() string { return "json" }

// Append implements Codec.
func (JSON) Append(dst []byte, value any) ([]byte, error) {
	buffer := bytes.NewBuffer(dst)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte{'\n'}), nil
}

// Unmarshal implements Codec.
func (JSON) Unmarshal(data []byte, target any) error { return json.Unmarshal(data, target) }
