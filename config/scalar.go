package config

import (
	"encoding"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// scalar decodes text, true or false, and numbers.
func (d *decoder) scalar(n *node, path string, dst reflect.Value) {
	switch t := dst.Type(); t.Kind() {
	case reflect.String:
		if v := reflect.ValueOf(n.value); v.Kind() == reflect.String {
			dst.SetString(v.String())
		} else {
			d.notText(n, path)
		}
	case reflect.Bool:
		text, ok := literal(n)
		value, err := strconv.ParseBool(text)
		if v := reflect.ValueOf(n.value); v.Kind() != reflect.String && v.Kind() != reflect.Bool {
			ok = false
		}
		if !ok || err != nil {
			d.wrong(n, path, "must be true or false%s", not(n, path))
			return
		}
		dst.SetBool(value)
	case reflect.Float32, reflect.Float64:
		text, ok := number(n)
		value, err := strconv.ParseFloat(text, t.Bits())
		if !ok || err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
			d.wrong(n, path, "must be a number%s", not(n, path))
			return
		}
		dst.SetFloat(value)
	default:
		if !isNumber(t) {
			d.wrong(n, path, "cannot be configured: its type is %s", t)
			return
		}
		d.whole(n, path, dst)
	}
}

// whole decodes integers. A fraction is refused rather than cut off, and so is what does not fit.
func (d *decoder) whole(n *node, path string, dst reflect.Value) {
	text, ok := number(n)
	var err error
	if dst.CanInt() {
		var value int64
		if value, err = strconv.ParseInt(text, 10, dst.Type().Bits()); ok && err == nil {
			dst.SetInt(value)
			return
		}
	} else {
		var value uint64
		if value, err = strconv.ParseUint(text, 10, dst.Type().Bits()); ok && err == nil {
			dst.SetUint(value)
			return
		}
	}
	if v := reflect.ValueOf(n.value); v.CanFloat() && math.Abs(v.Float()) > 1<<53 {
		d.wrong(n, path, "is too large to be read exactly: put it in quotes")
		return
	}
	_, signed := strconv.ParseInt(text, 10, 64)
	if tooBig := errors.Is(err, strconv.ErrRange); ok && (tooBig || signed == nil) {
		d.wrong(n, path, "must be a whole number from %s%s", limits(dst), not(n, path))
		return
	}
	d.wrong(n, path, "must be a whole number%s", not(n, path))
}

// limits names the numbers that fit into the integer dst.
func limits(dst reflect.Value) string {
	bits := dst.Type().Bits()
	if dst.CanUint() {
		return "0 to " + strconv.FormatUint(math.MaxUint64>>(64-bits), 10)
	}
	return strconv.FormatInt(math.MinInt64>>(64-bits), 10) + " to " + strconv.FormatInt(math.MaxInt64>>(64-bits), 10)
}

func (d *decoder) duration(n *node, path string, dst reflect.Value) {
	text, ok := literal(n)
	value, err := time.ParseDuration(text)
	switch {
	case ok && err == nil:
		dst.SetInt(int64(value))
	case ok && text != "" && strings.Trim(text, "-.0123456789") == "":
		d.wrong(n, path, "has no unit: write %[1]ss, %[1]sm, …", shown(path, text, "30"))
	default:
		d.wrong(n, path, "must be a duration such as 500ms, 30s, 5m or 24h%s", not(n, path))
	}
}

// text decodes into a type that reads itself from text.
func (d *decoder) text(n *node, path string, dst reflect.Value) {
	t := dst.Type()
	text, ok := literal(n)
	isString := reflect.ValueOf(n.value).Kind() == reflect.String
	if !ok || !isString && !isNumber(t) && t.Kind() != reflect.Bool {
		d.notText(n, path)
		return
	}
	// Into a new value: UnmarshalText may write through pointers that a copy of dst shares.
	value := reflect.New(t)
	if err := value.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		if isSecret(t) || pathLooksSecret(path) {
			d.wrong(n, path, "is not valid (the value is not shown)")
		} else {
			d.wrong(n, path, "%s", redactURL(err.Error()))
		}
		return
	}
	dst.Set(value.Elem())
}

func (d *decoder) notText(n *node, path string) {
	hint := ""
	if _, ok := literal(n); ok {
		hint = ": put it in quotes"
	}
	d.wrong(n, path, "must be text, not %s%s", noun(n), hint)
}

// literal is a single value as it is written in the environment.
func literal(n *node) (text string, ok bool) {
	switch v := reflect.ValueOf(n.value); {
	case v.Kind() == reflect.String:
		return v.String(), true
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10), true
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10), true
	case v.CanFloat():
		// JSON has only floats, so 1048576 comes as one: no exponent, as long as it is exact.
		if math.Abs(v.Float()) <= 1<<53 {
			return strconv.FormatFloat(v.Float(), 'f', -1, 64), true
		}
		return strconv.FormatFloat(v.Float(), 'g', -1, 64), true
	}
	return "", false
}

// number is literal, but for true and false.
func number(n *node) (text string, ok bool) {
	text, ok = literal(n)
	return text, ok && reflect.ValueOf(n.value).Kind() != reflect.Bool
}

// not says what the value is instead, if that may be shown.
func not(n *node, path string) string {
	text, ok := literal(n)
	if !ok {
		return ", not " + noun(n)
	}
	if reflect.ValueOf(n.value).Kind() == reflect.String {
		const enough = 60
		text = redactURL(text)
		if runes := []rune(text); len(runes) > enough {
			text = string(runes[:enough]) + "…"
		}
		text = strconv.Quote(text)
	}
	return shown(path, ", not "+text, " (the value is not shown)")
}

// shown returns text, or what stands for it where the path looks secret.
func shown(path, text, instead string) string {
	if pathLooksSecret(path) {
		return instead
	}
	return text
}
