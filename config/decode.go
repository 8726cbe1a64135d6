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
	"unicode"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/v2"
)

// decoder is one call of Decode. mapstructure walks the section and the struct, but the hook reads
// the values. mapstructure itself would cut off fractions, let integers overflow, and read a null
// as zero. The hook also reports the problems. mapstructure's errors are about Go types and do not
// distinguish the keys of a map or the items of a list. Its Metadata.Unused stays empty if any
// other value is wrong.
type decoder struct {
	source   *Source
	root     *node
	foreign  []string // keys of the root that other code decodes
	again    bool     // read the files of secrets again
	problems []Problem
	failed   []string // keys whose values could not be read
	secrets  []string // keys of the secrets
	files    []string // keys of the secret files that could be read
	public   []string // keys whose values may be shown
	// templates are the keys whose values may look like placeholders.
	templates []string
}

// node is a value that mapstructure decodes, with its key and origin for error messages.
type node struct {
	key    string // the path within koanf
	origin origin
	raw    any // as koanf has it
	value  any // map[string]*node, []*node, nil for a key without a value, or a single value
	// fromFile: value is the content of a secret's file.
	fromFile bool
}

// errReported ends the decoding of a value whose problem is already in decoder.problems.
var errReported = errors.New("reported")

func (d *decoder) report(n *node, format string, args ...any) error {
	d.failed = append(d.failed, n.key)
	d.problems = append(d.problems, n.origin.problem(n.key, format, args...))
	return errReported
}

// node copies a value of koanf into a tree of nodes. The items of a list have the origin of the
// list.
func (s *Source) node(key string, value any, from origin) *node {
	if known, ok := s.provenance[key]; ok {
		from = known.origin
	}
	n := &node{key: key, origin: from, raw: value, value: value}
	switch value := value.(type) {
	case opaque:
		n.value = value()
		n.raw = n.value
	case map[string]any:
		children := make(map[string]*node, len(value))
		for name, child := range value {
			children[name] = s.node(childKey(key, name), child, from)
			value[name] = children[name].raw
		}
		n.value = children
	case []any:
		items := make([]*node, len(value))
		for i, item := range value {
			items[i] = s.node(childKey(key, fmt.Sprintf("[%d]", i)), item, from)
			value[i] = items[i].raw
		}
		n.value = items
	}
	return n
}

// unmarshal decodes the root. dst may share maps, lists and pointers with the caller's struct, so
// these are replaced and never written to.
func (d *decoder) unmarshal(dst any) {
	err := d.source.keys.UnmarshalWithConf(d.root.key, dst, koanf.UnmarshalConf{Tag: "koanf", DecoderConfig: &mapstructure.DecoderConfig{
		DecodeHook:           d.hook,
		MatchName:            func(key, name string) bool { return key == name },
		IgnoreUntaggedFields: true,
		DisableUnmarshaler:   true, // it would receive nodes
	}})
	if err != nil && len(d.failed) == 0 { // about the struct: the hook reports every problem of a value
		_ = d.report(d.root, "cannot be decoded into %T: %s", dst, err)
	}
}

// hook converts a node into a value for the target to.
func (d *decoder) hook(from, to reflect.Value) (any, error) {
	n, ok := from.Interface().(*node)
	if !ok && d.root.value != nil {
		return from.Interface(), nil // the key of a map, or a part of an earlier result of the hook
	} else if !ok {
		*d.root = *d.source.node(d.root.key, from.Interface(), d.root.origin)
		n = d.root
	}
	t := to.Type()
	if !slices.Contains(d.templates, n.key) && t.Kind() != reflect.Interface {
		if err := d.unfilled(n, isSecret(t)); err != nil {
			return nil, err
		}
	}
	if err := d.mangled(n, t); err != nil {
		return nil, err
	}
	keys, hasKeys := n.value.(map[string]*node)
	switch {
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		if n.value != nil {
			to.SetZero() // mapstructure would decode into the type of the default
		}
		return n.raw, nil
	case n.value == nil && isSection(t) && t.Kind() != reflect.Pointer: // a nil pointer has a meaning of its own
		return nil, nil //nolint:nilnil // for mapstructure: leave it as it is
	case n.value == nil:
		return nil, d.report(n, "has no value: write one, or remove the key")
	case t.Kind() == reflect.Pointer:
		return n, nil
	case t == durationType:
		return d.duration(n)
	case reflect.TypeOf(n.value).AssignableTo(t) && t.Kind() != reflect.Float64:
		return n.value, nil
	case isText(t):
		return d.text(n, t)
	case isSection(t) && !hasKeys:
		return nil, d.report(n, "must be a section of keys, not %s", kindName(n.value))
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
			d.secrets = append(d.secrets, childKey(n.key, name))
		} else if hasOption(field, "public") {
			d.public = append(d.public, childKey(n.key, name))
		}
		if hasOption(field, "template") {
			d.templates = append(d.templates, childKey(n.key, name))
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
			// An unknown key does not set failed: the values that could be read can still be
			// validated.
			d.source.mu.Lock()
			message := d.source.schema.unknown(child.origin, child.key, valid, hintsOf(to))
			d.source.mu.Unlock()
			d.problems = append(d.problems, child.origin.problem(child.key, "%s", message))
		case isFile && hasFile && isSecret(field.Type) && d.secretFile(child, keys[secret], secret) == nil:
			d.files = append(d.files, child.key)
			result[secret] = child
		}
	}
	return result
}

// unshare replaces the pointer v by a pointer to a copy, because mapstructure decodes into the
// value that v points to.
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
		return nil, d.report(n, "must be a list, not %s", kindName(n.value))
	case text == "":
		return []*node{}, nil
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") && strings.ContainsAny(text, `,"'`):
		return nil, d.report(n, "must be a list with commas only, without brackets and quotes: a,b,c")
	}
	for i, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return nil, d.report(n, "has a comma with nothing before or after it: remove the comma")
		}
		items = append(items, &node{key: childKey(n.key, fmt.Sprintf("[%d]", i)), origin: n.origin, raw: part, value: part})
	}
	return items, nil
}

// index matches the index of a list in the name of an option: "addresses[1]".
var index = regexp.MustCompile(`\[\d+\]`)

// validate adds the problems that dst's own Validate method reports.
func (d *decoder) validate(dst any) {
	if incomplete, ok := dst.(interface{ Complete() }); ok {
		incomplete.Complete()
	}
	validator, ok := dst.(interface{ Validate() error })
	if !ok {
		return
	}
	unread := slices.Clone(d.failed)
	for _, err := range splitJoined(validator.Validate()) {
		// A section may come from several inputs, and its origin is only the first of them.
		n := node{key: d.root.key, origin: origin{prefix: d.root.origin.prefix}}
		name, reason := "", err.Error()
		// Not errors.As: that would lose the words of an error that wraps the option.
		if option, ok := err.(interface{ Option() (name, reason string) }); ok {
			name, reason = option.Option()
		}
		if name != "" {
			key := childKey(n.key, strings.ReplaceAll(name, ".", delimiter))
			n.key = index.ReplaceAllStringFunc(key, func(item string) string { return delimiter + item })
			n.origin.name = "default"
			key = index.ReplaceAllString(key, "")
			if known, ok := d.source.provenance[key]; ok {
				n.origin = known.origin
			} else if known, ok := d.source.provenance[key+"_file"]; ok {
				n.origin = known.origin
			}
		}
		if !d.concerns(n.key, reason, unread) {
			_ = d.report(&n, "%s", redactURL(d.redactTexts(d.root, reason)))
		}
	}
}

// concerns reports whether a problem with key is about a key that could not be read: Validate has
// found the default in its place, or nothing. A reason that names such a key compares with it.
func (d *decoder) concerns(key, reason string, unread []string) bool {
	words := strings.FieldsFunc(reason, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.ContainsFunc(unread, func(failed string) bool {
		failed, _, _ = strings.Cut(strings.TrimSuffix(failed, "_file"), delimiter+"[")
		name := failed[strings.LastIndex(failed, delimiter)+1:]
		return slices.Contains(words, name) || within(key, failed) || key != d.root.key && within(failed, key)
	})
}

// within reports whether key is outer, or below it.
func within(key, outer string) bool { return strings.HasPrefix(key+delimiter, outer+delimiter) }

// minRedacted is the length from which redactTexts removes a text. A shorter text is often part of
// a word, such as "on" in "connection".
const minRedacted = 4

// redactTexts removes the texts in n that are not public from an error of Validate, which may quote
// the values it refuses.
func (d *decoder) redactTexts(n *node, text string) string {
	if slices.Contains(d.public, n.key) {
		return text
	}
	switch value := n.value.(type) {
	case string:
		if len(value) >= minRedacted {
			text = strings.NewReplacer(value, redacted, strconv.Quote(value), redacted).Replace(text)
		}
	case []*node:
		for _, item := range value {
			text = d.redactTexts(item, text)
		}
	case map[string]*node:
		for _, child := range value {
			text = d.redactTexts(child, text)
		}
	}
	return text
}

// find makes the section at path the root. A missing section gets the prefix of the nearest section
// that exists.
func (d *decoder) find(path string) (found bool) {
	key := strings.ReplaceAll(path, ".", delimiter)
	d.root = &node{key: key, origin: origin{prefix: d.source.prefix}}
	if key == "" {
		return true
	}
	at := ""
	for name := range strings.SplitSeq(key, delimiter) {
		at = childKey(at, name)
		known, ok := d.source.provenance[at]
		if !ok {
			d.root.origin = origin{prefix: d.root.origin.prefix}
			return false
		}
		d.root.origin = known.origin
		if known.kind != aSection && known.kind != nothing {
			_ = d.report(&node{key: at, origin: known.origin}, "must be a section of keys, not %s", known.kind)
			return false
		}
	}
	return d.source.provenance[key].kind == aSection
}
