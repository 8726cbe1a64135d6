// Package panics runs code that is not the cache's own, and turns its panics into errors: no panic
// crosses the API.
package panics

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/fxcache/fxcache/cache/driver"
)

// ErrEnded is the error of code that ended its goroutine with runtime.Goexit. Callers store it as
// the result before they run such code, because nothing could be stored afterwards.
var ErrEnded error = &driver.PanicError{}

// ErrNil is the error of a load or a write that is nil.
var ErrNil = errors.New("cache: the function that should load or write the value is nil: pass one")

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
	if run == nil {
		return value, ErrNil
	}
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
func New(value any) error {
	return &driver.PanicError{Value: value, Stack: debug.Stack(), Frames: frames()}
}

// maxFrames is how many frames the text of a panic shows: the function that panicked, and who
// called it.
const maxFrames = 3

// ours begin the functions that run a loader: what lies further out is of no interest.
var ours = []string{"github.com/fxcache/fxcache/cache/internal/", "github.com/fxcache/fxcache/internal/panics."}

// frames are the innermost calls below the panic, without those of Go's runtime.
func frames() (first []string) {
	var callers [64]uintptr
	stack := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])])
	panicked := false
	for more := true; more && len(first) < maxFrames; {
		var frame runtime.Frame
		frame, more = stack.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicked, first = true, nil // the frames so far are of a deferred function
		case panicked && slices.ContainsFunc(ours, func(o string) bool { return strings.HasPrefix(frame.Function, o) }):
			return first
		case panicked && !strings.HasPrefix(frame.Function, "runtime."):
			first = append(first, fmt.Sprintf("%s (%s:%d)", path.Base(frame.Function), filepath.Base(frame.File), frame.Line))
		}
	}
	return first
}
