package config

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
	"time"
)

var (
	durationType        = reflect.TypeFor[time.Duration]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	revealerType        = reflect.TypeFor[interface{ Reveal() string }]()
)

// fields maps the keys of a struct, and of the structs squashed into it, to their fields. The Index
// of a field starts at t. mapstructure does not reveal the types, which unknown keys, secrets and
// secret files depend on.
func fields(t reflect.Type) map[string]reflect.StructField {
	found := map[string]reflect.StructField{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("koanf"), ",")
		switch {
		case options == "squash" && field.Type.Kind() == reflect.Struct && (field.IsExported() || field.Anonymous):
			for key, inner := range fields(field.Type) {
				inner.Index = append([]int{i}, inner.Index...)
				if _, hidden := found[key]; !hidden {
					found[key] = inner
				}
			}
		case name != "" && name != "-" && field.IsExported():
			found[name] = field
		}
	}
	return found
}

// hasOption reports whether the tag of a field has an option: "public" says that its text may be
// shown, "template" that its text may look like a placeholder.
func hasOption(field reflect.StructField, option string) bool {
	_, options, _ := strings.Cut(field.Tag.Get("koanf"), ",")
	return slices.Contains(strings.Split(options, ","), option)
}

// hintsOf returns the method Hint of a section, which knows what other systems call its keys.
func hintsOf(v reflect.Value) func(key string) string {
	pointer := reflect.New(v.Type())
	if owner, ok := pointer.Interface().(interface{ Hint(key string) string }); ok {
		return owner.Hint
	}
	return func(string) string { return "" }
}

// isText reports whether t implements encoding.TextUnmarshaler.
func isText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textUnmarshalerType) }

// isSecret reports whether t is a secret or a pointer to one.
func isSecret(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return isText(t) && reflect.PointerTo(t).Implements(revealerType)
}

// holdsSecrets reports whether t is a secret, or a list or map of secrets.
func holdsSecrets(t reflect.Type) bool {
	for !isText(t) && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		t = t.Elem()
	}
	return isSecret(t)
}

// isSection reports whether t, or the type it points to, is read from a section of keys.
func isSection(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return !isText(t) && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map)
}

func isNumber(t reflect.Type) bool {
	v := reflect.Zero(t)
	return v.CanInt() || v.CanUint() || v.CanFloat()
}
