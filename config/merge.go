package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// delimiter separates the keys of a path within koanf. It is not a dot because then a dot in a
// file's key would open a section.
const delimiter = "\x1f"

// origin says where a value came from. Its name is Problem.Origin.
type origin struct {
	name string
	// environment is the prefix of the variables if name is that of a variable.
	environment string
	// prefix is the path of our root within the application's koanf.
	prefix string
	// shared: the root also holds sections of the application.
	shared bool
}

func (o origin) problem(key, format string, args ...any) Problem {
	return Problem{Path: strings.Trim(o.prefix+"."+displayPath(key), "."), Origin: o.name, Message: fmt.Sprintf(format, args...)}
}

// provenance is what this package knows about a value in addition to koanf: where it came from, and
// its kind.
type provenance struct {
	origin origin // of a section: the first input that has it
	kind   string
	empty  bool // it is empty text
}

// loader merges layers into a Source, one after the other.
type loader struct {
	source   *Source
	problems []Problem
	// incomplete: an input is missing, so what the others lack may be in that one.
	incomplete bool
}

func (l *loader) report(from origin, key, format string, args ...any) {
	l.problems = append(l.problems, from.problem(key, format, args...))
}

// fail reports that a whole input could not be read.
func (l *loader) fail(from origin, format string, args ...any) {
	l.report(from, "", format, args...)
	l.incomplete = true
}

// set loads a layer of a single value.
func (l *loader) set(from origin, path []string, value any) {
	l.load(from, confmap.Provider(map[string]any{strings.Join(path, delimiter): value}, delimiter))
}

// load merges a layer of values that are in memory.
func (l *loader) load(from origin, provider koanf.Provider) {
	layer := koanf.New(delimiter)
	l.merge(from, layer, layer.Load(provider, nil))
}

// merge puts layer over the layers so far. If err is not nil, it reports that layer could not be
// loaded. koanf itself would let a single value replace a section, and would let an empty section
// remove all the keys that other layers have set.
func (l *loader) merge(from origin, layer *koanf.Koanf, err error) {
	known := l.source.provenance
	for _, key := range slices.Sorted(maps.Keys(layer.KeyMap())) {
		last, next := known[key], provenance{from, kindName(layer.Get(key)), layer.Get(key) == ""}
		wasSection, isSection := last.kind == aSection, next.kind == aSection
		switch {
		case wasSection && isSection:
		case wasSection && next.kind == nothing:
			layer.Delete(key)
		case wasSection:
			l.report(from, key, "must be a section, as in %s, not %s", last.origin.name, next.kind)
		case isSection && cmp.Or(last.kind, nothing) != nothing:
			l.report(from, key, "must not be a section: it is %s in %s", last.kind, last.origin.name)
		default:
			known[key] = next
		}
	}
	// A key that no input has set is reported with the prefix of the application's koanf, where an
	// operator would add it.
	l.source.prefix = cmp.Or(from.prefix, l.source.prefix)
	if err = cmp.Or(err, l.source.keys.Merge(layer)); err != nil {
		l.fail(from, "cannot be read: %s", reason(err))
	}
}

// childKey is the key of name, or of an item of a list, below key.
func childKey(key, name string) string {
	if key == "" {
		return name
	}
	return key + delimiter + name
}

// displayPath returns a key of koanf for an operator to read. A part that could be misread is
// quoted: a file's key "a.b" is shown as "\"a.b\"".
func displayPath(key string) (path string) {
	for part := range strings.SplitSeq(key, delimiter) {
		switch {
		case path != "" && strings.HasPrefix(part, "["):
			path += part
			continue
		case key != "" && part == "" || strings.ContainsAny(part, ".\"\n") || shownKey(part) != part:
			part = strconv.Quote(shownKey(part))
		}
		path = strings.TrimPrefix(path+"."+part, ".")
	}
	return path
}

// maxShownKey is the number of bytes of a key that are shown. Valid keys are shorter.
const maxShownKey = 64

// shownKey returns the part of a key that may be shown. It may not all be a key: YAML reads
// {password:secret}, without a space after the colon, as one key.
func shownKey(key string) string {
	end := strings.IndexFunc(key, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-. /\"\n", r)
	})
	if end < 0 && len(key) <= maxShownKey {
		return key
	}
	if end < 0 || end > maxShownKey {
		end = maxShownKey
	}
	return strings.ToValidUTF8(key[:end], "") + "…"
}

// opaque carries a struct through koanf. koanf's deep copies empty unexported fields, and so would
// lose a secret. They do not copy functions.
type opaque func() any

// plain converts a Go value into the types that the parsers produce, because koanf merges only
// map[string]any.
func plain(value any) any {
	v := reflect.ValueOf(value)
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil
	case v.Kind() == reflect.Pointer:
		return plain(v.Elem().Interface())
	case v.Kind() == reflect.Struct:
		return opaque(func() any { return value })
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i).Interface())
		}
		return list
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		section := make(map[string]any, v.Len())
		for entry := v.MapRange(); entry.Next(); {
			section[entry.Key().String()] = plain(entry.Value().Interface())
		}
		return section
	}
	return value
}

const (
	nothing  = "nothing"
	aSection = "a section"
	aText    = "text"
	aNumber  = "a number"
	aBool    = "true or false"
)

// kindName returns the kind of a value in an operator's words, without the value.
func kindName(value any) string {
	switch v := reflect.ValueOf(value); {
	case !v.IsValid():
		return nothing
	case v.Kind() == reflect.Map:
		return aSection
	case v.Kind() == reflect.Slice:
		return "a list"
	case v.Kind() == reflect.String:
		return aText
	case v.Kind() == reflect.Bool:
		return aBool
	case isNumber(v.Type()):
		return aNumber
	}
	return "a value of another kind"
}
