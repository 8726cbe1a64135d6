package cache

import (
	"bytes"
	"encoding/json"
)

// Codec turns values into bytes and back. Implementations must be safe for concurrent use. Package
// cache/codec has codecs for CBOR and MessagePack.
//
// No Codec is asked for a type that encodes itself. Such a type implements encoding.BinaryAppender,
// and either encoding.BinaryUnmarshaler or [OwnedUnmarshaler].
type Codec interface {
	// Name is the codec's name in the configuration. A hash of it is stored with each value, so
	// that the old values are misses after a change of codec.
	Name() string
	// Append encodes value and appends it to dst. It returns the extended slice.
	Append(dst []byte, value any) ([]byte, error)
	// Unmarshal decodes data into target, a pointer. It must keep no reference to data. Its error
	// may wrap [ErrForeign]; any other error means that data is damaged.
	Unmarshal(data []byte, target any) error
}

// OwnedUnmarshaler is encoding.BinaryUnmarshaler for types that may keep data. UnmarshalOwned may
// point into data instead of copying it, because nobody else will read or write data.
type OwnedUnmarshaler interface {
	UnmarshalOwned(data []byte) error
}

// JSON is the default [Codec]. It uses encoding/json.
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
