package noop_test

import (
	"context"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/noop"
)

func Example() {
	var strategy noop.Strategy
	ctx := context.Background()
	fmt.Println(strategy.Set(ctx, "key", []byte("value"), driver.SetOptions{TTL: time.Minute}))
	_, found, err := strategy.Get(ctx, "key")
	fmt.Println(found, err)
	// Output:
	// <nil>
	// false <nil>
}
