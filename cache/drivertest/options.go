package drivertest

import (
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// Option says what the strategy under test cannot do, or what it needs.
type Option func(*config)

// NoRetention declares that the strategy stores nothing: every read is a miss. The suite then
// checks only that, and that every operation succeeds.
func NoRetention() Option { return func(c *config) { c.noRetention = true } }

// NoEviction declares that the strategy never drops an entry to make room.
func NoEviction() Option { return func(c *config) { c.noEviction = true } }

// NoLeases declares that the strategy is not a driver.Leaser. The suite fails if it is one.
func NoLeases() Option { return func(c *config) { c.noLeases = true } }

// Capacity says how many bytes of values the strategy under test is configured to hold at most. The
// eviction checks write twice as much. They and those of huge values run alone, before all others,
// and remove what they wrote. It should be at least 1 MiB, because the other checks expect that
// nothing is evicted. Default 64 MiB.
func Capacity(bytes driver.Size) Option { return func(c *config) { c.capacity = bytes } }

// TTLGranularity says how exact a TTL is. An entry may disappear up to d too early, and less than d
// too late. Default one millisecond, as the contract asks.
func TTLGranularity(d time.Duration) Option { return func(c *config) { c.granularity = d } }

// WallClock declares that expiry follows a clock outside of the process. The container then holds
// the system's clock instead of a [Clock]. The suite waits in real time, and Effort defaults to 10.
func WallClock() Option { return func(c *config) { c.wallClock = true } }

// Effort sets the size of the largest checks in percent. For example, with 100 there are 10,000
// random schedules and 300,000 tags. Default 100, or 10 with WallClock or go test -short.
func Effort(percent int) Option { return func(c *config) { c.effort = percent } }

// Seed repeats the random schedules of an earlier run. A failure prints the seed. Default: a random
// one.
func Seed(seed uint64) Option { return func(c *config) { c.seed = seed } }

// Stall says how to make the storage hang: stall gets a strategy that is initialised, and returns
// what lets the storage go on. For example, it stops a server with SIGSTOP. The suite then checks
// that every operation ends with its context, which a driver.Cancellable promises. No
// other check runs meanwhile.
func Stall(stall func(t testing.TB, strategy driver.Strategy) (resume func())) Option {
	return func(c *config) { c.stall = stall }
}

// Another says how to make the strategy of another node, which shares the storage of strategy.
// Another is called once per check, and its result is not initialised yet. The suite then checks
// that what one node revokes is served by no other, once driver.Propagator has passed.
func Another(another func(t testing.TB, strategy driver.Strategy) driver.Strategy) Option {
	return func(c *config) { c.another = another }
}

// Container sets what Init finds in the container: what follows from the cache.Options, whose
// Namespace and Clock the suite replaces, and values, by their type. For example, a value may be a
// *sql.DB that the strategy resolves.
func Container(options cache.Options, values ...any) Option {
	return func(c *config) { c.options, c.values = options, values }
}
