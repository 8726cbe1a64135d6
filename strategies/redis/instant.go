package redis

import "time"

// instant is a moment by two clocks. Go's own never jumps, but it stands still while the machine is
// suspended. The wall clock jumps, but it goes on meanwhile.
type instant struct {
	steady time.Duration // since origin
	wall   int64         // Unix nanoseconds
}

// origin is the beginning of the process.
var origin = time.Now()

// now is the present. It never asks driver.Clock, which a test may stop.
func now() instant {
	at := time.Now() // reads both clocks
	return instant{steady: at.Sub(origin), wall: at.UnixNano()}
}

// since is how long ago earlier was, by the clock that says more. A wall clock that was set forward
// looks like a suspension. One that was set back changes nothing.
func (i instant) since(earlier instant) time.Duration {
	return max(i.steady-earlier.steady, time.Duration(i.wall-earlier.wall))
}
