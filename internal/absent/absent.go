// Package absent tells whether somebody was given nothing. It knows no other package.
package absent

import "reflect"

// Is reports whether v is nil, or an interface that holds a nil pointer or function. A constructor
// that found nothing to construct returns such a value, and the first call of a method on it would
// panic.
func Is(v any) bool {
	switch value := reflect.ValueOf(v); value.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func:
		return value.IsNil()
	default:
		return false
	}
}
