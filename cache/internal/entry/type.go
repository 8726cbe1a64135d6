package entry

import (
	"encoding"
	"reflect"
	"strconv"

	"github.com/fxcache/fxcache/cache/internal/shape"
)

var (
	appenderType    = reflect.TypeFor[encoding.BinaryAppender]()
	marshalerType   = reflect.TypeFor[encoding.BinaryMarshaler]()
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
	appends     bool         // and appends to what there is
	owned       bool         // and may keep the bytes that it is decoded from
	boxed       bool         // the type is an interface, and the codec must see that
	pointed     reflect.Type // if the type is a pointer: what it points to
	losses      []shape.Loss // what would not come back
	unfit       error        // why no value is encoded
}

// Losses returns what of the values would not come back.
func (t *Type) Losses() []shape.Loss { return t.losses }

// TypeOf says how values of t are stored in a cache whose entries all carry tags. Unless version is
// empty, it stands for the form of the values.
func (c *Codec) TypeOf(t reflect.Type, version string, tags []string) *Type {
	info := &Type{codec: c, tag: c.tag}
	if t != nil {
		pointer := reflect.PointerTo(t)
		if t.Kind() == reflect.Pointer {
			info.pointed, pointer = t.Elem(), t
		}
		info.boxed = t.Kind() == reflect.Interface
		info.owned = pointer.Implements(ownedType)
		info.appends = pointer.Implements(appenderType)
		info.self = (info.appends || pointer.Implements(marshalerType)) && (info.owned || pointer.Implements(unmarshalerType))
		if info.self {
			info.tag = selfEncoded
			info.losses = shape.Promoted(pointer.Elem(), "T", info.methods())
		} else if checker, ok := c.values.(typeChecker); ok {
			info.losses = checker.CheckType(t)
		}
	}
	form := versioned(version)
	if version == "" {
		form = formOf(t, info.self)
	}
	if !info.self { // the tag is a byte, which two codecs may have in common
		form = strconv.AppendQuote(append(form, " codec "...), c.values.Name())
	}
	info.fingerprint = fingerprintOf(form, tags)
	return info
}

// methods returns the methods by which the type encodes itself.
func (t *Type) methods() *shape.Pair {
	pair := &shape.Pair{Marshal: marshalerType, To: "MarshalBinary", Unmarshal: unmarshalerType, From: "UnmarshalBinary"}
	if t.appends {
		pair.Marshal, pair.To = appenderType, "AppendBinary"
	}
	if t.owned {
		pair.Unmarshal, pair.From = ownedType, "UnmarshalOwned"
	}
	return pair
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
	for _, loss := range info.losses { // one is enough
		info.unfit = &shape.Error{Path: loss.Path, Reason: loss.Reason}
	}
	known, _ := c.untyped.LoadOrStore(t, info)
	return known.(*Type)
}
