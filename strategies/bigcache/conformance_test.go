package bigcache_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The eviction checks write twice the Capacity of the suite, so that is max_size. 8 MiB hold what
// the other checks store at the same time, and are quick to fill.
func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, fresh(bigcache.Options{MaxSize: 8 * driver.MiB}), drivertest.Capacity(8*driver.MiB))
}

// One shard is where entries evict each other first, and where bigcache's queue wraps around most.
func TestConformanceOneShard(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, fresh(bigcache.Options{MaxSize: 4 * driver.MiB, Shards: 1}),
		drivertest.Capacity(4*driver.MiB), drivertest.Effort(10))
}

// With room for next to no invalidated tags the floor decides most of the time: entries may be
// lost, so the suite's checks of what must stay are not for it. What must go, goes: see
// tags_test.go.

func BenchmarkStrategy(b *testing.B) {
	drivertest.RunBenchmarks(b, fresh(bigcache.Options{}))
}

// fresh returns a constructor of strategies that are not initialised yet.
func fresh(options bigcache.Options) func(testing.TB) driver.Strategy {
	return func(t testing.TB) driver.Strategy {
		t.Helper()
		strategy, err := bigcache.New(options)
		if err != nil {
			t.Fatal(err)
		}
		return strategy
	}
}
