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

// delimiter separates the keys of a path within koanf. With a dot, a dot in a file's key would open a
// section.
const delimiter = "\x1f"

// origin says where a value came from, as Problem.Origin has it.
type origin struct {
	name string
	// prefix is the path within somebody else's koanf that is the root here.
	prefix string
	// shared: the root also holds sections that are none of ours.
	shared bool
}

func (o origin) problem(key, format string, args ...any) Problem {
	return Problem{Path: strings.Trim(o.prefix+"."+display(key), "."), Origin: o.name, Message: fmt.Sprintf(format, args...)}
}

// mark is what koanf does not keep about the value at a path.
type mark struct {
	origin origin // for a section, the first input that has it
	noun   string
}

// loader puts one layer after the other into a Source.
type loader struct {
	source   *Source
	problems []Problem
}

func (l *loader) report(from origin, key, format string, args ...any) {
	l.problems = append(l.problems, from.problem(key, format, args...))
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

// merge puts layer over the layers so far, unless err is why there is none. koanf would let a value
// replace a section, and a section without keys all the keys that other layers gave it.
func (l *loader) merge(from origin, layer *koanf.Koanf, err error) {
	marks := l.source.marks
	for _, key := range slices.Sorted(maps.Keys(layer.KeyMap())) {
		last, next := marks[key], mark{from, noun(layer.Get(key))}
		wasSection, isSection := last.noun == aSection, next.noun == aSection
		switch {
		case wasSection && isSection:
		case wasSection && next.noun == nothing:
			layer.Delete(key)
		case wasSection:
			l.report(from, key, "must be a section, as in %s, not %s", last.origin.name, next.noun)
		case isSection && cmp.Or(last.noun, nothing) != nothing:
			l.report(from, key, "must not be a section: it is %s in %s", last.noun, last.origin.name)
		default:
			marks[key] = next
		}
	}
	// What no input has set is looked for where the application keeps its configuration.
	l.source.prefix = cmp.Or(from.prefix, l.source.prefix)
	if err = cmp.Or(err, l.source.keys.Merge(layer)); err != nil {
		l.report(from, "", "cannot be read: %s", reason(err))
	}
}

// below is the key of name, or of an item of a list, in what is at key.
func below(key, name string) string {
	if key == "" {
		return name
	}
	return key + delimiter + name
}

// display is a key of koanf as an operator reads it. What would not be recognised as one key is quoted.
func display(key string) (path string) {
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

// maxShownKey is how many letters of a key are shown. No key of ours is longer.
const maxShownKey = 64

// shownKey is a key as far as it may be shown: {password:secret}, with no blank behind the colon, is a
// key to YAML.
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

// carried takes a struct through koanf, whose deep copies empty the fields that are not exported: a
// secret would be gone. They leave functions alone.
type carried func() any

// plain copies a value of Go code into the types that the parsers produce, because koanf merges
// nothing but map[string]any.
func plain(value any) any {
	v := reflect.ValueOf(value)
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil
	case v.Kind() == reflect.Pointer:
		return plain(v.Elem().Interface())
	case v.Kind() == reflect.Struct:
		return carried(func() any { return value })
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

// noun names the kind of a value, in an operator's words and without the value.
func noun(value any) string {
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
