package drivertest

import (
	"sync"
	"time"
)

// Clock is a driver.Clock for tests. It moves only with Advance. It is safe for concurrent use.
// Make one with NewClock.
type Clock struct {
	mu  sync.RWMutex
	now time.Time
}

// NewClock returns a Clock that tells the time start.
func NewClock(start time.Time) *Clock { return &Clock{now: start} }

// Now implements driver.Clock.
func (c *Clock) Now() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.now
}

// Advance moves the clock by d. A negative d sets it back.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
