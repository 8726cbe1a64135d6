package codec

import (
	"bytes"
	"cmp"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/fxcache/fxcache/cache/internal/shape"
)

// MessagePack is a cache.Codec for MessagePack. If a field has no msgpack tag, it uses the tag of
// encoding/json. It is safe for concurrent use.
//
// It refuses to encode what would come back as something else, or is nested deeper than 1000
// levels. docs/caching.md has the list.
type MessagePack struct{}

// Name implements cache.Codec.
func (MessagePack) Name() string { return "msgpack" }

// CheckType implements cache.TypeChecker.
func (MessagePack) CheckType(t reflect.Type) []shape.Loss { return msgpackRules.Plan(t).Losses }

// Append implements cache.Codec.
func (MessagePack) Append(dst []byte, value any) ([]byte, error) {
	value, plan, err := msgpackRules.Prepare(value)
	if err != nil {
		return nil, err
	}
	buffer := bytes.NewBuffer(dst)
	encoder := msgpack.GetEncoder()
	defer msgpack.PutEncoder(encoder)
	encoder.Reset(buffer)
	encoder.SetCustomStructTag("json")
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	if encoded := buffer.Bytes()[len(dst):]; plan.Nests && len(encoded) >= maxDepth && wellFormed(encoded) != nil {
		return nil, tooDeep("msgpack")
	}
	return buffer.Bytes(), nil
}

// Unmarshal implements cache.Codec.
func (MessagePack) Unmarshal(data []byte, target any) error {
	if err := wellFormed(data); err != nil {
		return err
	}
	decoder := msgpack.GetDecoder()
	defer msgpack.PutDecoder(decoder)
	decoder.Reset(bytes.NewReader(data))
	decoder.SetCustomStructTag("json")
	return decoder.Decode(target)
}

// msgpackMethods are the part of msgpackRules that msgpackFields needs.
var msgpackMethods = &shape.Rules{
	Own: []shape.Pair{
		{Marshal: reflect.TypeFor[msgpack.CustomEncoder](), Unmarshal: reflect.TypeFor[msgpack.CustomDecoder](), To: "EncodeMsgpack", From: "DecodeMsgpack", Nests: true},
		{Marshal: reflect.TypeFor[msgpack.Marshaler](), Unmarshal: reflect.TypeFor[msgpack.Unmarshaler](), To: "MarshalMsgpack", From: "UnmarshalMsgpack", Nests: true},
		binaryPair, textPair,
	},
	Known: []reflect.Type{reflect.TypeFor[time.Time]()},
}

var msgpackRules = &shape.Rules{
	Codec: "msgpack",
	Own:   msgpackMethods.Own,
	Known: msgpackMethods.Known,
	Dynamic: []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](),
		reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
		reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	},
	Fields:    msgpackFields,
	Addresses: true, FillsEmbedded: true,
	Depth: maxDepth - 2, // an element counts as a level
}

// msgpackFields returns the fields of a struct by the rules of the library. It puts the fields of
// an embedded struct in the outer one, unless one of them has the name of an earlier field. Of
// fields with one name, the last counts.
func msgpackFields(structure reflect.Type) (kept, lost []shape.Field) {
	all, lost := msgpackList(shape.Field{StructField: reflect.StructField{Type: structure}}, nil)
	for i, f := range all {
		if slices.ContainsFunc(all[i+1:], func(later msgpackField) bool { return later.name == f.name }) {
			lost = shape.Lose(lost, f.Field, shape.Shadowed)
		} else {
			kept = append(kept, f.Field)
		}
	}
	return kept, lost
}

type msgpackField struct {
	shape.Field
	name string
}

// msgpackList returns the fields of a struct within others.
func msgpackList(structure shape.Field, outer []reflect.Type) (list []msgpackField, lost []shape.Field) {
	outer = append(slices.Clip(outer), structure.Type)
	for i := range structure.Type.NumField() {
		field := structure.Inner(i)
		tag := cmp.Or(field.Tag.Get("msgpack"), field.Tag.Get("json"))
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case name == "-":
			lost = shape.Lose(lost, field, shape.Skipped)
			continue
		case !field.IsExported() && !field.Anonymous:
			lost = shape.Lose(lost, field, shape.Unexported)
			continue
		}
		f := msgpackField{field, cmp.Or(name, field.Name)}
		if inlined, lostInside, ok := msgpackInline(f, options, outer, list); ok {
			list, lost = append(list, inlined...), append(lost, lostInside...)
			continue
		}
		if embedded, isStruct := field.EmbeddedStruct(); field.Anonymous && !field.IsExported() && (!isStruct || msgpackMethods.EncodesItself(embedded)) {
			f.Never = "is embedded and unexported, so msgpack cannot decode it"
		}
		list = append(list, f)
	}
	return list, lost
}

// msgpackInline returns the fields that an embedded struct lends to the outer one. ok is false if
// the library stores it as a field of its own.
func msgpackInline(f msgpackField, options string, outer []reflect.Type, before []msgpackField) (list []msgpackField, lost []shape.Field, ok bool) {
	embedded, isStruct := f.EmbeddedStruct()
	has := func(option string) bool { return slices.Contains(strings.Split(options, ","), option) }
	if !isStruct || has("noinline") || msgpackMethods.EncodesItself(embedded) {
		return nil, nil, false
	}
	if slices.Contains(outer, embedded) {
		f.Never = "embeds what it is embedded in, which msgpack cannot encode"
		return []msgpackField{f}, nil, true
	}
	inside := f.Field
	inside.Type = embedded
	list, lost = msgpackList(inside, outer)
	taken := func(inner msgpackField) bool {
		return slices.ContainsFunc(before, func(b msgpackField) bool { return b.name == inner.name })
	}
	if !has("inline") {
		return list, lost, !slices.ContainsFunc(list, taken)
	}
	var free []msgpackField
	for _, inner := range list {
		if taken(inner) {
			lost = shape.Lose(lost, inner.Field, shape.Shadowed)
		} else {
			free = append(free, inner)
		}
	}
	return free, lost, true
}
