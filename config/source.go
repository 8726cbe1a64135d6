package config

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/knadh/koanf/maps"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/v2"
)

// Source is a merged configuration. Make one with [Load]. It is safe for concurrent use; what was
// loaded never changes.
type Source struct {
	keys   *koanf.Koanf
	marks  map[string]mark // by path in keys
	prefix string          // of keys that no input has set

	mu        sync.Mutex
	sections  map[string]bool // top level names that were checked or decoded
	secrets   map[string]bool // paths that are decoded into secrets
	files     map[string]bool // paths of secrets' files that could be read
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
	s.know()
	d := decoder{source: s, foreign: sections}
	found := d.find(path)
	result := reflect.New(target.Type().Elem())
	result.Elem().Set(target.Elem())
	if found {
		d.unmarshal(result.Interface())
	}
	if !d.failed {
		d.validate(result.Interface())
	}
	err := newError(d.problems)
	s.remember(&d, result.Elem(), err == nil)
	if err == nil {
		target.Elem().Set(result.Elem())
	}
	return err
}

// find makes the section at path the root. One that is missing knows the prefix of the nearest section
// that is there.
func (d *decoder) find(path string) (found bool) {
	key := strings.ReplaceAll(path, ".", delimiter)
	d.root = &node{key: key, origin: origin{prefix: d.source.prefix}}
	if key == "" {
		return true
	}
	at := ""
	for name := range strings.SplitSeq(key, delimiter) {
		at = below(at, name)
		known, ok := d.source.marks[at]
		if !ok {
			d.root.origin = origin{prefix: d.root.origin.prefix}
			return false
		}
		d.root.origin = known.origin
		if known.noun != aSection && known.noun != nothing {
			_ = d.wrong(&node{key: at, origin: known.origin}, "must be a section of keys, not %s", known.noun)
			return false
		}
	}
	return d.source.marks[key].noun == aSection
}

// remember keeps what String shows, and what it hides.
func (s *Source) remember(d *decoder, result reflect.Value, valid bool) {
	key := d.root.key
	name, _, _ := strings.Cut(key, delimiter)
	s.know(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range d.secrets {
		s.secrets[secret] = true
	}
	if !valid {
		return
	}
	for _, file := range d.files {
		s.files[file] = true
	}
	shown := s.show(result, key, numbers).(map[string]any)
	if key != "" {
		shown = maps.Unflatten(map[string]any{key: shown}, delimiter)
	}
	maps.Merge(shown, s.effective)
}

// know notes top level names that are ours, and makes the zero value usable.
func (s *Source) know(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys, s.marks = koanf.New(delimiter), map[string]mark{}
		s.sections, s.secrets, s.files, s.effective = map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]any{}
	}
	for _, name := range names {
		s.sections[name] = true
	}
}

// Text returns the text at path, whatever else is wrong in its section; ok is false where there is
// none. It is for the name that says whose section to decode.
func (s *Source) Text(path string) (text string, ok bool) {
	if s.keys == nil {
		return "", false
	}
	text, ok = s.keys.Get(strings.ReplaceAll(path, ".", delimiter)).(string)
	return text, ok
}

// CheckSections reports every key at the top level that is not in names, with the nearest name. In
// the root of an application's koanf (From with the path "") other keys are the application's own:
// only those that are almost a name are reported. The error is an *Error.
func (s *Source) CheckSections(names ...string) error {
	s.know(names...)
	var problems []Problem
	for key := range s.keys.Raw() {
		from := s.marks[key].origin
		if slices.Contains(names, key) || from.shared && nearest(key, names, 2) == "" {
			continue
		}
		problems = append(problems, from.problem(key, "%s", unknown(key, names)))
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
// Decode so far, so that defaults show. What is not known to be harmless reads "[redacted]": text, unless
// its field has the tag `koanf:"name,public"`; numbers of a section that nobody has decoded, and whatever
// looks like a secret by its name. So does the password in a URL. Print after decoding, therefore. Of a
// shared root (see [From]), only sections that were decoded or named to CheckSections are shown.
func (s *Source) String() string {
	s.know()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]any{}
	for key, value := range s.keys.Raw() {
		if !s.marks[key].origin.shared || s.sections[key] {
			all[shownKey(key)] = s.show(reflect.ValueOf(value), key, kinds)
		}
	}
	maps.Merge(s.effective, all)
	text, err := yaml.Parser().Marshal(all)
	if err != nil {
		return "# " + err.Error() + "\n"
	}
	return string(text)
}

// Format implements fmt.Formatter: every verb and flag prints String, and none what is behind it.
func (s *Source) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }
