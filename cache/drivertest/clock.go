package drivertest

import (
	"sync"
	"time"
)

// Clock is a driver.Clock for tests: it stands still until Advance. It is safe for concurrent use.
type Clock struct {
	mu  sync.RWMutex
	now time.Time
}

// NewClock returns a Clock that shows start.
func NewClock(start time.Time) *Clock { return &Clock{now: start} }

// Now implements driver.Clock.
func (c *Clock) Now() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.now
}

// Advance moves the clock by d; a negative d sets it back, as an administrator might.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
