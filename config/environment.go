package config

import (
	"cmp"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
)

// variable is a variable of the environment that sets nothing, because it has no "__".
type variable struct{ prefix, name, value string }

// Env reads the environment of the process. With the prefix "FXCACHE_", the variable
// FXCACHE_CACHE__BIGCACHE__MAX_SIZE sets cache.bigcache.max_size. Only variables with "__" after
// the prefix count. Kubernetes sets others, such as FXCACHE_PORT, for a service of that name.
// [Source.CheckSections] reports a variable that has one "_" in place of two. Every value is text,
// and an empty value is empty text. An empty value where another input has set one is a problem.
func Env(prefix string) Input { return Environ(prefix, os.Environ) }

// Environ is Env with the given environment, in the form of os.Environ.
func Environ(prefix string, environ func() []string) Input {
	return Input{levelEnvironment, func(l *loader) {
		// Read never returns an error here, see its source.
		variables, _ := env.Provider("", env.Opt{EnvironFunc: environ}).Read()
		// Each variable is a layer of its own, so that its name is the origin. See flatten.
		for _, name := range slices.Sorted(maps.Keys(variables)) {
			if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
				value, _ := variables[name].(string)
				l.variable(variable{prefix, name, value})
			}
		}
	}}
}

// variable loads one variable of the environment.
func (l *loader) variable(v variable) {
	from := origin{name: "environment " + v.name, environment: v.prefix}
	path := strings.Split(strings.ToLower(v.name[len(v.prefix):]), "__")
	last := l.source.provenance[strings.Join(path, delimiter)]
	switch {
	case len(path) == 1:
		l.source.variables = append(l.source.variables, v)
	case !strings.HasPrefix(v.name, v.prefix):
		l.report(from, "", "is not read, because of its letters: write %s", variableOf(v.prefix, path))
	case slices.Contains(path, ""):
		l.report(from, "", "names an empty key: write __ between two keys, and nowhere else")
	case v.value == "" && cmp.Or(last.kind, nothing) != nothing && last.kind != aSection && !last.empty:
		l.report(from, strings.Join(path, delimiter), "is empty, and would replace the value in %s: give the variable a value, or remove it", last.origin.name)
	default:
		l.source.inputs.variables = append(l.source.inputs.variables, v.name)
		l.set(from, path, v.value)
	}
}

// variableOf returns the name of the variable that sets path.
func variableOf(prefix string, path []string) string {
	return prefix + strings.ToUpper(strings.Join(path, "__"))
}

// ofKubernetes matches the variables that Kubernetes and Docker set for a service.
var ofKubernetes = regexp.MustCompile(`_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

// misnamed reports a variable that sets nothing, but would with "__" between the keys. Whoever
// chose the prefix may have variables of another purpose with it, so the rest of the name has to be
// a known key, or something in a section within a section.
func (v variable) misnamed(known schema) (problem Problem, ok bool) {
	service := ofKubernetes.MatchString(v.name) || strings.HasSuffix(v.name, "_PORT") && strings.Contains(v.value, "://")
	path := known.split(nil, strings.ToLower(v.name[len(v.prefix):]))
	if service || len(path) < 2 || len(path) == 2 && !known.has(strings.Join(path, delimiter)) {
		return Problem{}, false
	}
	message := "is not read: two underscores separate keys; write " + variableOf(v.prefix, path)
	return Problem{Origin: "environment " + v.name, Message: message}, true
}
