// Package panics runs code that is not the cache's own, and turns its panics into errors: no panic
// crosses the API.
package panics

import (
	"context"
	"runtime/debug"

	"github.com/fxcache/fxcache/cache/driver"
)

// ErrEnded is the error of code that ended its goroutine with runtime.Goexit. Callers store it as
// the result before they run such code, because nothing could be stored afterwards.
var ErrEnded error = &driver.PanicError{}

// Catch sets *err if the function that defers it panics.
func Catch(err *error) {
	if value := recover(); value != nil {
		*err = New(value)
	}
}

// CatchAs is Catch for code that has words of its own for a panic with value.
func CatchAs(err *error, as func(value any) error) {
	if value := recover(); value != nil {
		*err = as(value)
	}
}

// Run runs a load or a write. A panic is a [driver.PanicError], and so is the end of the goroutine
// (runtime.Goexit), which the deferred functions of the caller see.
func Run[T any](ctx context.Context, run func(context.Context) (T, error)) (value T, err error) {
	finished := false
	defer func() {
		if !finished { // after runtime.Goexit, recover returns nil
			err = New(recover())
		}
	}()
	value, err = run(ctx)
	finished = true
	return value, err
}

// New returns the error of a panic with value. Its stack is that of the call to New.
func New(value any) error { return &driver.PanicError{Value: value, Stack: debug.Stack()} }
