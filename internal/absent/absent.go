// Package absent tells whether a value is nil, even inside an interface. It imports no other
// package of this module.
package absent

import "reflect"

// Is reports whether v is nil, or an interface that holds a nil pointer or function. A constructor
// that had nothing to construct may return such a value. The first method call on it would panic.
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
