package entry

import (
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
)

// fingerprint tells entries of one form from those of another: of another type, of a struct that
// has changed since, or without a tag that every entry carries now. It is the same in every process
// and every build of the same source. It is part of the entry and not of its key, so deleting a key
// ends the entry whichever release wrote it.
type fingerprint [4]byte

// fingerprintOf returns the fingerprint of values of this form, whose entries all carry tags.
func fingerprintOf(form []byte, tags []string) (f fingerprint) {
	tags = slices.Clone(tags)
	slices.Sort(tags)
	for _, tag := range slices.Compact(tags) { // order and duplicates mean nothing
		form = strconv.AppendQuote(append(form, ' '), tag)
	}
	sum := sha256.Sum256(form)
	copy(f[:], sum[:])
	return f
}

// versioned is the form of values whose policy names it.
func versioned(version string) []byte { return strconv.AppendQuote([]byte("version "), version) }

// formOf describes the values of a type as their bytes depend on it.
func formOf(t reflect.Type, self bool) []byte {
	if self {
		form := []byte("self ")
		if t.Kind() == reflect.Pointer { // the type knows nothing of nil
			form = append(form, '*')
		}
		return append(form, NameOf(t)...)
	}
	f := form{seen: make(map[reflect.Type]int)}
	f.add(t)
	return f.text
}

// form builds the description of a type: the kinds of all its parts, and the names, tags and order
// of the struct fields that codecs see. The name of a type matters only if it has an encoding of
// its own.
type form struct {
	text []byte
	seen map[reflect.Type]int // named types, by when they were met first: one may contain itself
}

func (f *form) add(t reflect.Type) {
	if t == nil { // the untyped nil
		f.text = append(f.text, "nil"...)
		return
	}
	if at, again := f.seen[t]; again {
		f.text = strconv.AppendInt(append(f.text, '#'), int64(at), 10)
		return
	}
	if t.Name() != "" && t.PkgPath() != "" {
		f.seen[t] = len(f.seen)
	}
	if hasOwnEncoding(t) {
		f.text = append(f.text, NameOf(t)...)
	}
	f.text = append(f.text, t.Kind().String()...)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		f.part(t.Elem())
	case reflect.Array:
		f.text = strconv.AppendInt(f.text, int64(t.Len()), 10)
		f.part(t.Elem())
	case reflect.Map:
		f.part(t.Key())
		f.part(t.Elem())
	case reflect.Struct:
		f.fields(t)
	default:
	}
}

func (f *form) part(t reflect.Type) {
	f.text = append(f.text, '(')
	f.add(t)
	f.text = append(f.text, ')')
}

// fields adds the fields that codecs see: the exported ones, and those that an embedded struct
// promotes.
func (f *form) fields(t reflect.Type) {
	for i := range t.NumField() {
		field := t.Field(i)
		if !field.IsExported() {
			embedded := field.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			if !field.Anonymous || embedded.Kind() != reflect.Struct {
				continue
			}
		}
		f.text = strconv.AppendQuote(append(f.text, ' '), field.Name)
		f.text = strconv.AppendQuote(f.text, string(field.Tag))
		f.text = strconv.AppendBool(f.text, field.Anonymous)
		f.part(field.Type)
	}
}

// NameOf returns the name of a type with its package path. For a pointer, it is that of the type
// that it points to.
func NameOf(t reflect.Type) string {
	for t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	if t.Name() == "" {
		return strconv.Quote(t.String())
	}
	return strconv.Quote(t.PkgPath() + "." + t.Name())
}

// ownEncodings are the interfaces by which a type can define its own encoding for some codec.
var ownEncodings = []reflect.Type{
	appenderType, unmarshalerType, ownedType,
	reflect.TypeFor[encoding.BinaryMarshaler](),
	reflect.TypeFor[encoding.TextAppender](), reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
	reflect.TypeFor[interface{ MarshalCBOR() ([]byte, error) }](), reflect.TypeFor[interface{ UnmarshalCBOR(data []byte) error }](),
	reflect.TypeFor[interface{ MarshalMsgpack() ([]byte, error) }](), reflect.TypeFor[interface{ UnmarshalMsgpack(data []byte) error }](),
}

func hasOwnEncoding(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return t.Kind() != reflect.Interface && t.Kind() != reflect.Pointer && slices.ContainsFunc(ownEncodings, pointer.Implements)
}
