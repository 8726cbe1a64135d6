//go:build unix

package redistest_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

const deathVariable = "REDISTEST_DEATH"

// TestVictim runs in a process of its own, started by TestNothingIsLeftBehind.
func TestVictim(t *testing.T) {
	death := os.Getenv(deathVariable)
	if death == "" {
		return
	}
	s := redistest.Start(t)
	if death == "paused" {
		s.Pause()
	}
	fmt.Println("victim", s.Addr())
	switch death {
	case "panic":
		go panic("as a test's goroutine may")
	case "exit":
		os.Exit(3)
	case "end":
		return
	}
	select {} // killed by the other process
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	for death, signal := range map[string]syscall.Signal{
		"panic": 0, "exit": 0, "end": 0,
		"paused": syscall.SIGKILL, "kill": syscall.SIGKILL, "interrupt": syscall.SIGINT, "group": syscall.SIGINT,
	} {
		t.Run(death, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
			cmd.Env = append(os.Environ(), deathVariable+"="+death, "TMPDIR="+t.TempDir())
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			addr := ""
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if found, ok := strings.CutPrefix(lines.Text(), "victim "); ok {
					addr = found
					break
				}
			}
			if addr == "" {
				t.Fatalf("the victim did not start: %v", cmd.Wait())
			}
			switch {
			case death == "group": // what Ctrl-C does in a terminal
				err = syscall.Kill(-cmd.Process.Pid, signal)
			case signal != 0:
				err = cmd.Process.Signal(signal)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); (err == nil) != (death == "end") {
				t.Errorf("the victim ended with %v", err)
			}
			eventually(t, "the server's port is free", func() bool {
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
				if err == nil {
					_ = conn.Close() // only err counts here
				}
				return errors.Is(err, syscall.ECONNREFUSED)
			})
		})
	}
}
