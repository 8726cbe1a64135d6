package config

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

const redacted = "[redacted]"

// secretNames are words that mark a key as a secret. Keys are compared without '_' and '-'.
var secretNames = []string{
	"password", "passwd", "passphrase", "secret", "token", "credential", "dsn",
	"privatekey", "apikey", "accesskey", "encryptionkey", "signingkey",
}

// looksSecret reports whether the name of a key marks it as a secret. A key that ends in _file
// holds a path, which is not a secret.
func looksSecret(key string) bool {
	key = strings.ToLower(key)
	plain := strings.NewReplacer("_", "", "-", "").Replace(key)
	return !strings.HasSuffix(key, "_file") && slices.ContainsFunc(secretNames, func(name string) bool { return strings.Contains(plain, name) })
}

// keyLooksSecret reports whether any part of a koanf key looks secret, including the sections it is
// in.
func keyLooksSecret(key string) bool {
	return slices.ContainsFunc(strings.Split(key, delimiter), looksSecret)
}

// urlPassword matches everything between the user and the last '@' of a URL. In a list of URLs this
// removes more than it must, because a password may contain any byte.
var urlPassword = regexp.MustCompile(`(?s)(//[^/\s:@]*:).+@`)

func redactURL(text string) string { return urlPassword.ReplaceAllString(text, "${1}"+redacted+"@") }

// repeats reports whether message contains a word of value.
func repeats(message, value string) bool {
	message = strings.ToLower(message)
	words := strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.ContainsFunc(words, func(word string) bool { return len(word) > 1 && strings.Contains(message, word) })
}

// visible says how much of a value is shown. Booleans, durations, sizes and empty values are always
// shown.
type visible int

const (
	kinds   visible = iota // only its kind: its meaning is not known, or its name looks secret
	numbers                // numbers too: it has a struct field
	texts                  // text too: its owner has declared it public
)

// mask returns text, or a placeholder for it. An empty secret stays visible as empty, because an
// operator may be looking for exactly that.
func (v visible) mask(text string) any {
	if v < texts && text != "" {
		return redacted
	}
	return redactURL(text)
}

// of returns how much is shown of the key name in a map of visibility v.
func (v visible) of(name string) visible {
	if looksSecret(name) {
		return kinds
	}
	return v
}

// show renders the value at key, decoded or as loaded, as maps, lists and single values. The caller
// holds mu.
func (s *Source) show(v reflect.Value, key string, as visible) any {
	if !v.IsValid() || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		return nil
	}
	if s.secrets[key] {
		as = kinds
	} else if s.files[key] {
		as = texts
	}
	pointer := reflect.New(v.Type()) // has the methods of both receivers
	pointer.Elem().Set(v)
	switch value := pointer.Interface().(type) {
	case interface{ Reveal() string }:
		return kinds.mask(value.Reveal())
	case *time.Duration:
		return value.String()
	case *opaque:
		return s.show(reflect.ValueOf((*value)()), key, as)
	case encoding.TextMarshaler:
		text, err := value.MarshalText()
		if err != nil {
			return fmt.Sprintf("(%s)", v.Type())
		}
		if isNumber(v.Type()) {
			as = texts
		}
		return as.mask(string(text))
	}
	switch v.Kind() {
	case reflect.Interface:
		if as == numbers { // its content has no declared type
			as = kinds
		}
		return s.show(v.Elem(), key, as)
	case reflect.Pointer:
		return s.show(v.Elem(), key, as)
	case reflect.Struct:
		section := map[string]any{}
		for name, field := range fields(v.Type()) {
			within := numbers
			if hasOption(field, "public") {
				within = texts
			}
			if looksSecret(name) || keyLooksSecret(key) {
				within = kinds
			}
			// A null would make the output invalid as a configuration.
			if shown := s.show(v.FieldByIndex(field.Index), childKey(key, name), within); shown != nil {
				section[name] = shown
			}
		}
		return section
	case reflect.Map:
		section := map[string]any{}
		for entry := v.MapRange(); entry.Next(); {
			name := fmt.Sprint(entry.Key().Interface())
			section[shownKey(name)] = s.show(entry.Value(), childKey(key, name), as.of(name))
		}
		return section
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = s.show(v.Index(i), childKey(key, fmt.Sprintf("[%d]", i)), as)
		}
		return list
	case reflect.String:
		return as.mask(v.String())
	case reflect.Bool:
		return v.Bool()
	}
	switch {
	case !isNumber(v.Type()):
		return fmt.Sprintf("(%s)", v.Type())
	case as == kinds && !v.IsZero():
		return redacted
	}
	return v.Interface()
}
