package cache_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// Options without a strategy apply at once. Another strategy takes the place of the old one after
// the handover; revocations go to both until then, and for as long again.
func ExampleService_Reconfigure() {
	ctx := context.Background()
	service := open()
	defer func() { _ = service.Stop(ctx) }()
	options := cache.Options{Namespace: "shop", StrategyName: "bigcache", DefaultTTL: time.Minute, Handover: time.Second}
	if err := service.Reconfigure(ctx, nil, cache.Store{Options: options}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("default_ttl:", service.Options().DefaultTTL)

	larger, err := bigcache.New(bigcache.Options{MaxSize: 128 << 20})
	if err != nil {
		log.Fatal(err)
	}
	err = service.Reconfigure(ctx, nil, cache.Store{Strategy: larger, Options: options})
	fmt.Println("a larger storage:", err)

	options.Namespace = "elsewhere"
	fmt.Println(service.Reconfigure(ctx, nil, cache.Store{Options: options}))
	// Output:
	// default_ttl: 1m0s
	// a larger storage: <nil>
	// cache reconfigure (bigcache): namespace: cannot change without a new storage
}
