package cache

import (
	"encoding"
	"fmt"
	"reflect"
)

var (
	appenderType    = reflect.TypeFor[encoding.BinaryAppender]()
	unmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	ownedType       = reflect.TypeFor[OwnedUnmarshaler]()
)

// shape is how the values of one Go type travel.
type shape struct {
	tag     byte         // the envelope's
	self    bool         // the type, or a pointer to it, encodes itself
	owned   bool         // and may keep the bytes it is decoded from
	pointed reflect.Type // where the type is a pointer: what it points to
}

func (s *Service) shapeOf(t reflect.Type) shape {
	sh := shape{tag: s.codecTag}
	if t == nil {
		return sh
	}
	pointer := reflect.PointerTo(t)
	if t.Kind() == reflect.Pointer {
		sh.pointed, pointer = t.Elem(), t
	}
	sh.owned = pointer.Implements(ownedType)
	if sh.self = pointer.Implements(appenderType) && (sh.owned || pointer.Implements(unmarshalerType)); sh.self {
		sh.tag = selfEncoded
	}
	return sh
}

// encode returns value in its envelope.
func (s *Service) encode(sh shape, value any) (sealed []byte, err error) {
	defer asPanicError(&err)
	sealed = append(make([]byte, 0, 256), envelopeFormat, sh.tag)
	if sh.self {
		self, ok := value.(encoding.BinaryAppender)
		if !ok { // only the pointer has the method
			p := reflect.New(reflect.TypeOf(value))
			p.Elem().Set(reflect.ValueOf(value))
			self = p.Interface().(encoding.BinaryAppender)
		}
		sealed, err = self.AppendBinary(sealed)
	} else {
		sealed, err = s.options.Codec.Append(sealed, value)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	if Size(len(sealed)-envelopeBytes) > s.options.MaxValueBytes {
		return nil, ErrValueTooLarge
	}
	return sealed, nil
}

// decode fills target, a pointer to a value of the shape's type, from what encode made. It may keep
// a reference to sealed.
func (s *Service) decode(sh shape, sealed []byte, target any) (err error) {
	defer asPanicError(&err)
	payload, err := openEnvelope(sealed, sh.tag, s.options.MaxValueBytes)
	if err != nil {
		return err
	}
	switch {
	case !sh.self:
		return s.options.Codec.Unmarshal(payload, target)
	case sh.pointed != nil:
		p := reflect.New(sh.pointed)
		if err := decodeSelf(sh, payload, p.Interface()); err != nil {
			return err
		}
		reflect.ValueOf(target).Elem().Set(p)
		return nil
	default:
		return decodeSelf(sh, payload, target)
	}
}

func decodeSelf(sh shape, payload []byte, target any) error {
	if sh.owned {
		return target.(OwnedUnmarshaler).UnmarshalOwned(payload)
	}
	return target.(encoding.BinaryUnmarshaler).UnmarshalBinary(payload)
}

// asPanicError turns a panic of foreign code into an error: no panic crosses this package's API.
func asPanicError(err *error) {
	if value := recover(); value != nil {
		*err = newPanicError(value)
	}
}
