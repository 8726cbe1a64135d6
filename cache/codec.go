package cache

import (
	"reflect"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/shape"
)

// Codec turns values into bytes and back. Implementations must be safe for concurrent use. Package
// cache/codec has codecs for CBOR and MessagePack, and compression.
//
// No Codec is asked for a type that encodes itself. Such a type implements encoding.BinaryAppender
// or encoding.BinaryMarshaler, and encoding.BinaryUnmarshaler or [OwnedUnmarshaler].
//
// A Codec may also be a [TypeChecker] and a [LimitedCodec].
type Codec interface {
	// Name is the codec's name in the configuration. A hash of it is stored with each value, so
	// that the old values are misses after a change of codec.
	Name() string
	// Append encodes value and appends it to dst. It returns the extended slice. For a cache of
	// interfaces, value is a pointer to the interface. A value that Unmarshal could not bring back
	// is an error.
	Append(dst []byte, value any) ([]byte, error)
	// Unmarshal decodes data into target, a pointer. It must keep no reference to data. Its error
	// may wrap [ErrForeign]; any other error means that data is damaged.
	Unmarshal(data []byte, target any) error
}

// TypeChecker is an optional part of a [Codec]. The codecs of this module have it. A type that a
// codec without it cannot bring back is not noticed.
type TypeChecker interface {
	// CheckType returns what of the values of a type would not come back. [New] refuses the type,
	// unless there is nothing, or Policy.DropsFields allows it. It is called once for each cache.
	CheckType(t reflect.Type) []Loss
}

// LimitedCodec is an optional part of a [Codec] for one that stores fewer bytes than a value takes,
// because it compresses, and for one that is around such a codec. Options.MaxValueBytes, as it is
// at the time of the call, is the limit. It is asked in place of Append and Unmarshal.
type LimitedCodec interface {
	// AppendLimited is Append. If value takes more than limit bytes before compression, the error
	// wraps [ErrValueTooLarge].
	AppendLimited(dst []byte, value any, limit driver.Size) ([]byte, error)
	// UnmarshalLimited is Unmarshal. Data that would decompress to more than limit bytes is
	// damaged, and must be noticed before they are allocated.
	UnmarshalLimited(data []byte, target any, limit driver.Size) error
}

// Loss is a part of a type that a [Codec] cannot bring back.
type Loss = shape.Loss

// OwnedUnmarshaler is encoding.BinaryUnmarshaler for types that may keep data. UnmarshalOwned may
// point into data instead of copying it, because nobody else will read or write data.
type OwnedUnmarshaler interface {
	UnmarshalOwned(data []byte) error
}
