package bigcache_test

import (
	"context"
	"fmt"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// In an fx application the configuration does this; without fx, a Service takes the strategy as it
// is.
func ExampleNew() {
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 128 * driver.MiB})
	if err != nil {
		fmt.Println(err)
		return
	}
	service, err := cache.NewService(strategy, cache.Options{Namespace: "shop"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	fmt.Println(service.Start(ctx, nil))
	defer func() { _ = service.Stop(ctx) }()

	fmt.Println(service.Set(ctx, "greeting", "hello", driver.SetOptions{}))
	var greeting string
	found, err := service.Get(ctx, "greeting", &greeting)
	fmt.Println(greeting, found, err)
	// Output:
	// <nil>
	// <nil>
	// hello true <nil>
}
