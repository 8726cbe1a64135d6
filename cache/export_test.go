package cache

// SetRandom replaces the source of the numbers in [0, 1) behind Jitter and EarlyRefresh.
func (c *Cache[T]) SetRandom(random func() float64) { c.values.random = random }
