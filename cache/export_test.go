package cache

import (
	"context"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// SetRandom replaces the source of the numbers in [0, 1) behind Jitter and EarlyRefresh.
func (c *Cache[T]) SetRandom(random func() float64) { c.values.random = random }

// Guarded is strategy with the guard around it that a Service puts there.
func Guarded(strategy driver.Strategy, timeout time.Duration) driver.Strategy {
	return newGuarded(strategy, driver.FeaturesOf(strategy), func() time.Duration { return timeout })
}

// Propagated is what a Service does at the end of each revocation.
func Propagated(ctx context.Context, s *Service) error {
	return propagated(ctx, "delete", 1, nil, s.stores...)
}
