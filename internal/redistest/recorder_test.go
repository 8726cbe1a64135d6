package redistest_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// recorder is a testing.TB whose failures do not fail the test that looks at them.
type recorder struct {
	testing.TB

	text     bytes.Buffer
	failed   bool
	skipped  bool
	cleanups []func()
}

// record runs f, and its cleanups, as a test of its own would.
func record(t *testing.T, f func(testing.TB)) *recorder {
	t.Helper()
	r := &recorder{TB: t}
	ended := make(chan struct{})
	go func() { // Fatalf ends the goroutine
		defer close(ended)
		defer func() {
			for i := range r.cleanups {
				r.cleanups[len(r.cleanups)-1-i]()
			}
		}()
		f(r)
	}()
	within(t, "the end of the recorded test", ended)
	return r
}

func (r *recorder) Cleanup(f func())              { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool                  { return r.failed }
func (r *recorder) Logf(text string, args ...any) { fmt.Fprintf(&r.text, text+"\n", args...) }

func (r *recorder) Fatalf(text string, args ...any) {
	r.Logf(text, args...)
	r.failed = true
	runtime.Goexit()
}

func (r *recorder) Skipf(text string, args ...any) {
	r.Logf(text, args...)
	r.skipped = true
	runtime.Goexit()
}
