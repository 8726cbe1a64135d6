package config

import (
	"encoding"
	"reflect"
	"strings"
	"time"
)

var (
	durationType        = reflect.TypeFor[time.Duration]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	revealerType        = reflect.TypeFor[interface{ Reveal() string }]()
)

// fields maps the keys of a struct to the indexes of their fields, those of squashed structs included.
// A key of the outer struct hides the same key of a squashed one, as a field of Go does.
func fields(t reflect.Type) map[string][]int {
	found, outer := map[string][]int{}, map[string][]int{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("koanf"), ",")
		switch {
		case options == "squash" && field.Type.Kind() == reflect.Struct && (field.IsExported() || field.Anonymous):
			for key, index := range fields(field.Type) {
				found[key] = append([]int{i}, index...)
			}
		case name != "" && name != "-" && field.IsExported():
			outer[name] = []int{i}
		}
	}
	for key, index := range outer {
		found[key] = index
	}
	return found
}

// isText reports whether a value of type t reads itself from text.
func isText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textUnmarshalerType) }

// isSecret reports whether t, or what t points to, is a secret.
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

// isSection reports whether t is read from a section of keys.
func isSection(t reflect.Type) bool {
	return !isText(t) && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map)
}

func isNumber(t reflect.Type) bool {
	v := reflect.Zero(t)
	return v.CanInt() || v.CanUint() || v.CanFloat()
}
