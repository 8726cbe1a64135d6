// Package strategies lists the storage strategies that come with fxcache. Each one has a folder of
// its own and does not import the others, except for tiered, which is made of bigcache and redis.
// Strategies that an application registers are not listed here.
package strategies

import (
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/noop"
	"github.com/fxcache/fxcache/strategies/redis"
	"github.com/fxcache/fxcache/strategies/tiered"
)

// All returns the factories of the built-in strategies.
func All() []driver.Factory {
	return []driver.Factory{bigcache.Factory(), noop.Factory(), redis.Factory(), tiered.Factory()}
}
