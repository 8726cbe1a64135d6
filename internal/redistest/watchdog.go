package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// watched runs a program that does not outlive this process, however this process ends. The shell
// leaves a watchdog behind and becomes the program, so that there is no moment in which the program
// runs unwatched. The watchdog reads a pipe whose other end only this process holds. End of file
// means that this process is gone. A line means that the program has ended, so that its process id
// may belong to another process. The parent-death signal of Linux would not do: it depends on the
// thread that forked and not on the process, and macOS has none.
//
// The system sends SIGHUP to a group with a stopped process when no process is left to continue it.
// Without the trap a paused server would wake up and stay, and its watchdog would be gone.
const watched = `
trap '' HUP
( read -r _ <&3 || kill -9 -$$ || kill -9 $$ ) &
exec "$@" 3<&-
`

// process is a program under watch. It leads a process group of its own: Ctrl-C in a terminal does
// not reach it, and a signal to the group also ends the children that redis-server forks to save.
type process struct {
	cmd   *exec.Cmd
	leash *os.File
	done  chan struct{} // closed when the program has ended
	err   error         // how it ended, once done is closed
}

// startProcess starts argv, whose standard output and error go to log.
func startProcess(log *os.File, argv ...string) (*process, error) {
	end, leash, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// Bound to no context: servers end in t.Cleanup, after the test's context.
	cmd := exec.CommandContext(context.Background(), "sh", append([]string{"-c", watched, "redistest"}, argv...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{end}
	cmd.SysProcAttr = ownGroup()
	err = cmd.Start()
	_ = end.Close() // the child has its own
	if err != nil {
		return nil, errors.Join(err, leash.Close())
	}
	p := &process{cmd: cmd, leash: leash, done: make(chan struct{})}
	go p.wait()
	return p, nil
}

func (p *process) wait() {
	p.err = p.cmd.Wait()
	// The watchdog may have ended with its group. Then there is nothing to tell.
	_, _ = fmt.Fprintln(p.leash)
	_ = p.leash.Close()
	close(p.done)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the program and its children at once, a stopped one too, and waits for it.
func (p *process) kill() {
	if !p.ended() {
		// An error means that the process has just ended by itself.
		_ = killGroup(p.cmd.Process)
	}
	<-p.done
}
