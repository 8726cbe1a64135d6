package checker

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fxcache/fxcache/cache/driver"
)

// Now is the time of recorded events, in nanoseconds: CLOCK_MONOTONIC. All processes of a machine
// share it, and nothing can set it.
func Now() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // the clock exists on every system that Go runs on
	}
	return now.Nano()
}

// steppingClock is the machine's clock plus an offset.
type steppingClock struct{ offset atomic.Int64 }

var _ driver.Clock = (*steppingClock)(nil)

// Now implements driver.Clock.
func (c *steppingClock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *steppingClock) step(offset time.Duration) { c.offset.Store(int64(offset)) }
