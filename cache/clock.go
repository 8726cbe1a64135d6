package cache

import "time"

// Clock is the CacheTtlProvider of the seed: what "now" is for expiry. Implementations are safe for
// concurrent use. A clock for tests is in package fxtest.
type Clock interface {
	Now() time.Time
}

// SystemClock is the Clock of production: the machine's own.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }
