package redis

import "time"

// instant is a moment by two clocks. One of them never jumps, but on some systems it stands still
// while the machine is suspended. The wall clock jumps, but it tells of a suspension.
type instant struct {
	steady time.Duration // since whenever
	wall   int64         // Unix nanoseconds
}

// now is the present. It never asks driver.Clock, which a test may stop.
func now() instant {
	wall := time.Now()
	return instant{steady: steady(wall), wall: wall.UnixNano()}
}

// since is how long ago earlier was, by the clock that says more. A wall clock that was set forward
// looks like a suspension. One that was set back changes nothing.
func (i instant) since(earlier instant) time.Duration {
	return max(i.steady-earlier.steady, time.Duration(i.wall-earlier.wall))
}

// origin is that of Go's own clock, which never jumps.
var origin = time.Now()
