package sessioncache

import (
	"cmp"
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Custom fields of any other type are encoded as a type and a value. A type is written without its
// name, because another process may not know it: a `type Role string` is a string. So a value comes
// back as its underlying type. time.Time and time.Duration come back as themselves.

// maxTypeLevels limits how deep slices and maps nest within one type. An encoded type may be
// forged, and package reflect never forgets one.
const maxTypeLevels = 4

// maxArrayBytes limits arrays, for the same reason.
const maxArrayBytes = 64

const (
	reasonType = "only nil, booleans, integers, floats, strings, time.Time, time.Duration, arrays of 1 to 64 bytes, " +
		"and slices and maps of these can be; a key must be a string, an integer or an array of bytes"
	reasonTooDeep = "nested too deep: 16 levels at most, and 4 within one type"
)

// scalars are the types that are a kind and nothing else.
var scalars = [...]reflect.Type{
	fieldBool: reflect.TypeFor[bool](), fieldString: reflect.TypeFor[string](), fieldAny: reflect.TypeFor[any](),
	fieldInt: reflect.TypeFor[int](), fieldInt8: reflect.TypeFor[int8](), fieldInt16: reflect.TypeFor[int16](),
	fieldInt32: reflect.TypeFor[int32](), fieldInt64: reflect.TypeFor[int64](),
	fieldUint: reflect.TypeFor[uint](), fieldUint8: reflect.TypeFor[uint8](), fieldUint16: reflect.TypeFor[uint16](),
	fieldUint32: reflect.TypeFor[uint32](), fieldUint64: reflect.TypeFor[uint64](),
	fieldFloat32: reflect.TypeFor[float32](), fieldFloat64: reflect.TypeFor[float64](),
	fieldBytes: reflect.TypeFor[[]byte](), fieldTime: reflect.TypeFor[time.Time](), fieldDuration: reflect.TypeFor[time.Duration](),
}

// basics are the kinds of the types that reflect's own kind suffices for.
var basics = [reflect.UnsafePointer + 1]byte{
	reflect.Bool: fieldBool, reflect.String: fieldString,
	reflect.Int: fieldInt, reflect.Int8: fieldInt8, reflect.Int16: fieldInt16, reflect.Int32: fieldInt32, reflect.Int64: fieldInt64,
	reflect.Uint: fieldUint, reflect.Uint8: fieldUint8, reflect.Uint16: fieldUint16, reflect.Uint32: fieldUint32, reflect.Uint64: fieldUint64,
	reflect.Float32: fieldFloat32, reflect.Float64: fieldFloat64, reflect.Slice: fieldSlice, reflect.Map: fieldTable,
}

// kindOf returns the kind of values of a type, or fieldNil if they cannot be encoded.
func kindOf(t reflect.Type) byte {
	switch t.Kind() {
	case reflect.Int64:
		if t == scalars[fieldDuration] {
			return fieldDuration
		}
	case reflect.Struct:
		if t == scalars[fieldTime] {
			return fieldTime
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return fieldBytes
		}
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && t.Len() >= 1 && t.Len() <= maxArrayBytes {
			return fieldArray
		}
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return fieldAny
		}
	default:
	}
	return basics[t.Kind()]
}

// isKey reports whether a map may have keys of a kind.
func isKey(kind byte) bool {
	switch kind {
	case fieldString, fieldInt, fieldInt8, fieldInt16, fieldInt32, fieldInt64,
		fieldUint, fieldUint8, fieldUint16, fieldUint32, fieldUint64, fieldDuration, fieldArray:
		return true
	}
	return false
}

// appendTyped appends a value in a map or list of the given level, with its type.
func appendTyped(dst []byte, value reflect.Value, level int) ([]byte, *FieldError) {
	dst, reason := appendType(dst, value.Type(), 0)
	if reason != "" {
		return nil, &FieldError{Type: value.Type().String(), Reason: reason}
	}
	return appendValue(dst, value, level)
}

// appendType appends the type of a value that is nested in levels slices and maps of its type.
func appendType(dst []byte, t reflect.Type, levels int) (out []byte, reason string) {
	kind := kindOf(t)
	dst = append(dst, kind)
	switch kind {
	case fieldNil:
		return nil, reasonType
	case fieldArray:
		return binary.AppendUvarint(dst, uint64(t.Len())), "" //nolint:gosec // a length
	case fieldSlice, fieldTable:
		if levels == maxTypeLevels {
			return nil, reasonTooDeep
		}
		if kind == fieldTable {
			if !isKey(kindOf(t.Key())) {
				return nil, reasonType
			}
			if dst, reason = appendType(dst, t.Key(), levels); reason != "" {
				return nil, reason
			}
		}
		return appendType(dst, t.Elem(), levels+1)
	}
	return dst, ""
}

// appendValue appends a value, without its type, in a map or list of the given level.
func appendValue(dst []byte, value reflect.Value, level int) ([]byte, *FieldError) {
	switch kind := kindOf(value.Type()); kind {
	case fieldBool:
		if value.Bool() {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case fieldInt, fieldInt8, fieldInt16, fieldInt32, fieldInt64, fieldDuration:
		return binary.AppendVarint(dst, value.Int()), nil
	case fieldUint, fieldUint8, fieldUint16, fieldUint32, fieldUint64:
		return binary.AppendUvarint(dst, value.Uint()), nil
	case fieldFloat32:
		exact := value.Convert(scalars[fieldFloat32]).Interface().(float32) // Float would change a signalling NaN
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(exact)), nil
	case fieldFloat64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(value.Float())), nil
	case fieldString:
		return appendText(dst, value.String()), nil
	case fieldBytes:
		return append(appendLength(dst, value.Len(), value.IsNil()), value.Bytes()...), nil
	case fieldArray:
		for i := range value.Len() { // Bytes panics, because the array has no address
			dst = append(dst, byte(value.Index(i).Uint())) //nolint:gosec // of bytes
		}
		return dst, nil
	case fieldTime:
		return appendTime(dst, value.Interface().(time.Time)), nil
	case fieldAny:
		return appendField(dst, value.Interface(), level)
	default: // a slice or a map
		if level >= maxFieldLevels {
			return nil, &FieldError{Type: value.Type().String(), Reason: reasonTooDeep}
		}
		dst = appendLength(dst, value.Len(), value.IsNil())
		if kind == fieldTable {
			return appendTable(dst, value, level+1)
		}
		for i := range value.Len() {
			var failure *FieldError
			if dst, failure = appendValue(dst, value.Index(i), level+1); failure != nil {
				return nil, failure.in("[" + strconv.Itoa(i) + "]")
			}
		}
		return dst, nil
	}
}

// appendTable appends the pairs of a map of the given level, in the order of their encoded keys.
func appendTable(dst []byte, value reflect.Value, level int) ([]byte, *FieldError) {
	type pair struct {
		encoded    string
		key, value reflect.Value
	}
	pairs := make([]pair, 0, value.Len())
	for each := value.MapRange(); each.Next(); {
		encoded, _ := appendValue(nil, each.Key(), level) // a key cannot fail
		pairs = append(pairs, pair{string(encoded), each.Key(), each.Value()})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.encoded, b.encoded) })
	for _, p := range pairs {
		var failure *FieldError
		if dst, failure = appendValue(append(dst, p.encoded...), p.value, level); failure != nil {
			return nil, failure.in(keyStep(p.key, level))
		}
	}
	return dst, nil
}

// keyStep returns a key as a step of a path.
func keyStep(key reflect.Value, level int) string {
	switch {
	case key.CanInt():
		return "[" + strconv.FormatInt(key.Int(), 10) + "]"
	case key.CanUint():
		return "[" + strconv.FormatUint(key.Uint(), 10) + "]"
	case key.Kind() == reflect.String:
		return pathStep(key.String(), level)
	default: // an array of bytes
		return "[key]"
	}
}

// typed reads a type, which begins with kind, and a value of it, in a map or list of the given
// level.
func (d *decoder) typed(kind byte, level int) any {
	t := d.typeOf(kind, 0)
	if t == nil {
		return nil
	}
	value := reflect.New(t).Elem()
	d.value(value, level)
	return value.Interface()
}

// typeOf reads the rest of a type, which is nested in levels slices and maps. It returns nil after
// an error.
func (d *decoder) typeOf(kind byte, levels int) reflect.Type {
	switch kind {
	case fieldArray:
		if n := d.uvarint(); n >= 1 && n <= maxArrayBytes {
			return reflect.ArrayOf(int(n), scalars[fieldUint8])
		}
	case fieldSlice, fieldTable:
		if levels == maxTypeLevels {
			break
		}
		var key reflect.Type
		if kind == fieldTable {
			keyKind := d.byte()
			if !isKey(keyKind) {
				break
			}
			if key = d.typeOf(keyKind, levels); key == nil {
				return nil
			}
		}
		elem := d.typeOf(d.byte(), levels+1)
		switch {
		case elem == nil:
			return nil
		case key != nil:
			return reflect.MapOf(key, elem)
		}
		return reflect.SliceOf(elem)
	default:
		if int(kind) < len(scalars) && scalars[kind] != nil {
			return scalars[kind]
		}
	}
	d.fail("an unknown type of custom field")
	return nil
}

// value reads a value of target's type, in a map or list of the given level, into target.
func (d *decoder) value(target reflect.Value, level int) {
	switch kind := kindOf(target.Type()); kind {
	case fieldBool:
		target.SetBool(d.byte() != 0)
	case fieldInt, fieldInt8, fieldInt16, fieldInt32, fieldInt64, fieldDuration:
		number := d.varint()
		if target.OverflowInt(number) {
			d.fail("a number beyond its type")
		}
		target.SetInt(number)
	case fieldUint, fieldUint8, fieldUint16, fieldUint32, fieldUint64:
		number := d.uvarint()
		if target.OverflowUint(number) {
			d.fail("a number beyond its type")
		}
		target.SetUint(number)
	case fieldFloat32:
		target.Set(reflect.ValueOf(math.Float32frombits(d.fixed32())))
	case fieldFloat64:
		target.SetFloat(math.Float64frombits(d.fixed64()))
	case fieldString:
		target.SetString(d.text())
	case fieldBytes:
		target.SetBytes(d.bytes())
	case fieldArray:
		if target.Len() > len(d.in)-d.at {
			d.fail("a truncated array")
			return
		}
		d.at += copy(target.Bytes(), d.in[d.at:])
	case fieldTime:
		target.Set(reflect.ValueOf(d.nanoTime()))
	case fieldAny:
		if value := d.field(level); value != nil {
			target.Set(reflect.ValueOf(value))
		}
	default: // a slice or a map
		switch {
		case level >= maxFieldLevels:
			d.fail("custom fields nested too deep")
		case kind == fieldTable:
			d.table(target, level+1)
		default:
			d.slice(target, level+1)
		}
	}
}

func (d *decoder) slice(target reflect.Value, level int) {
	count, null := d.length(minBytes(target.Type().Elem()))
	if null {
		return
	}
	target.Set(reflect.MakeSlice(target.Type(), count, count))
	for i := 0; i < count && d.err == nil; i++ {
		d.value(target.Index(i), level)
	}
}

func (d *decoder) table(target reflect.Value, level int) {
	t := target.Type()
	count, null := d.length(minBytes(t.Key()) + minBytes(t.Elem()))
	if null {
		return
	}
	target.Set(reflect.MakeMapWithSize(t, count))
	key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
	for previous, i := "", 0; i < count && d.err == nil; i++ {
		start := d.at
		d.value(key, level)
		encoded := d.in[start:d.at]
		if i > 0 && encoded <= previous {
			d.fail("keys out of order")
			return
		}
		previous = encoded
		value.SetZero()
		d.value(value, level)
		target.SetMapIndex(key, value)
	}
}

// minBytes returns the minimum number of bytes that one value of a type takes in the encoding.
func minBytes(t reflect.Type) int {
	switch t.Kind() {
	case reflect.Array:
		return t.Len()
	case reflect.Float32:
		return 4
	case reflect.Float64:
		return 8
	}
	return 1
}
