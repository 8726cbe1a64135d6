package redistest

import (
	"context"
	"slices"
	"sync"
	"time"
)

// turn is how many bytes a connection sends before it is another one's turn, where the bandwidth is
// limited.
const turn = 16 << 10

// bandwidth is what the connections through a Proxy share, in one direction.
type bandwidth struct {
	mu     sync.Mutex
	second int       // bytes; 0: no limit
	free   time.Time // when all is sent that was let through
}

// Limit makes all connections together carry no more than so many bytes a second from now on, in
// each direction. 0 ends it. They take turns, as TCP makes them do.
func (p *Proxy) Limit(second int) {
	for _, b := range []*bandwidth{&p.up, &p.down} {
		b.mu.Lock()
		b.second = second
		b.mu.Unlock()
	}
}

// send calls write with raw in pieces, each when it has got through.
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

// take returns how long it takes for n more bytes to get through.
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
