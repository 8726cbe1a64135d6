package drivertest

import (
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// Option tells Run what the strategy cannot do, or what it needs.
type Option func(*config)

// NoRetention declares that the strategy stores nothing: whatever is written reads as a miss. The
// suite then checks just that, and that every operation succeeds.
func NoRetention() Option { return func(c *config) { c.noRetention = true } }

// NoEviction declares that the strategy itself never drops an entry to make room.
func NoEviction() Option { return func(c *config) { c.noEviction = true } }

// NoLeases declares that the strategy is not a driver.Leaser. The suite fails when it is.
func NoLeases() Option { return func(c *config) { c.noLeases = true } }

// Capacity says how many bytes of values the strategy under test is configured to hold at most; the
// eviction checks write twice as much. It should be at least 1 MiB, because the other checks expect
// that nothing is evicted. Default 64 MiB.
func Capacity(bytes driver.Size) Option { return func(c *config) { c.capacity = bytes } }

// TTLGranularity says how exact a TTL is: an entry may disappear up to d too early, and less than d
// too late. Default one millisecond, which is what the contract asks for.
func TTLGranularity(d time.Duration) Option { return func(c *config) { c.granularity = d } }

// WallClock declares that expiry follows a clock outside of the process. The container then holds
// the system's clock instead of a [Clock], the suite waits for real, and Effort defaults to 10.
func WallClock() Option { return func(c *config) { c.wallClock = true } }

// Effort sets the size of the largest checks, such as the 10,000 random schedules and 300,000 tags,
// in percent. Default 100, or 10 with WallClock and with go test -short.
func Effort(percent int) Option { return func(c *config) { c.effort = percent } }

// Seed makes the random schedules those of an earlier run. Failures print it. Default: a new one.
func Seed(seed uint64) Option { return func(c *config) { c.seed = seed } }

// Container adds to what Init finds in the container: the cache.Options (whose Namespace and Clock
// the suite replaces), and values, by their type, such as a *sql.DB that the strategy resolves.
func Container(options cache.Options, values ...any) Option {
	return func(c *config) { c.options, c.values = options, values }
}
