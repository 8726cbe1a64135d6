package driver

import "time"

// Clock is what "now" means for expiry. Implementations are safe for concurrent use. Package fxtest
// has a clock for tests.
type Clock interface {
	Now() time.Time
}

// SystemClock is the Clock of production: the machine's own.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }
