package shape

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"unicode/utf8"
)

// Check returns an [Error] if value would come back as another, or not at all.
func (r *Rules) Check(value any) error {
	return r.check(value, false)
}

// CheckText is Check, and finds strings that are not UTF-8.
func (r *Rules) CheckText(value any) error {
	return r.check(value, true)
}

func (r *Rules) check(value any, text bool) error {
	v := reflect.ValueOf(value)
	if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem() // a nil in it is itself
	}
	c := checker{rules: r, text: text}
	if err := c.value(v, 0).under("T"); err != nil {
		return err
	}
	return nil
}

// info is what the checker needs to know of a type.
type info struct {
	own  bool // its parts do not matter
	text bool // it is encoded as a string
	kept []Field
}

func (r *Rules) info(t reflect.Type) *info {
	if known, ok := r.infos.Load(t); ok {
		return known.(*info)
	}
	i := new(info)
	if to, from := r.own(t, true); to != nil && to == from {
		i.own, i.text = true, to.Text
	} else if slices.Contains(r.Known, t) {
		i.own = true
	} else if t.Kind() == reflect.Struct {
		i.kept, _ = r.Fields(t)
	}
	known, _ := r.infos.LoadOrStore(t, i)
	return known.(*info)
}

// checker looks at one value.
type checker struct {
	rules *Rules
	text  bool
}

// value looks at a value within depth others.
func (c *checker) value(v reflect.Value, depth int) *Error {
	if depth > c.rules.Depth {
		return c.tooDeep()
	}
	switch v.Kind() {
	case reflect.Interface:
		return c.dynamic(v.Interface(), depth)
	case reflect.Pointer:
		return c.pointer(v, depth)
	default:
	}
	switch v.Type() {
	case sliceOfAny:
		return c.slice(v.Interface().([]any), depth)
	case mapOfAny:
		return c.fields(v.Interface().(map[string]any), depth)
	}
	known := c.rules.info(v.Type())
	if known.own {
		return c.itself(v, known)
	}
	switch v.Kind() {
	case reflect.String:
		return c.string(v.String())
	case reflect.Slice, reflect.Array:
		if c.plain(v.Type().Elem()) {
			return nil
		}
		for i := range v.Len() {
			if err := c.value(v.Index(i), depth+1); err != nil {
				return err.under("[]")
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			if err := c.value(entries.Key(), depth+1); err != nil {
				return err.under("[key]")
			}
			if err := c.value(entries.Value(), depth+1); err != nil {
				return err.under("[]")
			}
		}
	case reflect.Struct:
		for i := range known.kept {
			field := &known.kept[i]
			part, err := c.field(v, field)
			if err == nil && part.IsValid() {
				err = c.value(part, depth+1)
			}
			if err != nil {
				return err.under("." + field.Path)
			}
		}
	default:
	}
	return nil
}

// plain reports whether values of a type cannot be anything that matters.
func (c *checker) plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Float32, reflect.Float64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return !c.text || !c.rules.info(t).text
	case reflect.String:
		return !c.text
	default:
		return false
	}
}

func (c *checker) pointer(v reflect.Value, depth int) *Error {
	if v.IsNil() {
		return nil
	}
	elem := v.Elem()
	if nilable(elem.Type()) {
		if elem.IsNil() && !c.rules.info(elem.Type()).own {
			return &Error{Reason: "is a pointer to nil, which would come back as nil"}
		}
		depth++ // a pointer may point to itself
	}
	return c.value(elem, depth)
}

var (
	sliceOfAny = reflect.TypeFor[[]any]()
	mapOfAny   = reflect.TypeFor[map[string]any]()
)

// dynamic looks at what an interface holds. It does without reflection as long as it can.
func (c *checker) dynamic(x any, depth int) *Error {
	isNil := false
	switch x := x.(type) {
	case nil:
		return nil
	case string:
		return c.string(x)
	case []any:
		if isNil = x == nil; !isNil {
			return c.slice(x, depth)
		}
	case map[string]any:
		if isNil = x == nil; !isNil {
			return c.fields(x, depth)
		}
	case []byte:
		isNil = x == nil
	}
	if isNil {
		return &Error{Reason: fmt.Sprintf("is a nil %T in an interface, which would come back as nil", x)}
	}
	if !slices.Contains(c.rules.Dynamic, reflect.TypeOf(x)) {
		return &Error{Reason: fmt.Sprintf("is a %T in an interface, which %s would bring back as another type: use a field of that type", x, c.rules.Codec)}
	}
	return nil
}

func (c *checker) slice(x []any, depth int) *Error {
	if depth > c.rules.Depth {
		return c.tooDeep()
	}
	for _, element := range x {
		if err := c.dynamic(element, depth+1); err != nil {
			return err.under("[]")
		}
	}
	return nil
}

func (c *checker) fields(x map[string]any, depth int) *Error {
	if depth > c.rules.Depth {
		return c.tooDeep()
	}
	for key, element := range x {
		if err := c.string(key); err != nil {
			return err.under("[key]")
		}
		if err := c.dynamic(element, depth+1); err != nil {
			return err.under("[]")
		}
	}
	return nil
}

func (c *checker) tooDeep() *Error {
	return &Error{Reason: fmt.Sprintf("is nested too deep: %s decodes %d levels", c.rules.Codec, c.rules.Depth)}
}

// field returns a field. It is no valid value if it is behind an embedded nil pointer.
func (c *checker) field(v reflect.Value, field *Field) (reflect.Value, *Error) {
	for i, at := range field.Index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if c.rules.FillsEmbedded {
					return v, &Error{Reason: "is behind an embedded nil pointer, which " + c.rules.Codec + " would bring back as a pointer to an empty struct"}
				}
				return reflect.Value{}, nil
			}
			v = v.Elem()
		}
		v = v.Field(at)
	}
	return v, nil
}

// itself looks at a value that encodes itself.
func (c *checker) itself(v reflect.Value, known *info) *Error {
	if !c.text || !known.text || !v.CanInterface() || nilable(v.Type()) && v.IsNil() {
		return nil
	}
	marshaler, ok := v.Interface().(encoding.TextMarshaler)
	if !ok {
		pointer := reflect.New(v.Type())
		pointer.Elem().Set(v)
		marshaler = pointer.Interface().(encoding.TextMarshaler)
	}
	if text, err := marshaler.MarshalText(); err == nil && !utf8.Valid(text) {
		return c.notUTF8()
	}
	return nil
}

func (c *checker) string(s string) *Error {
	if c.text && !utf8.ValidString(s) {
		return c.notUTF8()
	}
	return nil
}

func (c *checker) notUTF8() *Error {
	return &Error{Reason: "is not valid UTF-8, which " + c.rules.Codec + " would change: use []byte"}
}

// Prepare returns what to give to the codec in place of value, and its plan. It returns an [Error]
// as Check does.
func (r *Rules) Prepare(value any) (any, *Plan, error) {
	t := reflect.TypeOf(value)
	plan := r.Plan(t)
	if plan.Check {
		if err := r.Check(value); err != nil {
			return nil, plan, err
		}
	}
	if plan.Address && t.Kind() != reflect.Pointer {
		pointer := reflect.New(t)
		pointer.Elem().Set(reflect.ValueOf(value))
		value = pointer.Interface()
	}
	return value, plan, nil
}
