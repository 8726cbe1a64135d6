package config

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// inputs are the names of what a Source was loaded from.
type inputs struct {
	files, variables, others []string
	blank                    []string // the files without content
}

// blank reports whether a file has nothing but blanks, comments and the marks of a YAML document.
func blank(data []byte) bool {
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte(byteOrderMark))) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && string(line) != "---" && string(line) != "..." {
			return false
		}
	}
	return true
}

// Emptied reports every file that has no content in after, and had some in before. It was most
// likely cut off while it was written, so a running application keeps what it has. At a start, a
// file without content is valid. The error is an *Error.
func Emptied(before, after *Source) error {
	var problems []Problem
	for _, path := range after.inputs.blank {
		if slices.Contains(before.inputs.files, path) && !slices.Contains(before.inputs.blank, path) {
			problems = append(problems, Problem{Origin: path, Message: "is empty, and had content before: it was probably cut off while it was written. " +
				"Write it again; or, if the defaults are meant, write a section without keys (cache: {} in YAML, [cache] in TOML), or restart"})
		}
	}
	return newError(problems)
}

// Changes returns the paths of the keys whose values differ, sorted. What counts are the loaded
// values, with the environment, and the content of the files of secrets that before has decoded: so
// neither formatting nor comments, anchors, the order of keys, nor the input that sets a value make
// a difference. A number that became text does. Keys at the top that begin with "x-" are left out,
// and so is what does not belong to the cache in a shared root (see [From]). Call it after decoding
// and CheckSections. It returns no values.
//
// followed are the paths of sections, such as "cache.redis", whose owner reads the files of its
// secrets again by itself (see [Section.Reread]). Their contents do not count.
func Changes(before, after *Source, followed ...string) []string {
	old, next := before.values(), after.values()
	var paths []string
	for key := range next {
		if _, known := old[key]; !known {
			old[key] = absent
		}
	}
	for _, key := range slices.Sorted(maps.Keys(old)) {
		value, known := next[key]
		if !known {
			value = absent
		}
		switch {
		case equal(old[key], value) && (follows(followed, key) || !otherSecret(before, after, key, value)):
			continue
		case value == absent && isEmptySection(old[key]) && after.provenance[key].kind == aSection,
			old[key] == absent && isEmptySection(value) && before.provenance[key].kind == aSection:
			continue // it has keys now, or had some: those are reported
		}
		from, known := after.provenance[key]
		if !known {
			from = before.provenance[key]
		}
		paths = append(paths, from.origin.problem(key, "").Path)
	}
	return paths
}

// follows reports whether key is in one of the sections.
func follows(sections []string, key string) bool {
	return slices.ContainsFunc(sections, func(section string) bool { return within(key, strings.ReplaceAll(section, ".", delimiter)) })
}

// otherSecret reports whether the file at a path, the value of key, had another content before.
func otherSecret(before, after *Source, key string, path any) bool {
	old, known := before.secretAt(key, path)
	if !known {
		return false
	}
	// What has changed is decoded later, so after may not have read the file yet. What has not may
	// never be decoded, so after has to know that this is the file of a secret.
	after.knowSecret(key)
	next, err := after.secretFiles.read(path.(string))
	return err != nil || old != next
}

// absent is the value of a key that is not there. It differs from a key without a value.
var absent = &struct{ int }{}

func isEmptySection(value any) bool {
	section, ok := value.(map[string]any)
	return ok && len(section) == 0
}

// flattenInto adds the single values and lists below key, and the sections without keys.
func flattenInto(all map[string]any, key string, value any) {
	section, isSection := value.(map[string]any)
	if !isSection || len(section) == 0 && key != "" {
		all[key] = value
		return
	}
	for name, child := range section {
		flattenInto(all, childKey(key, name), child)
	}
}

// equal compares two values as the parsers make them. Two formats have different types for the same
// number.
func equal(a, b any) bool {
	if f, ok := a.(opaque); ok {
		a = f()
	}
	if f, ok := b.(opaque); ok {
		b = f()
	}
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	if v.IsValid() && w.IsValid() && isNumber(v.Type()) && isNumber(w.Type()) {
		if v.CanInt() && w.CanInt() {
			return v.Int() == w.Int()
		}
		return asFloat(v) == asFloat(w)
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	}
	return reflect.DeepEqual(a, b)
}

func asFloat(v reflect.Value) float64 { return v.Convert(reflect.TypeFor[float64]()).Float() }
