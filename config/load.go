package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// Input is one source of configuration. The zero value adds nothing. An Input may be passed to
// several calls of Load, and each call reads it again.
type Input struct {
	level level
	read  func(*loader)
}

// level orders the inputs of Load. A higher level wins.
type level int

const (
	levelDefaults level = iota
	levelKoanf
	levelFiles
	levelEnvironment
	levelValues
)

// Load merges the inputs. The order of the arguments does not matter between kinds: Defaults come
// first, then From, then File and YAML, then the environment, then Values. Of the same kind, later
// inputs win. Sections are merged key by key. Lists and single values replace each other. The error
// is an *Error that lists everything that cannot be read or merged. Unknown keys and invalid values
// are only found when a section is decoded.
//
// The Source is nil if a whole input could not be read. Otherwise Load returns it together with the
// error, so that a caller can decode it, and report all problems at once.
func Load(inputs ...Input) (*Source, error) {
	ordered := slices.Clone(inputs)
	slices.SortStableFunc(ordered, func(a, b Input) int { return cmp.Compare(a.level, b.level) })
	l := loader{source: &Source{}}
	l.source.registerSections()
	for _, input := range ordered {
		if input.read != nil {
			input.read(&l)
		}
	}
	if l.incomplete {
		return nil, newError(l.problems)
	}
	return l.source, newError(l.problems)
}

// Defaults sets values that every other input overrides. Keys may be nested maps or dotted paths.
// Values may have the type they are decoded into, or be written as in a file. The map must not
// change while Load reads it.
func Defaults(values map[string]any) Input { return inCode(levelDefaults, "defaults", values) }

// Values sets values that override every other input. Otherwise it is like Defaults.
func Values(values map[string]any) Input { return inCode(levelValues, "code", values) }

func inCode(at level, name string, values map[string]any) Input {
	return Input{at, func(l *loader) {
		if len(values) > 0 {
			l.source.inputs.others = append(l.source.inputs.others, name)
		}
		l.flatten(origin{name: name}, nil, plain(values))
	}}
}

// flatten loads each value below path as a layer of its own. koanf's confmap would load all of them
// in random order. If the keys are "a.b" and "a", the one loaded last would then remove the other.
func (l *loader) flatten(from origin, path []string, value any) {
	keys, isSection := value.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		l.flatten(from, slices.Concat(path, strings.Split(key, ".")), keys[key])
	}
	switch {
	case isSection && (len(keys) > 0 || len(path) == 0):
	case slices.Contains(path, ""):
		l.report(from, "", "has a key with an empty part, %q", shownKey(strings.Join(path, ".")))
	default:
		l.set(from, path, value)
	}
}

// File reads files: YAML (.yaml, .yml), TOML (.toml) or JSON (.json). Later files win. A file that
// does not exist is a problem.
func File(paths ...string) Input {
	paths = slices.Clone(paths)
	return Input{levelFiles, func(l *loader) {
		for _, path := range paths {
			from := origin{name: path}
			parser, ok := parsers[strings.ToLower(filepath.Ext(path))]
			if path == "" {
				l.fail(from, "the path of a file is empty")
			} else if !ok {
				extensions := strings.Join(slices.Sorted(maps.Keys(parsers)), ", ")
				l.fail(from, "has an unknown extension: name it one of %s", extensions)
			} else if data, err := os.ReadFile(path); err != nil {
				l.fail(from, "cannot be read: %s", reason(err))
			} else {
				l.source.inputs.files = append(l.source.inputs.files, path)
				if blank(data) {
					l.source.inputs.blank = append(l.source.inputs.blank, path)
				}
				l.document(from, data, parser)
			}
		}
	}}
}

// YAML is a YAML document in code, for tests and examples. It has the level of files.
func YAML(text string) Input {
	return Input{levelFiles, func(l *loader) {
		l.source.inputs.others = append(l.source.inputs.others, "inline")
		l.document(origin{name: "inline"}, []byte(text), parsers[".yaml"])
	}}
}

func (l *loader) document(from origin, data []byte, parser koanf.Parser) {
	layer := koanf.New(delimiter)
	data, err := utf8Text(data)
	if err == nil {
		err = layer.Load(rawbytes.Provider(data), parser)
	}
	if err != nil {
		l.problems, l.incomplete = append(l.problems, syntaxProblems(from, data, err)...), true
	}
	l.merge(from, layer, nil)
}

// From reads the values at path and below from the application's own koanf. If path is "", it reads
// the root and ignores the application's other sections. Files, the environment and Values override
// it. It is not an error if k has nothing at path. Values are copied: k does not change, and later
// changes of k have no effect. Problems name the full path within k.
func From(k *koanf.Koanf, path string) Input {
	return Input{levelKoanf, func(l *loader) {
		from := origin{name: "koanf", shared: path == ""}
		if k == nil {
			l.fail(from, "is nil")
			return
		}
		var keys []string
		if path != "" {
			keys = strings.Split(path, cmp.Or(k.Delim(), path))
		}
		for i := range keys {
			from.prefix = strings.Join(keys[:i+1], ".")
			if kind := kindName(plain(k.Get(strings.Join(keys[:i+1], k.Delim())))); kind != aSection && kind != nothing {
				l.report(from, "", "must be keys and values, not %s", kind)
				return
			}
		}
		l.source.inputs.others = append(l.source.inputs.others, strings.TrimSuffix("koanf at "+from.prefix, " at "))
		content, _ := plain(k.Get(path)).(map[string]any) // a deep copy
		l.load(from, confmap.Provider(content, ""))
	}}
}

// reason returns the text of err without the path of the file, which the message already has. A
// relative path that leads nowhere may have been meant for another working directory.
func reason(err error) string {
	var at *fs.PathError
	if !errors.As(err, &at) {
		return err.Error()
	}
	folder, unknown := os.Getwd()
	if unknown != nil || filepath.IsAbs(at.Path) || !errors.Is(err, fs.ErrNotExist) {
		return at.Err.Error()
	}
	return fmt.Sprintf("%v in the working directory %s", at.Err, folder)
}
