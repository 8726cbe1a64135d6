package cache

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.uber.org/dig"
)

// Injector is the Injector of the seed: the DI container that an Init receives. *dig.Container and
// *dig.Scope implement it. Use it during Init only, and from one goroutine: dig is not
// goroutine-safe.
type Injector interface {
	Invoke(function any, opts ...dig.InvokeOption) error
}

// Resolve returns the T that in holds. The container holds *[Service], [Options], [Clock],
// *slog.Logger and metric.Meter; in an fx application also the configuration source and every type
// that the application exports. The error for any other type names it and says how to export it; a T that
// is nil, or an interface that holds nil, is an error as well.
func Resolve[T any](in Injector) (T, error) {
	var value T
	if isNothing(in) {
		return value, fmt.Errorf("cache: cannot resolve %v: no Injector was given to Init", reflect.TypeFor[T]())
	}
	resolved := false
	err := in.Invoke(func(v T) { value, resolved = v, true })
	if err == nil && resolved && isNothing(value) {
		var none T
		return none, &nothingError{reflect.TypeFor[T]()}
	}
	if err == nil && resolved {
		return value, nil
	}
	if err == nil {
		err = errors.New("the injector did not call back")
	}
	t, cause := reflect.TypeFor[T](), dig.RootCause(err)
	if !strings.Contains(cause.Error(), "missing type") { // dig exports no type for this
		return value, fmt.Errorf("cache: %v cannot be built: %w", t, cause)
	}
	return value, fmt.Errorf("cache: %v is not known to the cache's container; "+
		"add fxcache.Export[%v]() to the fx options, and have the application provide it: %w", t, t, cause)
}

// nothingError says that the application exports a T and has none.
type nothingError struct{ of reflect.Type }

// Error implements error.
func (e *nothingError) Error() string {
	return fmt.Sprintf("cache: the %v that the application exports is nil", e.of)
}

// ResolveOptional is Resolve for a type that an application need not have: found is false, and err nil,
// where in does not know T, or knows one that is nil. A T that is known and cannot be built is an error.
func ResolveOptional[T any](in Injector) (value T, found bool, err error) {
	if value, err = Resolve[T](in); err == nil {
		return value, true, nil
	}
	var nothing *nothingError
	if errors.As(err, &nothing) {
		return value, false, nil
	}
	// dig exports no type for this. A T that is known but lacks something of its own names that.
	rest, missing := strings.CutPrefix(dig.RootCause(err).Error(), "missing type: "+reflect.TypeFor[T]().String())
	if missing && (rest == "" || rest[0] == ' ') {
		return value, false, nil
	}
	return value, false, err
}
