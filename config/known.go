package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// schema has the paths of all keys that are known so far. It says of each whether it is a section.
type schema map[string]bool

// add adds the keys of t and of the sections within it, below key. outer are the types that t is
// within: a type may contain itself.
func (s schema) add(key string, t reflect.Type, outer ...reflect.Type) {
	for name, field := range fields(t) {
		at, inner := childKey(key, name), field.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		s[at] = isSection(inner)
		if s[at] && inner.Kind() == reflect.Struct && inner != t && !slices.Contains(outer, inner) {
			s.add(at, inner, append(outer, t)...)
		}
	}
}

// parentOf returns the path of the section that a path is in.
func parentOf(path string) string { return path[:max(0, strings.LastIndex(path, delimiter))] }

// has reports whether path, or the secret that it names the file of, is known.
func (s schema) has(path string) bool {
	_, known := s[path]
	_, secret := s[strings.TrimSuffix(path, "_file")]
	return known || secret
}

// described reports whether the keys of a section are known.
func (s schema) described(section string) bool {
	for path := range s {
		if parentOf(path) == section && path != "" {
			return true
		}
	}
	return false
}

// split takes apart a name that has _ after the names of sections. The sections are those within
// the path.
func (s schema) split(within []string, name string) []string {
	best := ""
	for path, isSection := range s {
		section := strings.TrimPrefix(strings.TrimPrefix(path, parentOf(path)), delimiter)
		if isSection && parentOf(path) == strings.Join(within, delimiter) && len(section) > len(best) && len(name) > len(section)+1 &&
			strings.HasPrefix(name, section) && strings.ContainsRune("_.-", rune(name[len(section)])) {
			best = section
		}
	}
	if best == "" {
		return append(within, name)
	}
	return s.split(append(within, best), name[len(best)+1:])
}

// place returns the known path that an unknown key was meant for, or "": a key that has _ after the
// name of a section, or the key of that name in an outer section or in one of this section.
func (s schema) place(path, key string) string {
	parent := parentOf(path)
	var sections []string
	if parent != "" {
		sections = strings.Split(parent, delimiter)
	}
	if parts := s.split(slices.Clone(sections), key); len(parts) > len(sections)+1 {
		meant := strings.Join(parts, delimiter)
		if s.has(meant) || !s.described(parentOf(meant)) {
			return meant
		}
	}
	for _, known := range slices.Sorted(maps.Keys(s)) {
		at := parentOf(known)
		if at != parent && known == childKey(at, key) && (parent == "" || at == "" || within(at, parent) || within(parent, at)) {
			return known
		}
	}
	return ""
}
