package cache

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode"

	"github.com/fxcache/fxcache/cache/internal/shape"
)

// JSON is the default [Codec]. It uses encoding/json, and refuses to encode what would come back as
// something else, such as a string that is not UTF-8. docs/caching.md has the list.
type JSON struct{}

// Name implements Codec.
func (JSON) Name() string { return "json" }

// CheckType implements TypeChecker.
func (JSON) CheckType(t reflect.Type) []Loss { return jsonRules.Plan(t).Losses }

// Append implements Codec.
func (JSON) Append(dst []byte, value any) ([]byte, error) {
	value, plan, err := jsonRules.Prepare(value)
	if err != nil {
		return nil, err
	}
	before := len(dst)
	if dst, err = appendJSON(dst, value); err != nil {
		return nil, err
	}
	if err := checkJSON(dst[before:], value, plan); err != nil {
		return nil, err
	}
	return dst, nil
}

// Unmarshal implements Codec.
func (JSON) Unmarshal(data []byte, target any) error { return json.Unmarshal(data, target) }

// jsonEncoder is an encoder with the buffer that it writes to.
type jsonEncoder struct {
	buffer  bytes.Buffer
	encoder *json.Encoder
}

var jsonEncoders = sync.Pool{New: func() any {
	e := &jsonEncoder{}
	e.encoder = json.NewEncoder(&e.buffer)
	e.encoder.SetEscapeHTML(false)
	return e
}}

// keptBuffer is how large a buffer may be, in bytes, that is kept for the next value.
const keptBuffer = 16 << 10

func appendJSON(dst []byte, value any) ([]byte, error) {
	e := jsonEncoders.Get().(*jsonEncoder) //nolint:forcetypeassert // nothing else is put there
	if err := e.encoder.Encode(value); err != nil {
		return nil, err // and e is not used again
	}
	dst = append(dst, bytes.TrimSuffix(e.buffer.Bytes(), []byte{'\n'})...)
	if e.buffer.Cap() <= keptBuffer {
		e.buffer.Reset()
		jsonEncoders.Put(e)
	}
	return dst, nil
}

// checkJSON looks at what was encoded, where the value alone does not tell whether it comes back.
func checkJSON(encoded []byte, value any, plan *shape.Plan) error {
	// encoding/json writes U+FFFD in place of what is not UTF-8.
	if bytes.Contains(encoded, []byte(`\ufffd`)) || bytes.Contains(encoded, []byte("\ufffd")) {
		if err := jsonRules.CheckText(value); err != nil {
			return err
		}
	}
	if plan.Nests && len(encoded) > 2*jsonDepth && !json.Valid(encoded) { // it has the decoder's limit
		return &shape.Error{Path: "T", Reason: fmt.Sprintf("is nested too deep: json decodes %d levels", jsonDepth)}
	}
	if !plan.Verify {
		return nil
	}
	decoded := reflect.New(reflect.TypeOf(value))
	if err := json.Unmarshal(encoded, decoded.Interface()); err == nil {
		again, err := appendJSON(nil, decoded.Interface())
		if err == nil && bytes.Equal(encoded, again) {
			return nil
		}
	}
	return &shape.Error{Path: "T", Reason: "would come back as another value: a type in it has UnmarshalJSON or UnmarshalText " +
		"without the method that encodes; write both"}
}

// jsonDepth is the limit of encoding/json's decoder.
const jsonDepth = 10_000

var jsonRules = &shape.Rules{
	Codec: "json",
	Own: []shape.Pair{
		{Marshal: reflect.TypeFor[json.Marshaler](), Unmarshal: reflect.TypeFor[json.Unmarshaler](), To: "MarshalJSON", From: "UnmarshalJSON", Nests: true},
		{Marshal: textMarshaler, Unmarshal: textUnmarshaler, To: "MarshalText", From: "UnmarshalText", Text: true},
	},
	Dynamic: []reflect.Type{reflect.TypeFor[bool](), reflect.TypeFor[float64](), reflect.TypeFor[string]()},
	Fields: func(t reflect.Type) (kept, lost []shape.Field) {
		return shape.EmbeddingFields(t, jsonTag)
	},
	Key:       jsonKey,
	Addresses: true, Verifies: true,
	Depth: jsonDepth - 1,
}

var (
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func jsonTag(field reflect.StructField) shape.Tag {
	tag := field.Tag.Get("json")
	if tag == "-" {
		return shape.Tag{Skip: true}
	}
	name, _, _ := strings.Cut(tag, ",")
	if strings.ContainsFunc(name, unusableInTag) {
		name = ""
	}
	return shape.Tag{Name: name, Tagged: name != ""}
}

// unusableInTag: encoding/json ignores a name with such a character.
func unusableInTag(r rune) bool {
	return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// jsonKey knows what encoding/json does with the keys of maps: it encodes strings as they are, and
// decodes them with UnmarshalText.
func jsonKey(key reflect.Type) (reason string, depends bool) {
	encodes, decodes := key.Implements(textMarshaler), reflect.PointerTo(key).Implements(textUnmarshaler)
	simple := key.Kind() >= reflect.Int && key.Kind() <= reflect.Uintptr
	switch {
	case key.Kind() == reflect.String:
		return "", decodes
	case encodes && decodes && key.Kind() != reflect.Pointer && key.Kind() != reflect.Interface, simple && !encodes && !decodes:
		return "", false
	case simple && decodes:
		return "", true
	default:
		return fmt.Sprintf("is a %v, which json cannot use as a key: use a string, an integer, or a type with MarshalText and UnmarshalText", key), false
	}
}
