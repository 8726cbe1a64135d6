package codec

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/shape"
	"github.com/fxcache/fxcache/internal/absent"
)

// zstdSuffix is what the name of a compressing codec ends with.
const zstdSuffix = "+zstd"

const (
	// defaultThreshold is about where zstd begins to save more than a few percent of JSON.
	defaultThreshold = driver.KiB
	// defaultLimit holds where nobody says which limit there is. It is the default of
	// max_value_bytes.
	defaultLimit = driver.MiB
)

// Each value starts with its format.
const (
	formatStored = 0x00 // what the inner codec made of it
	formatZstd   = 0x01 // one frame of zstd, with the size of its content and a checksum
)

// Compress returns a codec that compresses with zstd, RFC 8878, what inner makes of a value. Its
// name is the name of inner with "+zstd" behind it. An inner that is nil is cache.JSON.
//
// Values that inner encodes to fewer than threshold bytes are not compressed, and neither are those
// that would not become smaller. So a value never takes more than one byte in addition to what
// inner makes of it. A threshold of 0 or less is 1 KiB. Codecs that differ in the threshold only
// read each other's values.
//
// max_value_bytes limits both what inner makes of a value, and what is stored of it: the codec is a
// cache.LimitedCodec. Data that would decompress to more is damaged, and is not decompressed.
// Append and Unmarshal, which know no limit, have one of 1 MiB, so a codec around this one should
// be a cache.LimitedCodec, too.
//
// Types that encode themselves, sessions among them, are not compressed, as no codec is asked for
// them. The codec is a cache.TypeChecker as inner is. It is safe for concurrent use if inner is,
// and starts no goroutine.
func Compress(inner cache.Codec, threshold driver.Size) cache.Codec {
	if absent.Is(inner) {
		inner = cache.JSON{}
	}
	if threshold <= 0 {
		threshold = defaultThreshold
	}
	return compressed{inner, threshold}
}

type compressed struct {
	inner     cache.Codec
	threshold driver.Size
}

// Name implements cache.Codec.
func (c compressed) Name() string { return c.inner.Name() + zstdSuffix }

// CheckType implements cache.TypeChecker.
func (c compressed) CheckType(t reflect.Type) []shape.Loss {
	if checker, ok := c.inner.(cache.TypeChecker); ok {
		return checker.CheckType(t)
	}
	return nil
}

// Append implements cache.Codec.
func (c compressed) Append(dst []byte, value any) ([]byte, error) {
	return c.AppendLimited(dst, value, defaultLimit)
}

// AppendLimited implements cache.LimitedCodec.
func (c compressed) AppendLimited(dst []byte, value any, limit driver.Size) ([]byte, error) {
	start := len(dst)
	dst = append(dst, formatStored)
	var err error
	if limited, ok := c.inner.(cache.LimitedCodec); ok {
		dst, err = limited.AppendLimited(dst, value, limit)
	} else {
		dst, err = c.inner.Append(dst, value)
	}
	if err != nil {
		return nil, err
	}
	plain := dst[start+1:]
	if driver.Size(len(plain)) > limit {
		return nil, fmt.Errorf("%w: it has %d bytes before compression, and the limit is %d", driver.ErrValueTooLarge, len(plain), limit)
	}
	if driver.Size(len(plain)) < c.threshold {
		return dst, nil
	}
	if frame := compress(plain); len(frame) < len(plain) {
		dst[start] = formatZstd
		dst = append(dst[:start+1], frame...)
	}
	return dst, nil
}

// Unmarshal implements cache.Codec.
func (c compressed) Unmarshal(data []byte, target any) error {
	return c.UnmarshalLimited(data, target, defaultLimit)
}

// UnmarshalLimited implements cache.LimitedCodec.
func (c compressed) UnmarshalLimited(data []byte, target any, limit driver.Size) (err error) {
	if len(data) == 0 {
		return errFrame
	}
	format, data := data[0], data[1:]
	switch format {
	case formatStored:
		if driver.Size(len(data)) > limit {
			return errTooLarge
		}
	case formatZstd:
		if data, err = decompress(data, limit); err != nil {
			return err
		}
	default: // of a later release
		return cache.ErrForeign
	}
	if limited, ok := c.inner.(cache.LimitedCodec); ok {
		return limited.UnmarshalLimited(data, target, limit)
	}
	return c.inner.Unmarshal(data, target)
}

// damage is an error that says what is wrong with compressed data.
type damage string

// Error implements error.
func (d damage) Error() string { return string(d) }

// HoldsNoValue says that the text may be shown.
func (damage) HoldsNoValue() {}

const (
	errFrame    damage = "the compressed data is not what was written"
	errTooLarge damage = "the value would have more bytes than max_value_bytes"
)

// The encoders and decoders are pooled, because each has tables of about a mebibyte. With a
// concurrency of 1 and without a stream, they have no goroutines, so the pool may drop them.
var (
	encoders = sync.Pool{New: func() any {
		// A window of 1 MiB, in place of 8, bounds what an encoder keeps after a large value. A
		// single segment always has the size of the content in its header.
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(1<<20), zstd.WithEncoderCRC(true), zstd.WithSingleSegment(true))
		if err != nil {
			panic(err) // the options are constants, and a test runs this
		}
		return encoder
	}}
	decoders = sync.Pool{New: func() any {
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(err) // as above
		}
		return decoder
	}}
)

func compress(plain []byte) []byte {
	encoder := encoders.Get().(*zstd.Encoder)
	defer encoders.Put(encoder)
	return encoder.EncodeAll(plain, make([]byte, 0, encoder.MaxEncodedSize(len(plain))))
}

// decompress returns the content of frame, which has at most limit bytes. It allocates no more than
// that, and nothing before it knows.
func decompress(frame []byte, limit driver.Size) ([]byte, error) {
	size, err := contentSize(frame)
	if err != nil {
		return nil, err
	}
	if size > uint64(max(0, limit)) {
		return nil, errTooLarge
	}
	decoder := decoders.Get().(*zstd.Decoder)
	defer decoders.Put(decoder)
	plain, err := decoder.DecodeAll(frame, make([]byte, 0, size)) // the capacity is its limit
	if err != nil {
		return nil, errors.Join(errFrame, err)
	}
	return plain, nil
}

// contentSize returns how many bytes frame says that it decompresses to. It accepts what compress
// makes: one frame, with that size and a checksum, and nothing behind it.
func contentSize(frame []byte) (uint64, error) {
	var header zstd.Header
	if err := header.Decode(frame); err != nil || header.Skippable || !header.HasFCS {
		return 0, errFrame
	}
	rest := frame[header.HeaderSize:]
	for last := false; !last; {
		if len(rest) < 3 {
			return 0, errFrame
		}
		block := int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16
		rest, last = rest[3:], block&1 != 0
		size := block >> 3
		if block>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		if len(rest) < size {
			return 0, errFrame
		}
		rest = rest[size:]
	}
	if len(rest) != 4 { // the checksum; the decoder refuses a frame that says it has none
		return 0, errFrame
	}
	return header.FrameContentSize, nil
}
