//go:build unix

package schedules_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
)

// holderAddr is where TestHolderProcess finds Redis.
const holderAddr = "FXCACHE_SCHEDULES_REDIS"

// briefly is the lease_ttl of the holder.
const briefly = 40 * time.Millisecond

// The paused lease holder of TestPausedLeaseHolder as a real process on a real Redis. It is stopped
// with SIGSTOP, its lease expires, and others fill and revoke. SIGCONT then resumes it just before
// its fill.
func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	other := newRedis(t, server.Addr(), briefly)
	holder := startHolder(t, server.Addr())
	inRealTime(t, "paused-holder/redis", 20, func(s *schedule) {
		row := newRow(s)
		n, a := remote{other, row}, actor{s, "the other"}
		if answer := holder.ask("lease %s %s", row.physical(), row.static()); answer != "granted" {
			s.fail("the holder asks for a lease: %s", answer)
			return
		}
		version := row.read()
		s.log("the holder is stopped")
		holder.signal(syscall.SIGSTOP)
		holder.send("fill %d %s %s", version, row.static(), row.learned())
		if s.random.IntN(4) > 0 {
			awaitNoLease(t, server, row)
			s.log("its lease is over")
			if s.random.IntN(2) == 0 {
				if lease, version := n.lease(a); lease != nil {
					n.fill(a, lease, version)
				}
			}
		}
		if s.random.IntN(4) == 0 {
			lose(a, server)
		}
		n.write(a, s.random.IntN(ways))
		if s.random.IntN(2) == 0 {
			if lease, version := n.lease(a); lease != nil && s.random.IntN(2) == 0 {
				n.fill(a, lease, version)
			}
		}
		holder.signal(syscall.SIGCONT)
		s.log("the holder goes on, and its fill is " + holder.answer())
		n.read(a)
	})
}

// awaitNoLease waits until Redis has ended the lease of a row.
func awaitNoLease(t *testing.T, server *redistest.Server, row *row) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		there, err := server.Do(t.Context(), "EXISTS", "n:l:{0}:"+row.key())
		must(t, err)
		if there == int64(0) {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("the lease does not end")
		}
	}
}

// holder is the process that is stopped.
type holder struct {
	t       *testing.T
	process *os.Process
	in      io.Writer
	out     *bufio.Scanner
}

func startHolder(t *testing.T, addr string) *holder {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), self, "-test.run=^TestHolderProcess$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), holderAddr+"="+addr)
	// The holder gets its own process group. If this process dies while the holder is stopped, the
	// system ends the holder.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // also when it is stopped
		_ = cmd.Wait()         // it was killed, and says so
	})
	return &holder{t, cmd.Process, in, bufio.NewScanner(out)}
}

func (h *holder) signal(signal os.Signal) {
	h.t.Helper()
	must(h.t, h.process.Signal(signal))
}

func (h *holder) send(format string, args ...any) {
	h.t.Helper()
	_, err := fmt.Fprintf(h.in, format+"\n", args...)
	must(h.t, err)
}

func (h *holder) answer() string {
	h.t.Helper()
	if !h.out.Scan() {
		h.t.Fatalf("the holder is gone: %v", h.out.Err())
	}
	return h.out.Text()
}

func (h *holder) ask(format string, args ...any) string {
	h.t.Helper()
	h.send(format, args...)
	return h.answer()
}

// TestHolderProcess is not a test. startHolder runs it as a process that takes leases and fills
// them, as its standard input says.
func TestHolderProcess(t *testing.T) {
	addr := os.Getenv(holderAddr)
	if addr == "" {
		t.Skip("this is the process that TestStoppedHolder stops")
	}
	strategy := newRedis(t, addr, briefly)
	var lease *driver.Lease
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		answer, err := "", error(nil)
		switch words := strings.Fields(lines.Text()); words[0] {
		case "lease":
			_, _, lease, err = strategy.GetOrLease(t.Context(), words[1])
			answer = "granted"
			if lease == nil {
				err = errors.Join(err, errors.New("refused"))
			}
		case "fill":
			var stored bool
			opts := cache.SetOptions{TTL: time.Minute, Tags: words[2:]}
			stored, err = strategy.Fill(t.Context(), lease, []byte(words[1]), opts)
			answer = fmt.Sprintf("stored: %t", stored)
		}
		if err != nil {
			answer = err.Error()
		}
		fmt.Println(answer)
	}
}
