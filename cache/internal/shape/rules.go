// Package shape finds what a codec cannot bring back: of a type, before anything is stored, and of
// a value, when it is encoded. It encodes nothing, and knows no cache.
package shape

import (
	"reflect"
	"slices"
	"sync"
)

// Loss is cache.Loss.
type Loss struct {
	// Path leads from the type, which is T, to what is lost, for example "T.Orders[].secret". "[]"
	// is an element of a slice, an array or a map, and "[key]" a key of a map.
	Path string
	// Reason says what happens to it, and what to do about it.
	Reason string
	// Dropped: it is left out, and the rest of the value comes back. Otherwise no value of the type
	// comes back.
	Dropped bool
}

// Error says why a value cannot be encoded. Its text has names of fields and types, and nothing of
// the value.
type Error struct{ Path, Reason string }

// Error implements error.
func (e *Error) Error() string { return e.Path + " " + e.Reason }

// HoldsNoValue tells package entry that the text may be logged, and be part of another error's.
func (e *Error) HoldsNoValue() {}

// under puts what leads to the place of the error in front of its path.
func (e *Error) under(step string) *Error {
	if e != nil {
		e.Path = step + e.Path
	}
	return e
}

// Pair is two methods by which a type encodes itself.
type Pair struct {
	Marshal, Unmarshal reflect.Type // interfaces
	To, From           string       // their methods
	// Nests: what Marshal returns is in the codec's own format, and may be nested.
	Nests bool
	// Text: what Marshal returns is the content of a string.
	Text bool
}

// Rules say what one codec does with Go types. They must not be changed after the first use.
type Rules struct {
	Codec string
	// Own are the pairs that the codec knows, in the order in which it looks for them.
	Own []Pair
	// Known are types that the codec has an encoding of its own for.
	Known []reflect.Type
	// Dynamic are the types, besides []any and map[string]any, that come back as they were if an
	// interface holds them.
	Dynamic []reflect.Type
	// Fields tells the fields of a struct that the codec stores from those that it does not.
	Fields func(structure reflect.Type) (kept, lost []Field)
	// Key says why the codec cannot use a type as the key of a map, and whether what it makes of
	// the key depends on the value. Nil means that keys are like other values.
	Key func(key reflect.Type) (reason string, depends bool)
	// Addresses: the codec does not find the methods of pointers if it cannot take the address.
	Addresses bool
	// Verifies: the codec decodes what it has encoded if the outcome depends on the value.
	Verifies bool
	// FillsEmbedded: an embedded nil pointer comes back as a pointer to an empty struct.
	FillsEmbedded bool
	// Depth is how deep a value may be nested.
	Depth int

	plans sync.Map // reflect.Type → *Plan
	infos sync.Map // reflect.Type → *info
}

// own returns the pairs by which the codec encodes and decodes a type. Without one it is nil.
func (r *Rules) own(t reflect.Type, addressable bool) (to, from *Pair) {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return nil, nil
	}
	pointer := reflect.PointerTo(t)
	for i := range r.Own {
		pair := &r.Own[i]
		if to == nil && (t.Implements(pair.Marshal) || (addressable || !r.Addresses) && pointer.Implements(pair.Marshal)) {
			to = pair
		}
		if from == nil && pointer.Implements(pair.Unmarshal) {
			from = pair
		}
	}
	return to, from
}

// EncodesItself reports whether the codec uses methods of a type, to encode or to decode it.
func (r *Rules) EncodesItself(t reflect.Type) bool {
	to, from := r.own(t, true)
	return to != nil || from != nil || slices.Contains(r.Known, t)
}
