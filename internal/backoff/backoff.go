// Package backoff provides the pauses between attempts. Each pause is twice as long as the previous
// one, up to a limit.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is a series of pauses. It is not safe for concurrent use.
type Backoff struct {
	// First is the first pause, and Last the longest one.
	First, Last time.Duration
	// Jitter shortens each pause at random, by up to half. Callers that began to wait together then
	// do not come back together.
	Jitter bool

	next time.Duration
}

// Next returns the next pause.
func (b *Backoff) Next() time.Duration {
	pause := max(b.next, b.First)
	b.next = min(2*pause, b.Last)
	if b.Jitter {
		return pause/2 + rand.N(pause/2+1) //nolint:gosec // not a secret
	}
	return pause
}

// Reset starts again with First.
func (b *Backoff) Reset() { b.next = 0 }

// Wait makes the next pause. It returns false as soon as ctx has ended.
func (b *Backoff) Wait(ctx context.Context) bool {
	timer := time.NewTimer(b.Next())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
