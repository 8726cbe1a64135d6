package redistest

import (
	"context"
	"slices"
	"sync"
	"time"
)

// turn is how many bytes a connection may send, under limited bandwidth, before the next connection
// has its turn.
const turn = 16 << 10

// bandwidth is the bandwidth that all connections through a Proxy share in one direction.
type bandwidth struct {
	mu     sync.Mutex
	second int       // bytes; 0: no limit
	free   time.Time // when all is sent that was let through
}

// Limit bounds all connections together to so many bytes a second in each direction. 0 removes the
// limit. The connections take turns, as with TCP.
func (p *Proxy) Limit(second int) {
	for _, b := range []*bandwidth{&p.up, &p.down} {
		b.mu.Lock()
		b.second = second
		b.mu.Unlock()
	}
}

// send calls write with raw in pieces, each once the limit lets it through.
func (b *bandwidth) send(ctx context.Context, raw []byte, write func([]byte) (int, error)) error {
	b.mu.Lock()
	limited := b.second > 0
	b.mu.Unlock()
	if !limited || len(raw) == 0 {
		_, err := write(raw)
		return err
	}
	for piece := range slices.Chunk(raw, turn) {
		if err := pause(ctx, b.take(len(piece))); err != nil {
			return err
		}
		if _, err := write(piece); err != nil {
			return err
		}
	}
	return nil
}

// take returns how long n more bytes need to get through.
func (b *bandwidth) take(n int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.free.Before(now) {
		b.free = now
	}
	if b.second > 0 {
		b.free = b.free.Add(time.Duration(n) * time.Second / time.Duration(b.second))
	}
	return b.free.Sub(now)
}
