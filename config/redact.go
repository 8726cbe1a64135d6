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

// secretNames are parts of names, without '_' and '-', that give a secret away.
var secretNames = []string{
	"password", "passwd", "passphrase", "secret", "token", "credential", "dsn",
	"privatekey", "apikey", "accesskey", "encryptionkey", "signingkey",
}

// looksSecret reports whether a key is a secret's by its name. The path of a secret's file is none.
func looksSecret(key string) bool {
	key = strings.ToLower(key)
	plain := strings.NewReplacer("_", "", "-", "").Replace(key)
	return !strings.HasSuffix(key, "_file") && slices.ContainsFunc(secretNames, func(name string) bool { return strings.Contains(plain, name) })
}

// keyLooksSecret reports whether a key of koanf, or a section that it is in, looks secret.
func keyLooksSecret(key string) bool {
	return slices.ContainsFunc(strings.Split(key, delimiter), looksSecret)
}

// urlPassword is what stands between the user and the last '@' of a URL. A list of URLs loses more
// than it must, because a password may contain any byte.
var urlPassword = regexp.MustCompile(`(?s)(//[^/\s:@]*:).+@`)

func redactURL(text string) string { return urlPassword.ReplaceAllString(text, "${1}"+redacted+"@") }

// repeats reports whether message shows a part of value.
func repeats(message, value string) bool {
	message = strings.ToLower(message)
	words := strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.ContainsFunc(words, func(word string) bool { return len(word) > 1 && strings.Contains(message, word) })
}

// visible says how much of a value is shown. True and false, durations, sizes and what is empty always are.
type visible int

const (
	kinds   visible = iota // nothing else: it is not known what it is, or its name looks secret
	numbers                // its field is a number's
	texts                  // its owner says that it may be shown
)

// mask is text, or what stands for it. That a secret is empty shows: it is what one looks for.
func (v visible) mask(text string) any {
	if v < texts && text != "" {
		return redacted
	}
	return redactURL(text)
}

// of is how much is shown of what is called name in a value of which v is.
func (v visible) of(name string) visible {
	if looksSecret(name) {
		return kinds
	}
	return v
}

// show renders the value at key, decoded or as it was loaded, as maps, lists and single values. The caller
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
	pointer := reflect.New(v.Type()) // it has the methods of both
	pointer.Elem().Set(v)
	switch value := pointer.Interface().(type) {
	case interface{ Reveal() string }:
		return kinds.mask(value.Reveal())
	case *time.Duration:
		return value.String()
	case *carried:
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
		if as == numbers { // anything may be in there
			as = kinds
		}
		return s.show(v.Elem(), key, as)
	case reflect.Pointer:
		return s.show(v.Elem(), key, as)
	case reflect.Struct:
		section := map[string]any{}
		for name, field := range fields(v.Type()) {
			within := numbers
			if isPublic(field) {
				within = texts
			}
			if looksSecret(name) || keyLooksSecret(key) {
				within = kinds
			}
			// A null could not be loaded again.
			if shown := s.show(v.FieldByIndex(field.Index), below(key, name), within); shown != nil {
				section[name] = shown
			}
		}
		return section
	case reflect.Map:
		section := map[string]any{}
		for entry := v.MapRange(); entry.Next(); {
			name := fmt.Sprint(entry.Key().Interface())
			section[shownKey(name)] = s.show(entry.Value(), below(key, name), as.of(name))
		}
		return section
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = s.show(v.Index(i), below(key, fmt.Sprintf("[%d]", i)), as)
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
