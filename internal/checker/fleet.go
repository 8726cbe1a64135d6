package checker

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Fleet are the nodes of a run: processes of this binary, each with a cache of its own.
type Fleet struct {
	t           testing.TB
	coordinator *coordinator

	mu    sync.Mutex
	slots []*slot
	next  int // number of the next node
}

// slot is the place of a node. Several processes may hold it, one after another.
type slot struct {
	spec   Spec
	cmd    *exec.Cmd
	ended  chan struct{}
	paused bool
	killed bool // on purpose
}

// startFleet starts one node for each of specs. It fills in their Socket and Node.
func startFleet(t testing.TB, h *coordinator, specs []Spec) *Fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "checker") //nolint:usetesting // with the test's name the path can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "coordinator")
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if err := h.serve(listener); err != nil {
		t.Fatal(err)
	}
	f := &Fleet{t: t, coordinator: h}
	t.Cleanup(func() {
		for i := range f.slots {
			f.Kill(i)
		}
	})
	for _, spec := range specs {
		spec.Socket = socket
		f.slots = append(f.slots, &slot{spec: spec})
		f.Start(len(f.slots) - 1)
	}
	return f
}

// Size returns the number of nodes.
func (f *Fleet) Size() int { return len(f.slots) }

// Start starts a new process in a place and waits until it has joined.
func (f *Fleet) Start(place int) {
	f.mu.Lock()
	s := f.slots[place]
	f.next++
	s.spec.Node = f.next
	f.mu.Unlock()
	text, err := json.Marshal(s.spec)
	if err != nil {
		f.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	// Bound to no context: nodes end in t.Cleanup, after the test's.
	cmd := exec.CommandContext(context.Background(), self) //nolint:gosec // this very binary
	cmd.Env = append(os.Environ(), nodeVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// The node gets its own process group. If this process is killed while the node is stopped, the
	// system ends the node.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	ended := make(chan struct{})
	f.mu.Lock()
	s.cmd, s.ended, s.killed = cmd, ended, false
	f.mu.Unlock()
	number := s.spec.Node
	go func() {
		err := cmd.Wait()
		f.mu.Lock()
		killed := s.killed
		f.mu.Unlock()
		if !killed {
			f.t.Errorf("node %d ended by itself: %v", number, err) // a panic, or a data race
		}
		f.coordinator.leave(number)
		close(ended)
	}()
	deadline := time.After(20 * time.Second)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for f.coordinator.members()[number] == nil {
		select {
		case <-ticker.C:
		case <-ended:
			f.t.Fatalf("node %d ended at once", number)
		case <-deadline:
			f.t.Fatalf("node %d never joined", number)
		}
	}
}

// Kill ends a node with SIGKILL. Its pending revocations are lost.
func (f *Fleet) Kill(place int) {
	f.mu.Lock()
	s := f.slots[place]
	cmd, ended := s.cmd, s.ended
	s.paused, s.killed = false, true
	f.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill() // an error means that it has ended
	<-ended
}

// Pause stops a node with SIGSTOP. The leases that it holds may expire meanwhile.
func (f *Fleet) Pause(place int) { f.signal(place, syscall.SIGSTOP, true) }

// Resume continues a paused node.
func (f *Fleet) Resume(place int) { f.signal(place, syscall.SIGCONT, false) }

func (f *Fleet) signal(place int, signal syscall.Signal, paused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.slots[place]
	if err := s.cmd.Process.Signal(signal); err != nil {
		f.t.Errorf("node %d: %v: %v", s.spec.Node, signal, err)
		return
	}
	s.paused = paused
}

// Step sets the clock of a node wrong.
func (f *Fleet) Step(place int, offset time.Duration) {
	f.mu.Lock()
	number := f.slots[place].spec.Node
	f.mu.Unlock()
	if m := f.coordinator.members()[number]; m != nil {
		m.order(Order{Step: true, Offset: offset})
	}
}

// Reload has a node use another Redis from now on.
func (f *Fleet) Reload(place int, addresses []string) {
	f.mu.Lock()
	s := f.slots[place]
	s.spec.Addresses = addresses // also after a restart
	number := s.spec.Node
	f.mu.Unlock()
	if m := f.coordinator.members()[number]; m != nil {
		m.order(Order{Addresses: addresses})
	}
}

// paused reports whether any node is.
func (f *Fleet) paused() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.slots {
		if s.paused {
			return true
		}
	}
	return false
}
