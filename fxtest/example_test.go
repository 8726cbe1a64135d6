package fxtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/fxtest"
)

// A test of an application moves the clock and makes the cache fail.
func Example() {
	test := func(t testing.TB) {
		app := fxtest.New(t, fxtest.Config("cache: {max_ttl: 1h}")) // and the application's own options
		names, _ := cache.New(app.Cache, "names", cache.Policy[string]{})
		load := func(context.Context) (string, error) { return "Alice", nil }

		_, _ = names.GetOrLoad(t.Context(), "42", load)
		_, found, _ := names.Get(t.Context(), "42")
		fmt.Println("cached:", found)

		app.Clock.Advance(time.Hour)
		_, found, _ = names.Get(t.Context(), "42")
		fmt.Println("cached after an hour:", found)

		app.Strategy.FailNext(fxtest.OpGet, 1, errors.New("cable pulled"))
		name, err := names.GetOrLoad(t.Context(), "42", load)
		fmt.Println("with the cache down:", name, err)
	}
	run(test)
	// Output:
	// cached: true
	// cached after an hour: false
	// with the cache down: Alice <nil>
}

// run takes the place of go test, because an Example has no testing.T.
func run(test func(testing.TB)) {
	t := &exampleT{}
	defer t.stop()
	test(t)
}

type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                  {}
func (t *exampleT) Context() context.Context { return context.Background() }
func (t *exampleT) Logf(string, ...any)      {}
func (t *exampleT) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Fatalf(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
}
func (t *exampleT) Errorf(format string, args ...any) { t.Fatalf(format, args...) }
func (t *exampleT) stop() {
	for _, f := range t.cleanups {
		f()
	}
}
