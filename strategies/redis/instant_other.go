//go:build !linux

package redis

import "time"

// steady reads a clock that never jumps. Whether it goes on while the machine is suspended depends
// on the system.
func steady(now time.Time) time.Duration { return now.Sub(origin) }
