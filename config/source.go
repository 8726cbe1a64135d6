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

	"github.com/fxcache/fxcache/internal/nearest"
)

// Source is a merged configuration. Make one with [Load]. It is safe for concurrent use. The loaded
// values never change.
type Source struct {
	keys       *koanf.Koanf
	provenance map[string]provenance // by path in keys
	prefix     string                // of keys that no input has set
	variables  []variable            // those that set nothing
	inputs     inputs

	secretFiles secretFiles

	mu        sync.Mutex
	sections  map[string]bool // top-level names that were checked or decoded
	secrets   map[string]bool // paths that were decoded into secrets
	files     map[string]bool // paths of the secret files that could be read
	effective map[string]any  // the results of Decode, with secrets redacted
	schema    schema
}

// Decode reads the section at path into dst, a pointer to a struct with `koanf` tags. The path is
// written as "cache.bigcache", and "" is the root. Fill dst with the defaults first: keys that are
// not configured leave their fields alone. Maps are merged, everything else is replaced.
//
// Decode is strict. The error is one *Error that lists all unknown keys, values of the wrong type
// and secret files that cannot be read. If dst has a method Validate() error, it lists the problems
// that Validate reports too, other than those that are about a value that could not be read.
// Validate may join errors with errors.Join. An error with a method Option() (name, reason string)
// is about the key of that name. On an error dst is unchanged.
//
// If dst has a method Complete(), it is called before Validate, to fill in the defaults that depend
// on other keys. A section with a method Hint(key string) string says what to write in place of an
// unknown key, such as the name that another system has for one of its keys. It gets the key in
// lower case, without _ and -.
//
// sections names keys within the section that other code decodes, such as the sections of the
// strategies within `cache`. They are allowed and ignored.
//
// The file of a secret is read by the first Decode that needs it, and every later one sees the same
// content. [Section.Reread] reads it again.
func (s *Source) Decode(path string, dst any, sections ...string) error {
	return s.decode(path, dst, false, sections)
}

// decode is Decode. again: read the files of secrets again, and remember nothing of that.
func (s *Source) decode(path string, dst any, again bool, sections []string) error {
	target := reflect.ValueOf(dst)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		return newError([]Problem{{Path: path, Message: fmt.Sprintf("cannot be decoded into %T: that is not a pointer to a struct", dst)}})
	}
	s.registerSections()
	s.describe(path, target.Type().Elem(), sections)
	d := decoder{source: s, foreign: sections, again: again}
	found := d.find(path)
	result := reflect.New(target.Type().Elem())
	result.Elem().Set(target.Elem())
	if found {
		d.unmarshal(result.Interface())
	}
	if found || len(d.failed) == 0 {
		d.validate(result.Interface())
	}
	err := newError(d.problems)
	if !again {
		s.remember(&d, result.Elem(), err == nil)
	}
	if err == nil {
		target.Elem().Set(result.Elem())
	}
	return err
}

// describe records the keys of a section.
func (s *Source) describe(path string, t reflect.Type, sections []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.ReplaceAll(path, ".", delimiter)
	for at := key; at != ""; at = parentOf(at) {
		s.schema[at] = true
	}
	for _, name := range sections {
		s.schema[childKey(key, name)] = true
	}
	s.schema.add(key, t)
}

// remember stores what String shows and what it hides.
func (s *Source) remember(d *decoder, result reflect.Value, valid bool) {
	key := d.root.key
	name, _, _ := strings.Cut(key, delimiter)
	s.registerSections(name)
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

// registerSections records top-level names that belong to the cache. It also makes the zero value
// of Source usable.
func (s *Source) registerSections(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys, s.provenance = koanf.New(delimiter), map[string]provenance{}
		s.sections, s.secrets, s.files, s.effective = map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]any{}
		s.schema = schema{}
	}
	for _, name := range names {
		s.sections[name], s.schema[name] = true, true
	}
}

// Text returns the text at path, even if other values in the section are invalid. ok is false if
// there is no text. Use it to read the name that selects which section to decode.
func (s *Source) Text(path string) (text string, ok bool) {
	if s.keys == nil {
		return "", false
	}
	text, ok = s.keys.Get(strings.ReplaceAll(path, ".", delimiter)).(string)
	return text, ok
}

// IsSet reports whether an input has set path, also to nothing. An empty section counts.
func (s *Source) IsSet(path string) bool {
	_, ok := s.provenance[strings.ReplaceAll(path, ".", delimiter)]
	return ok
}

// Keys returns the keys of the section at path, in order.
func (s *Source) Keys(path string) []string {
	if s.keys == nil {
		return nil
	}
	section, _ := s.keys.Get(strings.ReplaceAll(path, ".", delimiter)).(map[string]any)
	keys := make([]string, 0, len(section))
	for key := range section {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// CheckSections reports every top-level key that is not in names, with the nearest name or the
// place where it belongs. Keys that begin with "x-" are left alone: files keep the anchors of YAML
// there. It also reports variables of the environment that have one "_" in place of two. Call it
// last: it knows the keys of the sections that were decoded.
//
// In the root of an application's koanf (From with the path "") other keys belong to the
// application, so only keys that are almost a name are reported. The error is an *Error.
func (s *Source) CheckSections(names ...string) error {
	s.registerSections(names...)
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []Problem
	for _, v := range s.variables {
		if problem, ok := v.misnamed(s.schema); ok {
			problems = append(problems, problem)
		}
	}
	for key := range s.keys.Raw() {
		from := s.provenance[key].origin
		if slices.Contains(names, key) || strings.HasPrefix(key, "x-") || from.shared && nearest.To(key, names, 2) == "" {
			continue
		}
		problems = append(problems, from.problem(key, "%s", s.schema.unknown(from, key, names, func(string) string { return "" })))
	}
	return newError(problems)
}

// Files returns the paths of the files that were read, in order: those of [File], and behind them
// the files of secrets that were read so far (password_file and the like). Call it after decoding.
func (s *Source) Files() []string { return slices.Concat(s.inputs.files, s.secretFiles.tried(true)) }

// Depends is Files with the files of secrets that could not be read, for code that waits for them
// to change. Do not print it: the path of a file that does not exist may be the secret itself,
// under the wrong key.
func (s *Source) Depends() []string { return slices.Concat(s.inputs.files, s.secretFiles.tried(false)) }

// Variables returns the names of the environment variables that were read, in order. Those that set
// nothing are not among them.
func (s *Source) Variables() []string { return slices.Clone(s.inputs.variables) }

// Others returns what else was read, the lowest first: "koanf", or "koanf at app.fxcache" for
// [From] with a path; "defaults", "inline" and "code".
func (s *Source) Others() []string { return slices.Clone(s.inputs.others) }

// secretAt returns the content of the file of a secret whose path is the value of key.
func (s *Source) secretAt(key string, path any) (text string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, isText := path.(string)
	if !isText || !s.files[key] {
		return "", false
	}
	text, err := s.secretFiles.read(name)
	return text, err == nil
}

// knowSecret notes that the value of key is the path of a secret's file.
func (s *Source) knowSecret(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[string]bool{}
	}
	s.files[key] = true
}

// values returns what belongs to the cache, by key. See [Changes].
func (s *Source) values() map[string]any {
	s.registerSections()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]any{}
	for key, value := range s.keys.Raw() {
		if !strings.HasPrefix(key, "x-") && (!s.provenance[key].origin.shared || s.sections[key]) {
			flattenInto(all, key, value)
		}
	}
	return all
}

// At returns the section at path, to pass to its owner.
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

// Reread is Decode, but reads the files of secrets again: for a strategy that follows a password
// that is replaced. It changes nothing that the Source has, which shows and compares what was read
// first.
func (s Section) Reread(dst any) error {
	if s.source == nil {
		return new(Source).Decode("", dst)
	}
	return s.source.decode(s.path, dst, true, nil)
}

// String returns the effective configuration as YAML: the loaded values, overlaid with the results
// of Decode so far, which include the defaults. Print it after decoding.
//
// A value that may be a secret reads "[redacted]". That is all text, unless its field has the tag
// `koanf:"name,public"`. It is also every number in a section that was not decoded, every value
// whose key looks like a secret's, and the password in a URL. Of a shared root (see [From]), only
// the sections that were decoded or passed to CheckSections are shown.
func (s *Source) String() string {
	s.registerSections()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]any{}
	for key, value := range s.keys.Raw() {
		if !s.provenance[key].origin.shared || s.sections[key] {
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

// Format implements fmt.Formatter: every verb and flag prints the result of String, and never the
// fields.
func (s *Source) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }
