package fxtest_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/fxtest"
)

// Each store has a recorder of its own: a test can make one of them fail.
func ExampleApp_Store() {
	test := func(t testing.TB) {
		app := fxtest.New(t, fxtest.Config("cache: {stores: {small: {strategy: bigcache}}, caches: {name: {store: small}}}"))
		names, _ := cache.New(app.Cache, "name", cache.Policy[string]{})

		_ = names.Set(t.Context(), "1", "Alice")
		fmt.Println("small:", app.Store("small").Count(fxtest.OpSet), "default:", app.Store("default").Count(fxtest.OpSet))

		app.Store("small").FailNext(fxtest.OpInvalidate, 1, errors.New("cable pulled"))
		err := app.Cache.InvalidateTags(t.Context(), "everybody")
		var failed *cache.Error
		fmt.Println(errors.As(err, &failed), failed.Store)
	}
	run(test)
	// Output:
	// small: 1 default: 0
	// true small
}
