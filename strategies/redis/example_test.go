package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/redis"
)

// The application starts, and answers, while Redis is down. In an fx application the configuration
// does what stands here.
func ExampleNew() {
	strategy, err := redis.New(redis.Options{Addresses: []string{"127.0.0.1:1"}}) // nobody is there
	if err != nil {
		fmt.Println(err)
		return
	}
	service, err := cache.NewService(strategy, cache.Options{Namespace: "shop", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	fmt.Println("start:", service.Start(ctx, nil))
	defer func() { _ = service.Stop(ctx) }()

	names, err := cache.New(service, "names", cache.Policy[string]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(names.GetOrLoad(ctx, "42", func(context.Context) (string, error) { return "Alice", nil }))
	err = names.Delete(ctx, "42")
	fmt.Println(errors.Is(err, cache.ErrRevocationPending), errors.Is(err, driver.ErrUnavailable))
	// Output:
	// start: <nil>
	// Alice <nil>
	// true true
}
