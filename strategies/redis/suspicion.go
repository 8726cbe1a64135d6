package redis

import (
	"context"
	"time"
)

// suspicionGrace is how old a suspicion may be for an operation to wait until it ends, within its
// own deadline. An operation with more time than that also waits, as long as the suspicion is no
// older than the time that it has left. All others fail at once.
const suspicionGrace = 100 * time.Millisecond

// suspicion says that a server may not be able to answer, or may not be the master. A background
// goroutine ends it after the server has proved otherwise.
type suspicion struct {
	since time.Time
	over  chan struct{} // closed at the end
}

func newSuspicion() *suspicion { return &suspicion{time.Now(), make(chan struct{})} }

// wait returns nil after the suspicion has ended, and err if it is too old to wait for that.
func (s *suspicion) wait(ctx context.Context, err error) error {
	deadline, _ := ctx.Deadline()
	if time.Since(s.since) > max(suspicionGrace, time.Until(deadline)) {
		return err
	}
	select {
	case <-s.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
