package config

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
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

// mask is text, or what stands for it. That a secret is empty shows: it is what one looks for.
func mask(text string, hidden bool) any {
	if hidden && text != "" {
		return redacted
	}
	return redactURL(text)
}

// show renders the value at key, decoded or as it was loaded, as maps, lists and single values. hidden:
// its name looks secret, so its value is not shown, unless its type says that it is none: a duration,
// as in token_ttl, a size, or true or false. The caller holds mu.
func (s *Source) show(v reflect.Value, key string, hidden bool) any {
	if !v.IsValid() || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		return nil
	}
	hidden = hidden || s.secrets[key]
	pointer := reflect.New(v.Type()) // it has the methods of both
	pointer.Elem().Set(v)
	switch value := pointer.Interface().(type) {
	case interface{ Reveal() string }:
		return mask(value.Reveal(), true)
	case *time.Duration:
		return value.String()
	case *carried:
		return s.show(reflect.ValueOf((*value)()), key, hidden)
	case encoding.TextMarshaler:
		text, err := value.MarshalText()
		if err != nil {
			return fmt.Sprintf("(%s)", v.Type())
		}
		return mask(string(text), hidden && !isNumber(v.Type()))
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return s.show(v.Elem(), key, hidden)
	case reflect.Struct:
		section := map[string]any{}
		for name, field := range fields(v.Type()) {
			// A null could not be loaded again.
			if shown := s.show(v.FieldByIndex(field.Index), below(key, name), hidden || looksSecret(name)); shown != nil {
				section[name] = shown
			}
		}
		return section
	case reflect.Map:
		section := map[string]any{}
		for entry := v.MapRange(); entry.Next(); {
			name := fmt.Sprint(entry.Key().Interface())
			section[name] = s.show(entry.Value(), below(key, name), hidden || looksSecret(name))
		}
		return section
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = s.show(v.Index(i), below(key, fmt.Sprintf("[%d]", i)), hidden)
		}
		return list
	case reflect.String:
		return mask(v.String(), hidden)
	case reflect.Bool:
		return v.Bool()
	}
	switch {
	case !isNumber(v.Type()):
		return fmt.Sprintf("(%s)", v.Type())
	case hidden && !v.IsZero():
		return redacted
	}
	return v.Interface()
}
