//go:build !unix

package redistest

import (
	"os"
	"syscall"
)

// There is no redis-server here, so Require skips every test before one of these is used. They let
// packages that import this one compile.
const (
	signalStop     = syscall.SIGTERM
	signalContinue = syscall.SIGTERM
	signalTerm     = syscall.SIGTERM
)

func ownGroup() *syscall.SysProcAttr { return nil }

func killGroup(leader *os.Process) error { return leader.Kill() }
