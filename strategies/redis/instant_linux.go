package redis

import (
	"syscall"
	"time"
	"unsafe"
)

// clockBoottime is CLOCK_BOOTTIME of clock_gettime(2). Unlike Go's clock, which is CLOCK_MONOTONIC,
// it goes on while the machine is suspended.
const clockBoottime = 7

// steady reads a clock that never jumps.
func steady(now time.Time) time.Duration {
	var at syscall.Timespec
	//nolint:gosec // there is no other way to pass a pointer to a system call
	if _, _, failed := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&at)), 0); failed != 0 {
		return now.Sub(origin)
	}
	return time.Duration(at.Nano())
}
