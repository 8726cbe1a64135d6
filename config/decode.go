package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/v2"
)

// decoder is one call of Decode. mapstructure walks the section and the struct, and its hook reads the
// values, because mapstructure cuts fractions off, lets integers overflow, and takes a null for zero.
// The hook also reports what is wrong: mapstructure's errors are about Go's types, name a map's keys
// and a list's items alike, and its Metadata.Unused stays empty once any value beside is wrong.
type decoder struct {
	source   *Source
	root     *node
	foreign  []string // keys of the root that belong to somebody else
	problems []Problem
	failed   bool     // some value could not be read: Validate would judge a default in its place
	secrets  []string // keys of the secrets
	files    []string // keys of secrets' files that could be read
	public   []string // keys of what may be shown
}

// node is a value on its way through mapstructure, with what problems say about it.
type node struct {
	key    string // within koanf
	origin origin
	raw    any // as koanf has it
	value  any // map[string]*node, []*node, nil for a key without a value, or a single value
}

// errReported ends the decoding of a value whose problem is in decoder.problems.
var errReported = errors.New("reported")

func (d *decoder) wrong(n *node, format string, args ...any) error {
	d.failed = true
	d.problems = append(d.problems, n.origin.problem(n.key, format, args...))
	return errReported
}

// node returns a value of koanf, a copy, as a tree of nodes. The origin of an item is that of its list.
func (s *Source) node(key string, value any, from origin) *node {
	if known, ok := s.marks[key]; ok {
		from = known.origin
	}
	n := &node{key, from, value, value}
	switch value := value.(type) {
	case carried:
		n.value = value()
		n.raw = n.value
	case map[string]any:
		children := make(map[string]*node, len(value))
		for name, child := range value {
			children[name] = s.node(below(key, name), child, from)
			value[name] = children[name].raw
		}
		n.value = children
	case []any:
		items := make([]*node, len(value))
		for i, item := range value {
			items[i] = s.node(below(key, fmt.Sprintf("[%d]", i)), item, from)
			value[i] = items[i].raw
		}
		n.value = items
	}
	return n
}

// unmarshal decodes the root. Maps, lists and pointers that dst shares with the caller's struct are
// replaced, not written to.
func (d *decoder) unmarshal(dst any) {
	err := d.source.keys.UnmarshalWithConf(d.root.key, dst, koanf.UnmarshalConf{Tag: "koanf", DecoderConfig: &mapstructure.DecoderConfig{
		DecodeHook:           d.hook,
		MatchName:            func(key, name string) bool { return key == name },
		IgnoreUntaggedFields: true,
		DisableUnmarshaler:   true, // it would be given nodes
	}})
	if err != nil && !d.failed { // about the struct: all that is wrong with values is found by the hook
		_ = d.wrong(d.root, "cannot be decoded into %T: %s", dst, err)
	}
}

// hook turns a node into the value for the target to.
func (d *decoder) hook(from, to reflect.Value) (any, error) {
	n, ok := from.Interface().(*node)
	if !ok && d.root.value != nil {
		return from.Interface(), nil // the key of a map, or a part of what the hook has returned
	} else if !ok {
		*d.root = *d.source.node(d.root.key, from.Interface(), d.root.origin)
		n = d.root
	}
	t := to.Type()
	keys, hasKeys := n.value.(map[string]*node)
	switch {
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		if n.value != nil {
			to.SetZero() // mapstructure would decode into the type of the default
		}
		return n.raw, nil
	case n.value == nil && isSection(t) && t.Kind() != reflect.Pointer: // whether that is nil means something
		return nil, nil //nolint:nilnil // for mapstructure: leave it as it is
	case n.value == nil:
		return nil, d.wrong(n, "has no value: write one, or remove the key")
	case t.Kind() == reflect.Pointer:
		return n, nil
	case reflect.TypeOf(n.value).AssignableTo(t) && t.Kind() != reflect.Float64:
		return n.value, nil
	case isText(t):
		return d.text(n, t)
	case t == durationType:
		return d.duration(n)
	case isSection(t) && !hasKeys:
		return nil, d.wrong(n, "must be a section of keys, not %s", noun(n.value))
	case t.Kind() == reflect.Struct:
		return d.section(n, keys, to), nil
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		merged := reflect.MakeMap(t)
		for entry := to.MapRange(); entry.Next(); {
			merged.SetMapIndex(entry.Key(), entry.Value())
		}
		to.Set(merged)
		return keys, nil
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		to.SetZero() // mapstructure would decode into the items of the default
		return d.list(n, t)
	}
	return d.scalar(n, t)
}

// section returns the keys that the struct to has, and reports the others.
func (d *decoder) section(n *node, keys map[string]*node, to reflect.Value) map[string]*node {
	known := fields(to.Type())
	valid := slices.Collect(maps.Keys(known))
	for name, field := range known {
		unshare(to.FieldByIndex(field.Index))
		if holdsSecrets(field.Type) {
			d.secrets = append(d.secrets, below(n.key, name))
		} else if isPublic(field) {
			d.public = append(d.public, below(n.key, name))
		}
		if _, taken := known[name+"_file"]; isSecret(field.Type) && !taken {
			valid = append(valid, name+"_file")
		}
	}
	if n == d.root {
		valid = append(valid, d.foreign...)
	}
	result := make(map[string]*node, len(keys))
	for key, child := range keys {
		secret, isFile := strings.CutSuffix(key, "_file")
		field, hasFile := known[secret]
		switch {
		case known[key].Type != nil:
			result[key] = child
		case !slices.Contains(valid, key):
			// Not wrong: what could be read can still be validated.
			d.problems = append(d.problems, child.origin.problem(child.key, "%s", unknown(key, valid)))
		case isFile && hasFile && isSecret(field.Type) && d.secretFile(child, keys[secret], secret) == nil:
			d.files = append(d.files, child.key)
			result[secret] = child
		}
	}
	return result
}

// unshare makes v, if it is a pointer, one to a copy: mapstructure decodes into what it points to.
func unshare(v reflect.Value) {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		pointee := reflect.New(v.Type().Elem())
		pointee.Elem().Set(v.Elem())
		v.Set(pointee)
	}
}

func (d *decoder) list(n *node, t reflect.Type) (any, error) {
	items, isList := n.value.([]*node)
	text, isText := n.value.(string)
	switch {
	case isList:
		return items, nil
	case !isText || isSection(t.Elem()):
		return nil, d.wrong(n, "must be a list, not %s", noun(n.value))
	case text == "":
		return []*node{}, nil
	}
	for i, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		items = append(items, &node{below(n.key, fmt.Sprintf("[%d]", i)), n.origin, part, part})
	}
	return items, nil
}

// index is an item of a list in the name of an option.
var index = regexp.MustCompile(`\[\d+\]`)

// validate adds what dst says about itself.
func (d *decoder) validate(dst any) {
	validator, ok := dst.(interface{ Validate() error })
	if !ok {
		return
	}
	for _, err := range leaves(validator.Validate()) {
		// A section may come from several inputs, of which its own origin is only the first.
		n := node{key: d.root.key, origin: origin{prefix: d.root.origin.prefix}}
		name, reason := "", err.Error()
		// Not errors.As: the words of an error around it would be lost.
		if option, ok := err.(interface{ Option() (name, reason string) }); ok {
			name, reason = option.Option()
		}
		if name != "" {
			key := below(n.key, strings.ReplaceAll(name, ".", delimiter))
			n.key = index.ReplaceAllStringFunc(key, func(item string) string { return delimiter + item })
			n.origin.name = "default"
			key = index.ReplaceAllString(key, "")
			if known, ok := d.source.marks[key]; ok {
				n.origin = known.origin
			} else if known, ok := d.source.marks[key+"_file"]; ok {
				n.origin = known.origin
			}
		}
		_ = d.wrong(&n, "%s", redactURL(d.without(d.root, reason)))
	}
}

// shortest is how long a value must be for an error to lose it: what is shorter stands in words.
const shortest = 4

// without takes the texts in n that are not public out of an error of Validate, which may quote what it
// does not like.
func (d *decoder) without(n *node, text string) string {
	if slices.Contains(d.public, n.key) {
		return text
	}
	switch value := n.value.(type) {
	case string:
		if len(value) >= shortest {
			text = strings.NewReplacer(value, redacted, strconv.Quote(value), redacted).Replace(text)
		}
	case []*node:
		for _, item := range value {
			text = d.without(item, text)
		}
	case map[string]*node:
		for _, child := range value {
			text = d.without(child, text)
		}
	}
	return text
}
