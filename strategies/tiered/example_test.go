package tiered_test

import (
	"fmt"

	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/redis"
	"github.com/fxcache/fxcache/strategies/tiered"
)

// In code, the strategy is made of its two tiers. In a configuration, it is `strategy: tiered`
// beside the sections `redis` and `bigcache`.
func Example() {
	near, err := bigcache.New(bigcache.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	far, err := redis.New(redis.Options{Addresses: []string{"redis:6379"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	strategy, err := tiered.New(tiered.Options{}, near, far)
	fmt.Println(strategy.Location(), err)

	source, _ := config.Load(config.YAML("tiered: {lag: 25}"))
	options := tiered.Options{}.WithDefaults()
	fmt.Println(source.Decode("tiered", &options))
	// Output:
	// standalone redis:6379 <nil>
	// invalid configuration: 1 problem:
	//   tiered.lag (inline): has no unit: write 25s, 25ms, …
}
