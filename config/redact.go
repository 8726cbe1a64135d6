package config

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const redacted = "[redacted]"

// secretNames are parts of names, without '_' and '-', that give a secret away.
var secretNames = []string{
	"password", "passwd", "passphrase", "secret", "token", "credential", "dsn",
	"privatekey", "apikey", "accesskey", "encryptionkey", "signingkey",
}

// looksSecret reports whether a key is a secret's by its name. The path of a secret's file is none.
func looksSecret(key string) bool {
	key = strings.ToLower(key)
	if strings.HasSuffix(key, "_file") {
		return false
	}
	key = strings.NewReplacer("_", "", "-", "").Replace(key)
	for _, name := range secretNames {
		if strings.Contains(key, name) {
			return true
		}
	}
	return false
}

// pathLooksSecret reports whether a key, or a section that it is in, looks secret.
func pathLooksSecret(path string) bool {
	for part := range strings.SplitSeq(path, ".") {
		if looksSecret(part) {
			return true
		}
	}
	return false
}

// urlPassword is what stands between the user and the last '@' of a URL. A list of URLs loses more
// than it must, because a password may contain any byte.
var urlPassword = regexp.MustCompile(`(?s)(//[^/\s:@]*:).+@`)

func redactURL(text string) string { return urlPassword.ReplaceAllString(text, "${1}"+redacted+"@") }

// mask stands for a secret. An empty one shows as such: that it is missing is what one looks for.
func mask(isSet bool) any {
	if isSet {
		return redacted
	}
	return ""
}

// show renders a decoded value as maps, lists and single values. hidden: its name looks secret, so
// its value is not shown, unless its type says that it is none: a duration, as in token_ttl, a size,
// or true or false.
func show(v reflect.Value, hidden bool) any {
	if !v.IsValid() || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		return nil
	}
	if isSecret(v.Type()) {
		if secret, ok := addressable(v).Interface().(interface{ Reveal() string }); ok {
			return mask(secret.Reveal() != "")
		}
	}
	if v.Type() == durationType {
		return v.Interface().(time.Duration).String()
	}
	if marshaler, ok := addressable(v).Interface().(encoding.TextMarshaler); ok {
		text, err := marshaler.MarshalText()
		if err != nil {
			return fmt.Sprintf("(%s)", v.Type())
		}
		return showText(string(text), hidden && !isNumber(v.Type()))
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return show(v.Elem(), hidden)
	case reflect.Struct:
		result := map[string]any{}
		for name, index := range fields(v.Type()) {
			// A null could not be loaded again.
			if shown := show(v.FieldByIndex(index), hidden || looksSecret(name)); shown != nil {
				result[name] = shown
			}
		}
		return result
	case reflect.Map:
		result := map[string]any{}
		for entry := v.MapRange(); entry.Next(); {
			name := fmt.Sprint(entry.Key().Interface())
			result[name] = show(entry.Value(), hidden || looksSecret(name))
		}
		return result
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		result := make([]any, v.Len())
		for i := range result {
			result[i] = show(v.Index(i), hidden)
		}
		return result
	case reflect.String:
		return showText(v.String(), hidden)
	case reflect.Bool:
		return v.Bool()
	}
	switch {
	case hidden && !v.IsZero():
		return redacted
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return v.Uint()
	case v.CanFloat():
		return v.Float()
	}
	return fmt.Sprintf("(%s)", v.Type())
}

func showText(text string, hidden bool) any {
	if hidden {
		return mask(text != "")
	}
	return redactURL(text)
}

// addressable returns a pointer to a copy of v, so that the methods of both are found.
func addressable(v reflect.Value) reflect.Value {
	pointer := reflect.New(v.Type())
	pointer.Elem().Set(v)
	return pointer
}

// overlay puts top over base, section by section. They share what only top has.
func overlay(base, top map[string]any) {
	for key, value := range top {
		below, ok := base[key].(map[string]any)
		above, both := value.(map[string]any)
		if ok && both {
			overlay(below, above)
		} else {
			base[key] = value
		}
	}
}

// encode writes what show returns, which has no value that YAML could not hold.
func encode(all map[string]any) string {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(all); err != nil {
		return "# " + err.Error() + "\n"
	}
	return text.String()
}
