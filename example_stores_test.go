package fxcache_test

import (
	"fmt"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// A decorator of one store, by its name.
func ExampleWrapStores() {
	var service *cache.Service
	app := fx.New(fxcache.Module, fx.NopLogger, fx.Populate(&service),
		fxcache.Override(map[string]any{"cache.stores.sessions.strategy": "noop", "session_cache.store": "sessions"}),
		fxcache.WrapStores(func(store string, strategy driver.Strategy) driver.Strategy {
			if store == "sessions" {
				fmt.Printf("wrapping %T\n", strategy)
			}
			return strategy
		}))
	fmt.Println(app.Err())
	for _, store := range service.Stores() {
		fmt.Println(store.Name, store.Strategy)
	}
	// Output:
	// wrapping noop.Strategy
	// <nil>
	// default bigcache
	// sessions noop
}
