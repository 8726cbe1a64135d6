package sessioncache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The kinds of values in custom fields, and what follows each kind. The numbers are part of the
// format. A "length" is an unsigned varint: 0 for nil, or the number of elements and one.
const (
	fieldNil = iota
	fieldFalse
	fieldTrue
	fieldInt     // signed varint
	fieldInt64   // signed varint
	fieldUint64  // unsigned varint
	fieldFloat64 // 8 bytes, little-endian
	fieldString  // text
	fieldBytes   // length, bytes
	fieldTime    // Unix seconds as a signed varint, nanoseconds as an unsigned one
	fieldList    // length, values
	fieldStrings // length, texts
	fieldMap     // length, pairs of text and value in ascending order of the texts

	// The rest are in typed.go. They are types, and what follows is a value of the type.
	fieldInt8
	fieldInt16
	fieldInt32
	fieldUint
	fieldUint8
	fieldUint16
	fieldUint32
	fieldFloat32
	fieldDuration
	fieldArray // of bytes: how many, as an unsigned varint
	fieldSlice // the type of its elements
	fieldTable // a map: the types of its keys and elements
	fieldBool  // only within a type
	fieldAny   // only within a type
)

// maxFieldLevels limits the recursion. Encoded data may be forged, and a value may contain itself.
const maxFieldLevels = 16

// ErrUnsupportedField is wrapped by every FieldError.
var ErrUnsupportedField = errors.New("sessioncache: custom field cannot be encoded")

// FieldError says which custom field cannot be encoded. It does not hold the value.
type FieldError struct {
	// Path leads to the field, for example `cart.lines[2].price`.
	Path string
	// Type is its Go type.
	Type string
	// Reason says why it cannot be encoded.
	Reason string
}

// Error implements error.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%v: %s of type %s: %s", ErrUnsupportedField, e.Path, e.Type, e.Reason)
}

// HoldsNoValue tells package cache that the text may be logged, and be part of another error's.
func (e *FieldError) HoldsNoValue() {}

// Unwrap returns ErrUnsupportedField.
func (e *FieldError) Unwrap() error { return ErrUnsupportedField }

// in adds step, the position of the field within its parent, to the front of the path.
func (e *FieldError) in(step string) *FieldError {
	e.Path = step + e.Path
	return e
}

// appendFields appends a map of the given level of nesting, with its names in order. Equal sessions
// then have equal encodings, and a decoder can detect a name that occurs twice.
func appendFields(dst []byte, fields map[string]any, level int) ([]byte, *FieldError) {
	var space [16]string
	names := space[:0]
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)

	dst = appendLength(dst, len(names), fields == nil)
	for _, name := range names {
		var failure *FieldError
		dst, failure = appendField(appendText(dst, name), fields[name], level)
		if failure != nil {
			return nil, failure.in(pathStep(name, level))
		}
	}
	return dst, nil
}

// appendField appends a value in a map or list of the given level.
func appendField(dst []byte, value any, level int) ([]byte, *FieldError) {
	switch value := value.(type) {
	case nil:
		return append(dst, fieldNil), nil
	case bool:
		if value {
			return append(dst, fieldTrue), nil
		}
		return append(dst, fieldFalse), nil
	case int:
		return binary.AppendVarint(append(dst, fieldInt), int64(value)), nil
	case int64:
		return binary.AppendVarint(append(dst, fieldInt64), value), nil
	case uint64:
		return binary.AppendUvarint(append(dst, fieldUint64), value), nil
	case float64:
		return binary.LittleEndian.AppendUint64(append(dst, fieldFloat64), math.Float64bits(value)), nil
	case string:
		return appendText(append(dst, fieldString), value), nil
	case []byte:
		return append(appendLength(append(dst, fieldBytes), len(value), value == nil), value...), nil
	case time.Time:
		return appendTime(append(dst, fieldTime), value), nil
	case []string:
		dst = appendLength(append(dst, fieldStrings), len(value), value == nil)
		for _, text := range value {
			dst = appendText(dst, text)
		}
		return dst, nil
	case []any, map[string]any:
		if level >= maxFieldLevels {
			return nil, &FieldError{Type: fmt.Sprintf("%T", value), Reason: reasonTooDeep}
		}
		return appendNested(dst, value, level+1)
	default:
		return appendTyped(dst, reflect.ValueOf(value), level)
	}
}

// appendNested appends a list or map of the given level.
func appendNested(dst []byte, value any, level int) ([]byte, *FieldError) {
	list, ok := value.([]any)
	if !ok {
		return appendFields(append(dst, fieldMap), value.(map[string]any), level)
	}
	dst = appendLength(append(dst, fieldList), len(list), list == nil)
	for i, element := range list {
		var failure *FieldError
		dst, failure = appendField(dst, element, level)
		if failure != nil {
			return nil, failure.in("[" + strconv.Itoa(i) + "]")
		}
	}
	return dst, nil
}

func appendTime(dst []byte, value time.Time) []byte {
	dst = binary.AppendVarint(dst, value.Unix())
	return binary.AppendUvarint(dst, uint64(value.Nanosecond()))
}

// appendLength appends the length of a slice or map, which tells nil from empty.
func appendLength(dst []byte, n int, null bool) []byte {
	if null {
		return append(dst, 0)
	}
	return binary.AppendUvarint(dst, uint64(n)+1)
}

// pathStep returns name as a step of a path. It quotes a name that would make the path ambiguous or
// unreadable.
func pathStep(name string, level int) string {
	quoted := strconv.Quote(name)
	if name == "" || len(quoted) != len(name)+2 || strings.ContainsAny(name, ".[] ") {
		return "[" + quoted + "]"
	}
	if level == 1 {
		return name
	}
	return "." + name
}

// fields reads a map of the given level of nesting.
func (d *decoder) fields(level int) map[string]any {
	count, null := d.length(minPairBytes)
	if null {
		return nil
	}
	fields := make(map[string]any, count)
	previous := ""
	for i := range count {
		name := d.text()
		if i > 0 && name <= previous {
			d.fail("custom fields out of order")
		}
		fields[name] = d.field(level)
		if d.err != nil {
			return nil
		}
		previous = name
	}
	return fields
}

// field reads a value in a map or list of the given level.
func (d *decoder) field(level int) any {
	switch kind := d.byte(); kind {
	case fieldNil:
		return nil
	case fieldFalse, fieldTrue:
		return kind == fieldTrue
	case fieldInt:
		value := d.varint()
		if int64(int(value)) != value {
			d.fail("an int of 64 bits") // written by a 64-bit process, read by a 32-bit one
		}
		return int(value)
	case fieldInt64:
		return d.varint()
	case fieldUint64:
		return d.uvarint()
	case fieldFloat64:
		return math.Float64frombits(d.fixed64())
	case fieldString:
		return d.text()
	case fieldBytes:
		return d.bytes()
	case fieldTime:
		return d.nanoTime()
	case fieldStrings:
		return d.list()
	case fieldAny, fieldBool:
		d.fail("a type without a value")
		return nil
	case fieldList, fieldMap:
		if level >= maxFieldLevels {
			d.fail("custom fields nested too deep")
			return nil
		}
		if kind == fieldMap {
			return d.fields(level + 1)
		}
		return d.values(level + 1)
	default:
		return d.typed(kind, level)
	}
}

// bytes returns a copy, because the application may write to it.
func (d *decoder) bytes() []byte {
	count, null := d.length(minByteBytes)
	if null {
		return nil
	}
	bytes := make([]byte, count)
	d.at += copy(bytes, d.in[d.at:])
	return bytes
}

func (d *decoder) nanoTime() time.Time {
	seconds, nanoseconds := d.varint(), d.uvarint()
	if nanoseconds >= uint64(time.Second) {
		d.fail("more nanoseconds than a second has")
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanoseconds)).UTC()
}

func (d *decoder) values(level int) []any {
	count, null := d.length(minFieldBytes)
	if null {
		return nil
	}
	values := make([]any, count)
	for i := range values {
		values[i] = d.field(level)
		if d.err != nil {
			return nil
		}
	}
	return values
}
