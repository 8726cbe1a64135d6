package driver

import (
	"errors"
	"fmt"
	"reflect"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/internal/absent"
)

// Injector is the DI container that an Init receives: *dig.Container and *dig.Scope implement it.
// Use it during Init only, and from one goroutine, because dig is not safe for concurrent use.
//
// It holds plain values. So a field of a dig.In struct with `optional:"true"` is absent only if the
// application does not export its type.
type Injector interface {
	Invoke(function any, opts ...dig.InvokeOption) error
}

// Resolve returns the T that in holds. A container always holds [Limits], [Clock], *slog.Logger and
// metric.Meter, and for session strategies *cache.Service. In an fx application it also holds the
// configuration source and every type that the application exports. The error for any other type
// names it and says how to export it. A T that is nil, or an interface that holds nil, is an error.
func Resolve[T any](in Injector) (T, error) {
	value, missing, err := resolve[T](in)
	if err == nil && missing != nil {
		t := reflect.TypeFor[T]()
		err = fmt.Errorf("cache: %v is not known to the cache's container; add fxcache.Export[%v]() to the fx options, "+
			"and have the application provide it: %w", t, t, missing)
	}
	return value, err
}

// ResolveOptional is Resolve for a type that an application need not have: found is false, and err
// nil, if in does not know T, or knows one that is nil. It is an error if T cannot be built.
func ResolveOptional[T any](in Injector) (value T, found bool, err error) {
	value, missing, err := resolve[T](in)
	return value, err == nil && missing == nil, err
}

var errNil = errors.New("what the application exports is nil")

// resolve returns the T that in holds, or says why there is none.
func resolve[T any](in Injector) (value T, missing, err error) {
	var none T
	t := reflect.TypeFor[T]()
	if absent.Is(in) {
		return none, nil, fmt.Errorf("cache: cannot resolve %v: no Injector was given to Init", t)
	}
	called := false
	failure := in.Invoke(func(v T) { value, called = v, true })
	switch {
	case failure != nil && isUnknown(in, failure):
		return none, dig.RootCause(failure), nil
	case failure != nil:
		return none, nil, fmt.Errorf("cache: %v cannot be built: %w", t, dig.RootCause(failure))
	case !called:
		return none, nil, fmt.Errorf("cache: cannot resolve %v: the injector did not call back", t)
	case absent.Is(value):
		return none, errNil, nil
	}
	return value, nil, nil
}

// isUnknown reports whether an Invoke failed because in does not know the type. If it knows the
// type, and the type's constructor fails or lacks something of its own, the error of dig wraps more
// errors than that for a type which nobody can know. dig exports no type for either.
func isUnknown(in Injector, failure error) bool {
	type unknown struct{}
	return wrapped(failure) <= wrapped(in.Invoke(func(unknown) {}))
}

// wrapped is how many errors err consists of, one in the other.
func wrapped(err error) (n int) {
	for ; err != nil; err = errors.Unwrap(err) {
		n++
	}
	return n
}
