package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Source is a merged configuration. Make one with [Load]. It is safe for concurrent use; what was
// loaded never changes.
type Source struct {
	root *node // nil in the zero value, which is empty

	mu        sync.Mutex
	sections  map[string]bool // top level names that were checked or decoded
	secrets   map[string]bool // paths that are decoded into secrets
	effective map[string]any  // what Decode has produced, secrets redacted
}

// Decode reads the section at path ("cache.bigcache"; "" is the root) into dst, a pointer to a struct
// with `koanf` tags, on top of what dst holds: fill in the defaults first. A section that is missing
// leaves them all. Maps are merged, everything else is replaced.
//
// It is strict: the error is one *Error with all unknown keys, values of the wrong type and secret
// files that cannot be read, and, if dst has a method Validate() error and every value could be read,
// what that reports about the result. Validate may join errors with errors.Join; one with a method
// Option() (name, reason string) is about the key of that name. On an error dst is as it was before.
//
// sections names keys within the section that belong to somebody else, such as the sections of the
// strategies within `cache`: they are allowed, and left alone.
func (s *Source) Decode(path string, dst any, sections ...string) error {
	target := reflect.ValueOf(dst)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		return newError([]Problem{{Path: path, Message: fmt.Sprintf("cannot be decoded into %T: that is not a pointer to a struct", dst)}})
	}
	d := decoder{}
	at := s.find(path, &d)
	result := reflect.New(target.Type().Elem())
	result.Elem().Set(target.Elem())
	if !d.failed {
		keys, _ := at.value.(section)
		d.section(keys, path, result.Elem(), sections)
	}
	if !d.failed {
		d.validate(result.Interface(), path, at)
	}
	err := newError(d.problems)
	s.remember(path, result.Elem(), d.secrets, err == nil)
	if err == nil {
		target.Elem().Set(result.Elem())
	}
	return err
}

// find returns the section at path. For a missing one it returns a stand-in that knows where the
// nearest section that is there came from.
func (s *Source) find(path string, d *decoder) *node {
	at := s.root
	if at == nil {
		at = &node{}
	}
	if path == "" {
		return at
	}
	below := ""
	for _, key := range strings.Split(path, ".") {
		keys, _ := at.value.(section)
		below = join(below, key)
		next, ok := keys[key]
		if !ok {
			next = &node{origin: origin{prefix: at.origin.prefix}}
		} else if _, isSection := next.value.(section); !isSection && next.value != nil {
			d.wrong(next, below, "must be a section of keys, not %s", noun(next))
			return next
		}
		at = next
	}
	return at
}

// remember keeps what String shows, and what it hides.
func (s *Source) remember(path string, result reflect.Value, secrets []string, valid bool) {
	name, _, _ := strings.Cut(path, ".")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.know(name)
	for _, secret := range secrets {
		s.secrets[secret] = true
	}
	if !valid {
		return
	}
	shown := show(result, false)
	if path != "" {
		for _, key := range slices.Backward(strings.Split(path, ".")) {
			shown = map[string]any{key: shown}
		}
	}
	overlay(s.effective, shown.(map[string]any))
}

// know notes top level names that are ours. The caller holds mu.
func (s *Source) know(names ...string) {
	if s.sections == nil {
		s.sections, s.secrets, s.effective = map[string]bool{}, map[string]bool{}, map[string]any{}
	}
	for _, name := range names {
		s.sections[name] = true
	}
}

// CheckSections reports every key at the top level that is not in names, with the nearest name. In
// the root of an application's koanf (From with the path "") other keys are the application's own:
// only those that are almost a name are reported. The error is an *Error.
func (s *Source) CheckSections(names ...string) error {
	s.mu.Lock()
	s.know(names...)
	s.mu.Unlock()
	if s.root == nil {
		return nil
	}
	var problems []Problem
	keys, _ := s.root.value.(section)
	for key, child := range keys {
		if slices.Contains(names, key) || child.origin.shared && nearest(key, names, 2) == "" {
			continue
		}
		problems = append(problems, child.origin.problem(join("", key), "%s", unknown(key, names)))
	}
	return newError(problems)
}

// At returns the section at path, to hand on to its owner.
func (s *Source) At(path string) Section { return Section{s, path} }

// Section is one section of a Source. The zero value is an empty section. It is safe for concurrent
// use.
type Section struct {
	source *Source
	path   string
}

// Decode is [Source.Decode] for this section.
func (s Section) Decode(dst any) error {
	if s.source == nil {
		return new(Source).Decode("", dst)
	}
	return s.source.Decode(s.path, dst)
}

// String returns the effective configuration as YAML: what was loaded, and on top of it the results of
// Decode so far, so that defaults show. Secrets, and whatever looks like one by its name, read
// "[redacted]"; so does the password in a URL. A section that nobody has decoded has only its names
// to go by, so print after decoding. Of a shared root (see [From]), only sections that were decoded
// or named to CheckSections are shown.
func (s *Source) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]any{}
	if s.root != nil {
		keys, _ := s.root.value.(section)
		for key, child := range keys {
			if !child.origin.shared || s.sections[key] {
				all[key] = s.showRaw(child, join("", key), looksSecret(key))
			}
		}
	}
	overlay(all, s.effective)
	return encode(all)
}

func (s *Source) showRaw(n *node, path string, hidden bool) any {
	hidden = hidden || s.secrets[path]
	switch value := n.value.(type) {
	case nil:
		return nil
	case section:
		shown := make(map[string]any, len(value))
		for _, key := range slices.Sorted(maps.Keys(value)) {
			shown[key] = s.showRaw(value[key], join(path, key), hidden || looksSecret(key))
		}
		return shown
	case list:
		shown := make([]any, len(value))
		for i, item := range value {
			shown[i] = s.showRaw(item, fmt.Sprintf("%s[%d]", path, i), hidden)
		}
		return shown
	}
	if hidden {
		return mask(n.value != "")
	}
	return show(reflect.ValueOf(n.value), false)
}
