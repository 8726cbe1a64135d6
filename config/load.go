package config

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/v2"
)

// Input is one place that configuration comes from. The zero value is no input. Inputs may be used
// for several calls of Load, which read them anew.
type Input struct {
	level level
	read  func() ([]*node, []Problem) // roots; later ones win
}

// level orders the inputs of Load: a higher one wins.
type level int

const (
	levelDefaults level = iota
	levelKoanf
	levelFiles
	levelEnvironment
	levelValues
)

// Load merges the inputs: Defaults, then From, then File and YAML, then the environment, then Values,
// whatever the order of the arguments; of the same kind, later ones win. Sections are merged key by
// key, lists and single values replace each other. The error is an *Error with all that cannot be read
// or merged; whether keys and values are any good shows when they are decoded.
func Load(inputs ...Input) (*Source, error) {
	ordered := slices.Clone(inputs)
	slices.SortStableFunc(ordered, func(a, b Input) int { return cmp.Compare(a.level, b.level) })
	merged := section{}
	source := &Source{root: &node{value: merged}}
	var problems []Problem
	for _, input := range ordered {
		if input.read == nil {
			continue
		}
		roots, failed := input.read()
		problems = append(problems, failed...)
		for _, root := range roots {
			if keys, ok := root.value.(section); ok {
				problems = append(problems, merge(merged, keys, "")...)
			} else if root.value != nil {
				problems = append(problems, root.origin.problem("", "must be keys and values, not %s", noun(root)))
			}
			// What no input has set is looked for where the application keeps its configuration.
			source.root.origin.prefix = cmp.Or(root.origin.prefix, source.root.origin.prefix)
		}
	}
	if err := newError(problems); err != nil {
		return nil, err
	}
	return source, nil
}

// Defaults gives values that every other input overrides. Keys may be nested maps or dotted paths;
// the values may have the types that they are decoded into, or be written as in a file. The map must
// not change while Load reads it.
func Defaults(values map[string]any) Input { return inCode(levelDefaults, "defaults", values) }

// Values gives values that override every other input. Otherwise it is like Defaults.
func Values(values map[string]any) Input { return inCode(levelValues, "code", values) }

func inCode(at level, name string, values map[string]any) Input {
	return Input{at, func() ([]*node, []Problem) {
		b := builder{origin: origin{name: name}, dotted: true}
		return []*node{b.node("", values)}, b.problems
	}}
}

// File reads files: YAML (.yaml, .yml), TOML (.toml) or JSON (.json). Later ones win. A file that
// does not exist is a problem.
func File(paths ...string) Input {
	paths = slices.Clone(paths)
	return Input{levelFiles, func() (roots []*node, problems []Problem) {
		for _, path := range paths {
			from := origin{name: path}
			parse, ok := formats[strings.ToLower(filepath.Ext(path))]
			if !ok {
				extensions := strings.Join(slices.Sorted(maps.Keys(formats)), ", ")
				problems = append(problems, from.problem("", "has an unknown extension: name it one of %s", extensions))
				continue
			}
			data, err := os.ReadFile(path)
			if err != nil {
				problems = append(problems, from.problem("", "cannot be read: %s", reason(err)))
				continue
			}
			root, failed := document(from, data, parse)
			roots, problems = append(roots, root), append(problems, failed...)
		}
		return roots, problems
	}}
}

// YAML is a YAML document in code, at the level of files: for tests and examples.
func YAML(text string) Input {
	return Input{levelFiles, func() ([]*node, []Problem) {
		root, problems := document(origin{name: "inline"}, []byte(text), parseYAML)
		return []*node{root}, problems
	}}
}

func document(from origin, data []byte, parse func([]byte) (any, error)) (*node, []Problem) {
	content, err := parse(data)
	if err != nil {
		return &node{origin: from}, syntaxProblems(from, data, err)
	}
	b := builder{origin: from}
	return b.node("", content), b.problems
}

// Env reads the environment of the process: with the prefix "FXCACHE_", the variable
// FXCACHE_CACHE__BIGCACHE__MAX_SIZE is cache.bigcache.max_size. Only variables with "__" behind the
// prefix count, because Kubernetes sets others, such as FXCACHE_PORT, for a service of that name.
// Every value is text, and an empty one is empty text.
func Env(prefix string) Input { return Environ(prefix, os.Environ) }

// Environ is Env with an environment of its own, in the form of os.Environ.
func Environ(prefix string, environ func() []string) Input {
	return Input{levelEnvironment, func() ([]*node, []Problem) {
		root := &node{value: section{}}
		var problems []Problem
		for _, variable := range slices.Sorted(slices.Values(environ())) {
			name, value, _ := strings.Cut(variable, "=")
			path, ok := strings.CutPrefix(name, prefix)
			if !ok || !strings.Contains(path, "__") {
				continue
			}
			b := builder{origin: origin{name: "environment " + name}}
			parts := strings.Split(strings.ToLower(path), "__")
			if slices.Contains(parts, "") {
				b.report("", "names an empty key: write __ between two keys, and nowhere else")
			} else {
				b.place(root.value.(section), "", parts, &node{b.origin, value})
			}
			problems = append(problems, b.problems...)
		}
		return []*node{root}, problems
	}}
}

// From reads what an application has loaded into its own koanf, at path and below; "" is its root,
// where the application's other sections are left alone. Files, the environment and Values override
// it. It is not an error when k has nothing at path. Values are copied, k does not change, and later
// changes of k have no effect. Problems name the full path within k.
func From(k *koanf.Koanf, path string) Input {
	return Input{levelKoanf, func() ([]*node, []Problem) {
		b := builder{origin: origin{name: "koanf", shared: path == ""}}
		if k == nil {
			b.report("", "is nil")
			return nil, b.problems
		}
		var keys []string
		if path != "" {
			keys = strings.Split(path, cmp.Or(k.Delim(), path))
		}
		b.origin.prefix = strings.Join(keys, ".")
		var content any = k.Raw() // a deep copy
		for _, key := range keys {
			if content != nil {
				within, ok := content.(map[string]any)
				if !ok {
					b.report("", "must be a section, but has a value further up")
					return nil, b.problems
				}
				content = within[key]
			}
		}
		return []*node{b.node("", content)}, b.problems
	}}
}

// reason is err without the path of the file, which stands in the message already.
func reason(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return err.Error()
}
