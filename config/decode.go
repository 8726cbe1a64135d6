package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// decoder walks a section and a struct side by side. It is a walk of its own rather than mapstructure
// with hooks: mapstructure's errors are sentences in Go's terms ("expected type 'int', got …") with
// the values in them, it does not tell unknown keys apart from where they came from, and a hook sees
// neither the path nor whether the key is a secret.
type decoder struct {
	problems []Problem
	failed   bool     // some value could not be read: Validate would judge a default in its place
	secrets  []string // paths of the secrets
}

// wrong reports a value that cannot be read.
func (d *decoder) wrong(n *node, path, format string, args ...any) {
	d.failed = true
	d.problems = append(d.problems, n.origin.problem(path, format, args...))
}

// section decodes keys into the struct dst, which it may change: maps, lists and pointers that dst
// shares with the caller's struct are replaced, not written to.
func (d *decoder) section(keys section, path string, dst reflect.Value, foreign []string) {
	known := fields(dst.Type())
	valid := slices.AppendSeq(slices.Clone(foreign), maps.Keys(known))
	files := map[string]string{} // key of a secret's file → key of the secret
	for name, index := range known {
		field := dst.Type().FieldByIndex(index)
		if holdsSecrets(field.Type) {
			d.secrets = append(d.secrets, join(path, name))
		}
		if _, taken := known[name+"_file"]; isSecret(field.Type) && !taken {
			files[name+"_file"] = name
			valid = append(valid, name+"_file")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		child, below := keys[key], join(path, key)
		if index, ok := known[key]; ok {
			d.value(child, below, dst.FieldByIndex(index))
		} else if name, ok := files[key]; ok {
			d.secretFile(child, below, name, keys, dst.FieldByIndex(known[name]))
		} else if !slices.Contains(foreign, key) {
			// Not wrong: what could be read can still be validated.
			d.problems = append(d.problems, child.origin.problem(below, "%s", unknown(key, valid)))
		}
	}
}

// value decodes n into dst, whatever that is.
func (d *decoder) value(n *node, path string, dst reflect.Value) {
	t := dst.Type()
	switch {
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		if value := plain(n); value != nil {
			dst.Set(reflect.ValueOf(value))
		}
	case n.value == nil:
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if !isSection(t) {
			d.wrong(n, path, "has no value: write one, or remove the key")
		}
	case reflect.TypeOf(n.value).AssignableTo(t) && t.Kind() != reflect.Float64:
		dst.Set(reflect.ValueOf(n.value))
	case t.Kind() == reflect.Pointer:
		pointee := reflect.New(t.Elem())
		if !dst.IsNil() {
			pointee.Elem().Set(dst.Elem())
		}
		d.value(n, path, pointee.Elem())
		dst.Set(pointee)
	case isText(t):
		d.text(n, path, dst)
	case t == durationType:
		d.duration(n, path, dst)
	case t.Kind() == reflect.Struct:
		if keys, ok := n.value.(section); ok {
			d.section(keys, path, dst, nil)
		} else {
			d.wrong(n, path, "must be a section of keys, not %s", noun(n))
		}
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		d.mapping(n, path, dst)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		d.list(n, path, dst)
	default:
		d.scalar(n, path, dst)
	}
}

func (d *decoder) mapping(n *node, path string, dst reflect.Value) {
	keys, ok := n.value.(section)
	if !ok {
		d.wrong(n, path, "must be a section of keys, not %s", noun(n))
		return
	}
	t := dst.Type()
	result := reflect.MakeMap(t)
	for entry := dst.MapRange(); entry.Next(); {
		result.SetMapIndex(entry.Key(), entry.Value())
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		key := reflect.ValueOf(name).Convert(t.Key())
		item := reflect.New(t.Elem()).Elem()
		if old := result.MapIndex(key); old.IsValid() {
			item.Set(old)
		}
		d.value(keys[name], join(path, name), item)
		result.SetMapIndex(key, item)
	}
	dst.Set(result)
}

func (d *decoder) list(n *node, path string, dst reflect.Value) {
	items, ok := n.value.(list)
	if text, isString := n.value.(string); isString && !isSection(dst.Type().Elem()) {
		ok = true
		for part := range strings.SplitSeq(text, ",") {
			if text != "" {
				items = append(items, &node{n.origin, strings.TrimSpace(part)})
			}
		}
	}
	if !ok {
		d.wrong(n, path, "must be a list, not %s", noun(n))
		return
	}
	result := reflect.MakeSlice(dst.Type(), len(items), len(items))
	for i, item := range items {
		d.value(item, fmt.Sprintf("%s[%d]", path, i), result.Index(i))
	}
	dst.Set(result)
}

// validate adds what dst says about itself.
func (d *decoder) validate(dst any, path string, at *node) {
	validator, ok := dst.(interface{ Validate() error })
	if !ok {
		return
	}
	for _, err := range leaves(validator.Validate()) {
		from, name, reason := at, "", err.Error()
		if option, ok := err.(interface{ Option() (name, reason string) }); ok {
			name, reason = option.Option()
		}
		below := path
		for key := range strings.SplitSeq(name, ".") {
			if name == "" {
				break
			}
			keys, _ := from.value.(section)
			below = join(below, key)
			key, _, _ = strings.Cut(key, "[") // an item of a list
			from = cmp.Or(keys[key], keys[key+"_file"], &node{origin: origin{name: "default", prefix: at.origin.prefix}})
		}
		if name == "" {
			// A section may come from several inputs, of which its own origin is only the first.
			from = &node{origin: origin{prefix: at.origin.prefix}}
		}
		d.wrong(from, below, "%s", redactURL(reason))
	}
}

// plain is n without origins, as koanf would have it.
func plain(n *node) any {
	switch value := n.value.(type) {
	case section:
		result := make(map[string]any, len(value))
		for key, child := range value {
			result[key] = plain(child)
		}
		return result
	case list:
		result := make([]any, len(value))
		for i, item := range value {
			result[i] = plain(item)
		}
		return result
	}
	return n.value
}
