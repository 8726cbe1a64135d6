package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// node is one value of the merged configuration, with where it came from. After Load, no node changes.
type node struct {
	origin origin
	value  any // a section, a list, nil for a key without a value, else a scalar
}

type (
	section map[string]*node
	list    []*node
)

// origin says where a value came from, as Problem.Origin has it.
type origin struct {
	name string
	// prefix is the path within somebody else's koanf that is the root here.
	prefix string
	// shared: the root also holds sections that are none of ours.
	shared bool
}

func (o origin) problem(path, format string, args ...any) Problem {
	if o.prefix != "" && path != "" {
		path = o.prefix + "." + path
	} else if path == "" {
		path = o.prefix
	}
	return Problem{Path: path, Origin: o.name, Message: fmt.Sprintf(format, args...)}
}

// join quotes a key that would not be recognised as one key of the path.
func join(path, key string) string {
	if key == "" || strings.ContainsAny(key, ".\"\n") {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// builder makes nodes of one origin. They share no memory with what they are made from.
type builder struct {
	origin   origin
	dotted   bool // whether a dot in a key opens a section
	problems []Problem
}

func (b *builder) report(path, format string, args ...any) {
	b.problems = append(b.problems, b.origin.problem(path, format, args...))
}

func (b *builder) node(path string, value any) *node {
	v := reflect.ValueOf(value)
	if _, ok := value.(encoding.TextMarshaler); ok || value == nil {
		return &node{b.origin, value}
	}
	switch {
	case v.Kind() == reflect.Map:
		return &node{b.origin, b.section(path, v)}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		items := make(list, v.Len())
		for i := range items {
			items[i] = b.node(fmt.Sprintf("%s[%d]", path, i), v.Index(i).Interface())
		}
		return &node{b.origin, items}
	}
	return &node{b.origin, value}
}

func (b *builder) section(path string, v reflect.Value) section {
	values := make(map[string]any, v.Len())
	for entry := v.MapRange(); entry.Next(); {
		key := entry.Key()
		if key.Kind() == reflect.Interface {
			key = key.Elem()
		}
		if key.Kind() != reflect.String {
			b.report(path, "has a key that is not text: put it in quotes")
			continue
		}
		values[key.String()] = entry.Value().Interface()
	}
	result := section{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		parts := []string{key}
		if b.dotted {
			parts = strings.Split(key, ".")
		}
		if slices.Contains(parts, "") && b.dotted {
			b.report(path, "has a key with an empty part, %q", key)
			continue
		}
		below := path
		for _, part := range parts {
			below = join(below, part)
		}
		b.place(result, path, parts, b.node(below, values[key]))
	}
	return result
}

// place puts value below the section at path, and opens the sections in between.
func (b *builder) place(into section, path string, parts []string, value *node) {
	for _, part := range slices.Backward(parts[1:]) {
		value = &node{b.origin, section{part: value}}
	}
	b.problems = append(b.problems, merge(into, section{parts[0]: value}, path)...)
}

// merge moves the nodes of from, which wins, into the section at path.
func merge(into, from section, path string) []Problem {
	var problems []Problem
	for key, next := range from {
		last, ok := into[key]
		if !ok {
			into[key] = next
			continue
		}
		lastSection, wasSection := last.value.(section)
		nextSection, isSection := next.value.(section)
		switch {
		case wasSection && isSection:
			problems = append(problems, merge(lastSection, nextSection, join(path, key))...)
		case wasSection && next.value == nil:
			// An empty section, which adds nothing.
		case wasSection:
			problems = append(problems, next.origin.problem(join(path, key),
				"must be a section, as in %s, not %s", last.origin.name, noun(next)))
		case isSection && last.value != nil:
			problems = append(problems, next.origin.problem(join(path, key),
				"must not be a section: it is %s in %s", noun(last), last.origin.name))
		default:
			into[key] = next
		}
	}
	return problems
}

// noun names the kind of a value, in an operator's words and without the value.
func noun(n *node) string {
	switch n.value.(type) {
	case nil:
		return "nothing"
	case section:
		return "a section"
	case list:
		return "a list"
	}
	switch v := reflect.ValueOf(n.value); {
	case v.Kind() == reflect.String:
		return "text"
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.CanInt(), v.CanUint(), v.CanFloat():
		return "a number"
	}
	return "a value of another kind"
}
