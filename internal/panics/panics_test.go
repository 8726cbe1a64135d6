package panics_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/panics"
)

var errBoom = errors.New("boom")

// A panic is an error with its value and its stack; an error that was panicked with is found.
func TestCatch(t *testing.T) {
	t.Parallel()
	call := func(value any) (err error) {
		defer panics.Catch(&err)
		if value != nil {
			panic(value)
		}
		return errBoom
	}
	var caught *driver.PanicError
	if err := call("text"); !errors.As(err, &caught) || caught.Value != "text" || len(caught.Stack) == 0 {
		t.Errorf("%v", err)
	}
	if err := call(errBoom); !errors.As(err, &caught) || !errors.Is(err, errBoom) {
		t.Errorf("%v", err)
	}
	if err := call(nil); err != errBoom { //nolint:errorlint // as it is
		t.Errorf("without a panic: %v", err)
	}
	text := call("secret").Error()
	if !strings.Contains(text, "a string, in panics_test.TestCatch.func1 (panics_test.go:") ||
		!strings.Contains(text, ", called by panics_test.TestCatch (") || strings.Contains(text, "secret") {
		t.Errorf("the text is %q", text)
	}
	nested := func() (err error) {
		defer panics.Catch(&err)
		numbers := []int{}
		return fmt.Errorf("%d", numbers[len(text)])
	}
	if text := nested().Error(); !strings.Contains(text, "in panics_test.TestCatch.func2 (panics_test.go:") {
		t.Errorf("a panic of Go itself: %q", text)
	}
	own := func() (err error) {
		defer panics.CatchAs(&err, func(any) error { return errBoom })
		panic("text")
	}
	if err := own(); err != errBoom { //nolint:errorlint // as it is
		t.Errorf("CatchAs: %v", err)
	}
}

// The end of the goroutine is an error as well, for the functions that are deferred.
func TestRun(t *testing.T) {
	t.Parallel()
	if value, err := panics.Run(t.Context(), func(context.Context) (int, error) { return 1, nil }); value != 1 || err != nil {
		t.Errorf("%d, %v", value, err)
	}
	_, err := panics.Run(t.Context(), func(context.Context) (int, error) { panic("text") })
	var caught *driver.PanicError
	if !errors.As(err, &caught) || caught.Value != "text" {
		t.Errorf("%v", err)
	}
	if _, err := panics.Run[int](t.Context(), nil); !errors.Is(err, panics.ErrNil) {
		t.Errorf("nil: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = panics.Run(t.Context(), func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
		t.Error("the goroutine went on")
	}()
	<-ended
}
