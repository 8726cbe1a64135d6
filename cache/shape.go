package cache

import (
	"encoding"
	"reflect"

	"github.com/fxcache/fxcache/cache/driver"
)

var (
	appenderType    = reflect.TypeFor[encoding.BinaryAppender]()
	unmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	ownedType       = reflect.TypeFor[OwnedUnmarshaler]()
)

// shape is how the values of one Go type travel.
type shape struct {
	tag         byte // the envelope's
	fingerprint fingerprint
	every       bool         // reads entries of any fingerprint
	self        bool         // the type, or a pointer to it, encodes itself
	owned       bool         // and may keep the bytes it is decoded from
	pointed     reflect.Type // where the type is a pointer: what it points to
}

// shapeOf is how values of t travel in a cache, all of which carry tags. What version names stands for their
// form, if it is not empty.
func (s *Service) shapeOf(t reflect.Type, version string, tags []string) shape {
	sh := shape{tag: s.codecTag}
	if t != nil {
		pointer := reflect.PointerTo(t)
		if t.Kind() == reflect.Pointer {
			sh.pointed, pointer = t.Elem(), t
		}
		sh.owned = pointer.Implements(ownedType)
		if sh.self = pointer.Implements(appenderType) && (sh.owned || pointer.Implements(unmarshalerType)); sh.self {
			sh.tag = selfEncoded
		}
	}
	form := versioned(version)
	if version == "" {
		form = formOf(t, sh.self)
	}
	sh.fingerprint = fingerprintOf(form, tags)
	return sh
}

// untyped is how a value of t travels that Service itself is given, or asked for. What was stored as a value may
// be read into a pointer and the reverse, and an interface takes whatever there is.
func (s *Service) untyped(t reflect.Type) *shape {
	if known, ok := s.shapes.Load(t); ok {
		return known.(*shape)
	}
	form := t
	for form != nil && form.Kind() == reflect.Pointer && form.Name() == "" {
		form = form.Elem()
	}
	sh := s.shapeOf(t, "", nil)
	sh.fingerprint = s.shapeOf(form, "", nil).fingerprint
	sh.every = form != nil && form.Kind() == reflect.Interface
	known, _ := s.shapes.LoadOrStore(t, &sh)
	return known.(*shape)
}

// encode returns value in its envelope, with a stamp if that has an expiry.
func (s *Service) encode(sh *shape, value any, timed stamp) (sealed []byte, err error) {
	defer asPanicError(&err)
	sealed = sh.appendHeader(make([]byte, 0, 256), envelopeFormat)
	if timed.expiry != 0 {
		sealed[0] = envelopeTimed
		sealed = timed.append(sealed)
	}
	header := len(sealed)
	if sh.self {
		if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer && v.IsNil() {
			if sealed[0] = envelopeNil; timed.expiry != 0 {
				sealed[0] = envelopeTimedNil
			}
			return sealed, nil
		}
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
		return nil, newCodecError(ErrEncoding, err)
	}
	if driver.Size(len(sealed)-header) > s.options.MaxValueBytes {
		return nil, ErrValueTooLarge
	}
	return sealed, nil
}

// decode fills target, a pointer to a value of the shape's type, from what encode made; it leaves
// target alone where the envelope says that there is nothing. It may keep a reference to sealed.
func (s *Service) decode(sh *shape, sealed []byte, target any) (e envelope, err error) {
	defer asPanicError(&err)
	if e, err = sh.open(sealed, s.options.MaxValueBytes); err != nil || e.absent {
		return e, err
	}
	if e.null {
		reflect.ValueOf(target).Elem().SetZero()
		return e, nil
	}
	return e, s.decodePayload(sh, e.payload, target)
}

func (s *Service) decodePayload(sh *shape, payload []byte, target any) error {
	switch {
	case !sh.self:
		if err := s.options.Codec.Unmarshal(payload, target); err != nil {
			return newCodecError(errDamaged, err)
		}
		return nil
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

func decodeSelf(sh *shape, payload []byte, target any) (err error) {
	if sh.owned {
		err = target.(OwnedUnmarshaler).UnmarshalOwned(payload)
	} else {
		err = target.(encoding.BinaryUnmarshaler).UnmarshalBinary(payload)
	}
	if err != nil {
		return newCodecError(errDamaged, err)
	}
	return nil
}

// asPanicError turns a panic of foreign code into an error: no panic crosses this package's API.
func asPanicError(err *error) {
	if value := recover(); value != nil {
		*err = newPanicError(value)
	}
}
