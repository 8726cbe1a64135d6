package shape

import (
	"cmp"
	"reflect"
	"slices"
)

// Field is a field of a struct, or one that an embedded struct lends to it.
type Field struct {
	reflect.StructField        // Index leads from the outermost struct
	Path                string // the names on the way, for example "Base.Name"
	Why                 string // it is lost; otherwise empty
	Never               string // why it cannot be decoded; otherwise empty
	Indirect            bool   // there is an embedded pointer on the way

	pointer bool // it is an embedded pointer itself
}

// Tag is what a codec reads from a field's tag.
type Tag struct {
	Name   string // empty: that of the field
	Tagged bool   // wins over another field of the same name and depth
	Skip   bool
}

// Why a field is lost.
const (
	Unexported = "is unexported"
	Skipped    = `is tagged "-"`
	Shadowed   = "is shadowed by another field of the same name"
)

// candidate is a field that may be stored under a name.
type candidate struct {
	Field
	name   string
	tagged bool
}

// level is an embedded struct whose fields belong to the outermost one.
type level struct {
	Field
	times int // how often it is embedded at this depth
}

// EmbeddingFields returns the fields of a struct by the rules of encoding/json: the fields of an
// embedded struct belong to the outer one, and of fields with one name, the outermost counts.
func EmbeddingFields(structure reflect.Type, tagOf func(reflect.StructField) Tag) (kept, lost []Field) {
	var found []candidate
	visited := map[reflect.Type]bool{}
	next := []level{{Field{StructField: reflect.StructField{Type: structure}}, 1}}
	for len(next) > 0 {
		current := next
		next = nil
		for _, outer := range current {
			if outer.Type.Kind() == reflect.Pointer {
				outer.Type = outer.Type.Elem()
			}
			if visited[outer.Type] {
				lost = Lose(lost, outer.Field, Shadowed)
				continue
			}
			visited[outer.Type] = true
			for i := range outer.Type.NumField() {
				field := outer.Inner(i)
				tag := tagOf(field.StructField)
				embedded, isStruct := field.EmbeddedStruct()
				switch {
				case !field.IsExported() && !isStruct:
					lost = Lose(lost, field, Unexported)
				case tag.Skip:
					lost = Lose(lost, field, Skipped)
				case isStruct && tag.Name == "":
					at := slices.IndexFunc(next, func(l level) bool { return base(l.Type) == embedded })
					if at < 0 {
						next = append(next, level{field, 1})
						continue
					}
					next[at].times++
					lost = Lose(lost, field, Shadowed)
				default:
					c := candidate{field, cmp.Or(tag.Name, field.Name), tag.Tagged}
					if found = append(found, c); outer.times > 1 { // neither of them counts
						found = append(found, c)
					}
				}
			}
		}
	}
	for i, c := range found {
		if dominant(found, i) {
			kept = append(kept, c.Field)
		} else {
			lost = Lose(lost, c.Field, Shadowed)
		}
	}
	return kept, lost
}

func dominant(found []candidate, i int) bool {
	c := found[i]
	for j, other := range found {
		if i == j || other.name != c.name || len(other.Index) > len(c.Index) {
			continue
		}
		if len(other.Index) < len(c.Index) || other.tagged || !c.tagged {
			return false
		}
	}
	return true
}

// Lose adds a field to those that are lost, unless there is nothing in it.
func Lose(lost []Field, field Field, why string) []Field {
	if field.Type.Size() == 0 || field.Name == "_" {
		return lost
	}
	if field.Why = why; slices.ContainsFunc(lost, func(f Field) bool { return f.Path == field.Path }) {
		return lost
	}
	return append(lost, field)
}

// Inner returns a field of an embedded struct, as one of the outermost struct.
func (f Field) Inner(i int) Field {
	inner := Field{StructField: f.Type.Field(i), Never: f.Never, Indirect: f.Indirect || f.pointer}
	inner.Index = append(slices.Clone(f.Index), i)
	if inner.Path = inner.Name; f.Path != "" {
		inner.Path = f.Path + "." + inner.Name
	}
	if _, embedded := inner.EmbeddedStruct(); embedded && inner.Type.Kind() == reflect.Pointer {
		if inner.pointer = true; !inner.IsExported() {
			inner.Never = "is behind an embedded pointer to an unexported struct, which cannot be decoded"
		}
	}
	return inner
}

// EmbeddedStruct returns the struct that a field embeds, itself or as a pointer.
func (f Field) EmbeddedStruct() (reflect.Type, bool) {
	t := base(f.Type)
	return t, f.Anonymous && t.Kind() == reflect.Struct
}

func base(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}
