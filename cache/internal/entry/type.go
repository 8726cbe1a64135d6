package entry

import (
	"encoding"
	"reflect"
)

var (
	appenderType    = reflect.TypeFor[encoding.BinaryAppender]()
	unmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	ownedType       = reflect.TypeFor[ownedUnmarshaler]()
)

// Type says how the values of one Go type are stored.
type Type struct {
	codec       *Codec
	tag         byte // of the header
	fingerprint fingerprint
	every       bool         // reads entries of any fingerprint
	self        bool         // the type, or a pointer to it, encodes itself
	owned       bool         // and may keep the bytes that it is decoded from
	pointed     reflect.Type // if the type is a pointer: what it points to
}

// TypeOf says how values of t are stored in a cache whose entries all carry tags. Unless version is
// empty, it stands for the form of the values.
func (c *Codec) TypeOf(t reflect.Type, version string, tags []string) *Type {
	info := &Type{codec: c, tag: c.tag}
	if t != nil {
		pointer := reflect.PointerTo(t)
		if t.Kind() == reflect.Pointer {
			info.pointed, pointer = t.Elem(), t
		}
		info.owned = pointer.Implements(ownedType)
		if info.self = pointer.Implements(appenderType) && (info.owned || pointer.Implements(unmarshalerType)); info.self {
			info.tag = selfEncoded
		}
	}
	form := versioned(version)
	if version == "" {
		form = formOf(t, info.self)
	}
	info.fingerprint = fingerprintOf(form, tags)
	return info
}

// UntypedOf says how a value is stored if its type t is known at run time only. A value that was
// stored as a T may be read into a *T, and the reverse. An interface may be read from any entry.
func (c *Codec) UntypedOf(t reflect.Type) *Type {
	if known, ok := c.untyped.Load(t); ok {
		return known.(*Type)
	}
	form := t
	for form != nil && form.Kind() == reflect.Pointer && form.Name() == "" {
		form = form.Elem()
	}
	info := c.TypeOf(t, "", nil)
	info.fingerprint = c.TypeOf(form, "", nil).fingerprint
	info.every = form != nil && form.Kind() == reflect.Interface
	known, _ := c.untyped.LoadOrStore(t, info)
	return known.(*Type)
}
