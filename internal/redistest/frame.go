package redistest

import (
	"errors"
	"strings"
)

// frame reads the next value and its bytes. With an error, it returns the bytes read until then. An
// inline command is returned as its words. A stream that is not RESP, such as TLS, is passed on to
// its end without values, because later bytes of it may look like RESP.
func (r *frameReader) frame() (value any, raw []byte, err error) {
	if !r.opaque {
		value, err = r.value()
		if !errors.Is(err, errNotRESP) {
			return value, r.raw, err
		}
		if words, ok, err := r.inline(); ok {
			return words, r.raw, err
		}
		r.opaque = true
		if len(r.raw) > 0 {
			return nil, r.raw, nil
		}
	}
	if _, err := r.Peek(1); err != nil {
		return nil, nil, err
	}
	rest := make([]byte, r.Buffered())
	n, err := r.Read(rest)
	return nil, rest[:n], err
}

// inline reads an inline command, if the stream has one.
func (r *frameReader) inline() (words []any, ok bool, err error) {
	if len(r.raw) > 0 { // it began as RESP
		return nil, false, nil
	}
	first, err := r.Peek(1)
	if err != nil {
		return nil, false, nil //nolint:nilerr // whoever reads next meets it again
	}
	if c := first[0] | 0x20; c < 'a' || c > 'z' {
		return nil, false, nil
	}
	line, err := r.line()
	for word := range strings.FieldsSeq(line) {
		words = append(words, word)
	}
	return words, true, err
}
