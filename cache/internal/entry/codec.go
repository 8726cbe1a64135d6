package entry

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/shape"
	"github.com/fxcache/fxcache/internal/panics"
)

// ValueCodec is cache.Codec.
type ValueCodec interface {
	Name() string
	Append(dst []byte, value any) ([]byte, error)
	Unmarshal(data []byte, target any) error
}

// typeChecker is cache.TypeChecker.
type typeChecker interface {
	CheckType(t reflect.Type) []shape.Loss
}

// limitedCodec is cache.LimitedCodec.
type limitedCodec interface {
	AppendLimited(dst []byte, value any, limit driver.Size) ([]byte, error)
	UnmarshalLimited(data []byte, target any, limit driver.Size) error
}

// ownedUnmarshaler is cache.OwnedUnmarshaler.
type ownedUnmarshaler interface {
	UnmarshalOwned(data []byte) error
}

// Codec turns values into entries and back. It is safe for concurrent use.
type Codec struct {
	values  ValueCodec
	limited limitedCodec  // values, if it is one, or nil
	limit   *atomic.Int64 // of an encoded value, in bytes
	tag     byte          // of values

	untyped sync.Map // reflect.Type → *Type: of values whose type is known at run time only
}

// NewCodec returns a Codec for values of at most limit bytes. Types that do not encode themselves
// are encoded by values.
func NewCodec(values ValueCodec, limit driver.Size) *Codec {
	c := newCodec(values, new(atomic.Int64))
	c.SetLimit(limit)
	return c
}

func newCodec(values ValueCodec, limit *atomic.Int64) *Codec {
	limited, _ := values.(limitedCodec)
	return &Codec{values: values, limited: limited, limit: limit, tag: codecTag(values.Name())}
}

// With returns a Codec that has another codec for values, and the limit of c. It is for the one
// cache that has a codec of its own. No values means c itself.
func (c *Codec) With(values ValueCodec) *Codec {
	if values == nil {
		return c
	}
	return newCodec(values, c.limit)
}

// append appends what the codec makes of value.
func (c *Codec) append(dst []byte, value any) ([]byte, error) {
	if c.limited != nil {
		return c.limited.AppendLimited(dst, value, driver.Size(c.limit.Load()))
	}
	return c.values.Append(dst, value)
}

// unmarshal fills target from what append made.
func (c *Codec) unmarshal(data []byte, target any) error {
	if c.limited != nil {
		return c.limited.UnmarshalLimited(data, target, driver.Size(c.limit.Load()))
	}
	return c.values.Unmarshal(data, target)
}

// SetLimit changes how many bytes a value may have from now on.
func (c *Codec) SetLimit(limit driver.Size) { c.limit.Store(int64(limit)) }

// Encode returns the entry of value, with a stamp if that has an expiry.
func (t *Type) Encode(value any, stamp Stamp) (encoded []byte, err error) {
	defer panics.Catch(&err)
	if t.unfit != nil {
		return nil, newCodecError(ErrEncoding, t.unfit)
	}
	encoded = t.appendHeader(make([]byte, 0, 256), formatPlain)
	if stamp.Expiry != 0 {
		encoded[0] = formatTimed
		encoded = stamp.append(encoded)
	}
	header := len(encoded)
	switch {
	case t.self:
		if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer && v.IsNil() {
			if encoded[0] = formatNil; stamp.Expiry != 0 {
				encoded[0] = formatTimedNil
			}
			return encoded, nil
		}
		encoded, err = t.encodeSelf(encoded, value)
	case t.boxed:
		encoded, err = t.codec.append(encoded, &value)
	default:
		encoded, err = t.codec.append(encoded, value)
	}
	if !t.self && t.codec.limited != nil && errors.Is(err, driver.ErrValueTooLarge) {
		return nil, fmt.Errorf("%w: before compression it has more than %d bytes, which is max_value_bytes", driver.ErrValueTooLarge, t.codec.limit)
	}
	if err != nil {
		return nil, newCodecError(ErrEncoding, err)
	}
	if size, limit := int64(len(encoded)-header), t.codec.limit.Load(); size > limit {
		return nil, fmt.Errorf("%w: it has %d bytes, and max_value_bytes is %d", driver.ErrValueTooLarge, size, limit)
	}
	return encoded, nil
}

// encodeSelf appends what a value that encodes itself makes of itself.
func (t *Type) encodeSelf(dst []byte, value any) ([]byte, error) {
	if t.appends {
		return own[encoding.BinaryAppender](value).AppendBinary(dst)
	}
	encoded, err := own[encoding.BinaryMarshaler](value).MarshalBinary()
	return append(dst, encoded...), err
}

// own returns value as an M, or a pointer to it if only that has the methods.
func own[M any](value any) M {
	if itself, ok := value.(M); ok {
		return itself
	}
	p := reflect.New(reflect.TypeOf(value))
	p.Elem().Set(reflect.ValueOf(value))
	return p.Interface().(M)
}

// Decode fills target, a pointer to a value of the type, from what Encode made. It leaves target
// alone if the entry says that there is no value. It may keep a reference to encoded.
func (t *Type) Decode(encoded []byte, target any) (e Entry, err error) {
	defer panics.Catch(&err)
	if e, err = t.Parse(encoded); err != nil || e.Absent {
		return e, err
	}
	switch {
	case e.null:
		reflect.ValueOf(target).Elem().SetZero()
		return e, nil
	case !t.self:
		if err := t.codec.unmarshal(e.payload, target); err != nil {
			return e, newCodecError(ErrDamaged, err)
		}
		return e, nil
	case t.pointed != nil:
		p := reflect.New(t.pointed)
		if err := t.decodeSelf(e.payload, p.Interface()); err != nil {
			return e, err
		}
		reflect.ValueOf(target).Elem().Set(p)
		return e, nil
	default:
		return e, t.decodeSelf(e.payload, target)
	}
}

// DecodeAs is Decode for a T. It takes one allocation less if T is a pointer to a type that decodes
// itself, such as a session.
func DecodeAs[T any](t *Type, encoded []byte) (value T, e Entry, err error) {
	if !t.self || t.pointed == nil {
		e, err = t.Decode(encoded, &value)
		return value, e, err
	}
	defer panics.Catch(&err)
	e, err = t.Parse(encoded)
	if err != nil || e.null || e.Absent {
		return value, e, err
	}
	target := reflect.New(t.pointed).Interface()
	if err := t.decodeSelf(e.payload, target); err != nil {
		return value, e, err
	}
	return target.(T), e, nil
}

func (t *Type) decodeSelf(payload []byte, target any) (err error) {
	if t.owned {
		err = target.(ownedUnmarshaler).UnmarshalOwned(payload)
	} else {
		err = target.(encoding.BinaryUnmarshaler).UnmarshalBinary(payload)
	}
	if err != nil {
		return newCodecError(ErrDamaged, err)
	}
	return nil
}

// codecError is an error of a codec. Its text names the type of the cause only, because the text of
// the cause may quote the value. A cause with the method HoldsNoValue does not, and is part of it.
type codecError struct {
	reason error
	cause  func() error // not the error itself, which fmt would find in here for some verbs
}

func newCodecError(reason, cause error) error {
	return &codecError{reason, func() error { return cause }}
}

// Error implements error.
func (e *codecError) Error() string {
	cause := e.cause()
	if harmless := (interface {
		error
		HoldsNoValue()
	})(nil); errors.As(cause, &harmless) {
		return fmt.Sprintf("%v: %v", e.reason, harmless)
	}
	return fmt.Sprintf("%v (%T)", e.reason, cause)
}

// Format implements fmt.Formatter: every verb and flag prints the message, and none the cause.
func (e *codecError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.Error()) }

// Unwrap returns both causes, for errors.Is and errors.As.
func (e *codecError) Unwrap() []error { return []error{e.reason, e.cause()} }
