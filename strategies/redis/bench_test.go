package redis_test

import (
	"testing"

	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// internal/bench compares the strategy with its peers.
func BenchmarkStrategy(b *testing.B) {
	redistest.Require(b)
	server := redistest.Start(b)
	drivertest.RunBenchmarks(b, on(redis.Options{Addresses: []string{server.Addr()}}))
}
