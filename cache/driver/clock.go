package driver

import "time"

// Clock tells the current time, for expiry. Implementations must be safe for concurrent use.
// Package drivertest has a clock for tests.
type Clock interface {
	Now() time.Time
}

// SystemClock is the Clock of production: the machine's own.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }
