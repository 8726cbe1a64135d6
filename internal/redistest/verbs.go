package redistest

import (
	"os"
	"time"
)

// Kill ends the process with SIGKILL, as a crash would, and waits until it is gone. If it is gone
// already, nothing happens.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.kill()
}

// Pause stops the process with SIGSTOP. Its port still accepts connections, but nothing answers.
func (s *Server) Pause() {
	s.t.Helper()
	s.signal("pause", signalStop)
}

// Resume continues a paused process. It then serves the requests that have piled up.
func (s *Server) Resume() {
	s.t.Helper()
	s.signal("resume", signalContinue)
}

func (s *Server) signal(verb string, signal os.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.process.cmd.Process.Signal(signal); err != nil {
		s.t.Fatalf("redistest: cannot %s %s: %v", verb, s.name(), err)
	}
}

// Stop shuts the server down in order, with SIGTERM, and waits until it is gone. A paused one is
// resumed first. If it is gone already, nothing happens.
func (s *Server) Stop() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

func (s *Server) stop() {
	s.t.Helper()
	// Errors mean that it has ended by itself, and then done is closed.
	_ = s.process.cmd.Process.Signal(signalContinue)
	_ = s.process.cmd.Process.Signal(signalTerm)
	select {
	case <-s.process.done:
	case <-time.After(stopTimeout):
		s.t.Fatalf("redistest: %s did not shut down within %v", s.name(), stopTimeout)
	}
}

// Restart starts the server again, with the same port, folder and redis.conf, and returns when it
// answers; a node of a cluster may not have found the others by then: see Cluster.WaitReady. If it
// is still running it is stopped in order before. What is there again afterwards is what Redis had
// persisted: nothing, unless Config says so.
func (s *Server) Restart() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	if err := s.launch(s.t.Context()); err != nil {
		s.t.Fatalf("redistest: restart: %v", err)
	}
}
