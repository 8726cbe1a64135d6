package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// scalar reads text, booleans and numbers.
func (d *decoder) scalar(n *node, t reflect.Type) (any, error) {
	text, ok := literal(n.value)
	switch {
	case t.Kind() == reflect.String && kindName(n.value) == aText:
		return text, nil
	case t.Kind() == reflect.String:
		return nil, d.notText(n, ok)
	case t.Kind() == reflect.Bool:
		switch text { // YAML 1.1 has them as booleans, and YAML 1.2 as text
		case "on", "off":
			return text == "on", nil
		}
		value, err := strconv.ParseBool(text)
		if kindName(n.value) == aNumber || err != nil {
			return nil, d.report(n, "must be true or false%s", not(n))
		}
		return value, nil
	case !isNumber(t):
		return nil, d.report(n, "cannot be configured: its type is %s", t)
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		value, err := strconv.ParseFloat(text, t.Bits())
		if err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
			return nil, d.report(n, "must be a number%s", not(n))
		}
		return value, nil
	}
	return d.whole(n, t, text)
}

// whole reads integers. It refuses fractions and values out of range.
func (d *decoder) whole(n *node, t reflect.Type, text string) (value any, err error) {
	limits := fmt.Sprintf("0 to %d", uint64(math.MaxUint64)>>(64-t.Bits()))
	if reflect.Zero(t).CanUint() {
		value, err = strconv.ParseUint(text, 10, t.Bits())
	} else {
		limits = fmt.Sprintf("%d to %d", math.MinInt64>>(64-t.Bits()), math.MaxInt64>>(64-t.Bits()))
		value, err = strconv.ParseInt(text, 10, t.Bits())
	}
	_, negative := strconv.ParseInt(text, 10, 64) // a syntax error for ParseUint
	switch v := reflect.ValueOf(n.value); {
	case err == nil:
		return value, nil
	case v.CanFloat() && math.Abs(v.Float()) > 1<<53:
		return nil, d.report(n, "is too large to be read exactly: put it in quotes")
	case errors.Is(err, strconv.ErrRange) || negative == nil:
		return nil, d.report(n, "must be a whole number from %s%s", limits, not(n))
	}
	return nil, d.report(n, "must be a whole number%s", not(n))
}

func (d *decoder) duration(n *node) (any, error) {
	text, ok := literal(n.value)
	value, err := time.ParseDuration(text)
	switch {
	case ok && err == nil && value > 0 && value < time.Millisecond:
		return nil, d.report(n, "is less than a millisecond%s", intended(n, value, text))
	case ok && err == nil:
		return value, nil
	case text == "" || strings.Trim(text, "-.0123456789") != "":
		return nil, d.report(n, "must be a duration such as 500ms, 30s, 5m or 24h%s", not(n))
	case keyLooksSecret(n.key) || len(text) > maxShownDigits:
		text = "30"
	}
	return nil, d.report(n, "has no unit: write %[1]ss, %[1]sms, …", text)
}

// intended says what may have been meant by a duration below a millisecond. In Go, 300 is a
// duration of 300 ns. No cache has one as short as that.
func intended(n *node, value time.Duration, text string) string {
	switch {
	case keyLooksSecret(n.key):
		return ""
	case kindName(n.value) == aText && !strings.HasSuffix(text, "ns"):
		return fmt.Sprintf("; did you mean %v?", 1000*value)
	}
	return fmt.Sprintf("; did you mean %ds?", value.Nanoseconds())
}

// maxShownDigits is the length up to which an error repeats a number that lacks a unit. A longer
// number is more likely a PIN in the wrong place than a duration.
const maxShownDigits = 4

// text reads a type that implements encoding.TextUnmarshaler.
func (d *decoder) text(n *node, t reflect.Type) (any, error) {
	text, ok := literal(n.value)
	if !ok || kindName(n.value) != aText && !isNumber(t) && t.Kind() != reflect.Bool {
		return nil, d.notText(n, ok)
	}
	if isSecret(t) {
		if wrong := spoilt(text); wrong != "" && !n.fromFile {
			return nil, d.report(n, "%s", wrong)
		}
		if info, err := os.Stat(text); filepath.IsAbs(text) && err == nil && !info.IsDir() && !n.fromFile {
			return nil, d.report(n, "is the path of a file: if its content is meant, use the key that ends in _file")
		}
	}
	value := reflect.New(t)
	err := value.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	switch {
	case err == nil:
		return value.Elem().Interface(), nil
	case isSecret(t) || keyLooksSecret(n.key) || repeats(err.Error(), text):
		return nil, d.report(n, "is not valid (the value is not shown)")
	}
	return nil, d.report(n, "%s", err)
}

func (d *decoder) notText(n *node, isSingle bool) error {
	if isSingle {
		return d.report(n, "must be text, not %s: put it in quotes", kindName(n.value))
	}
	return d.report(n, "must be text, not %s", kindName(n.value))
}

// literal returns a single value as text, as it would be written in the environment.
func literal(value any) (text string, ok bool) {
	// JSON has only floats, so 1048576 is one here. An exact float is written without an exponent.
	if v := reflect.ValueOf(value); v.CanFloat() && math.Abs(v.Float()) <= 1<<53 {
		return strconv.FormatFloat(v.Float(), 'f', -1, 64), true
	}
	switch kindName(value) {
	case aText, aNumber, aBool:
		return fmt.Sprint(value), true
	}
	return "", false
}

// not describes the value that stands there instead, if it may be shown. Text may not: it may be a
// password under the wrong key.
func not(n *node) string {
	text, ok := literal(n.value)
	switch {
	case !ok:
		return ", not " + kindName(n.value)
	case text == "":
		return ", and is empty"
	case keyLooksSecret(n.key):
		return " (the value is not shown)"
	case kindName(n.value) == aText:
		return ""
	}
	return ", not " + text
}

// unfilled reports a placeholder that is the value of n or part of it. The content of a file is
// what it is: a secret that looks like a placeholder can be put into one.
func (d *decoder) unfilled(n *node, isSecret bool) error {
	text, isText := n.value.(string)
	if !isText || n.fromFile || !placeholder.MatchString(text) {
		return nil
	}
	advice := "write the value itself"
	if isSecret {
		advice += ", or put it into a file (…_file), where it may look like this"
	}
	return d.report(n, "has a placeholder that nothing has filled in; fxcache replaces none, so %s", advice)
}

// mangled reports what a shell, a Compose file or a .env file has left around a single value of the
// environment.
func (d *decoder) mangled(n *node, t reflect.Type) error {
	text, isText := n.value.(string)
	if !isText || n.fromFile || n.origin.environment == "" || t.Kind() == reflect.Slice {
		return nil
	}
	if len(text) > 1 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0] {
		return d.report(n, "is in quotes, which the environment keeps: remove them")
	}
	if strings.TrimSpace(text) != text && !isSecret(t) { // see spoilt
		return d.report(n, "begins or ends with a blank: remove it")
	}
	return nil
}
