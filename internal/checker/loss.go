package checker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
)

// lossPause is the time between two losses: often enough that some hit the moment of a race.
const lossPause = 2 * time.Millisecond

// loss takes single keys away, as eviction may, but so often that it meets the moments in which it could
// matter: pages of ledgers, leases, nonces of tags and values each as often, whatever number there is of them.
func (r *Run) loss(of func() []*redistest.Server) Fault {
	return Fault{Kind: "keys lost", Lasts: 2 * time.Second, Do: func(hold func()) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
		var losing sync.WaitGroup
		for _, s := range of() {
			losing.Go(func() { r.lose(ctx, s) })
		}
		defer losing.Wait()
		defer cancel()
		hold()
	}}
}

// lose takes keys away until ctx ends.
func (r *Run) lose(ctx context.Context, s *redistest.Server) {
	conn, err := s.Dial(ctx)
	if err != nil {
		r.t.Errorf("keys lost: %v", err)
		return
	}
	defer func() { _ = conn.Close() }()
	for wait(ctx, lossPause) {
		kind := []string{"g", "h", "l", "t", "v"}[rand.N(5)] //nolint:gosec // not a secret
		reply, err := conn.Do(ctx, "KEYS", "checker:"+kind+":*")
		if keys, _ := reply.([]any); err == nil && len(keys) > 0 {
			_, err = conn.Do(ctx, "UNLINK", keys[rand.N(len(keys))]) //nolint:gosec // not a secret
		}
		if err != nil && ctx.Err() == nil {
			r.t.Errorf("keys lost: %v", err)
			return
		}
	}
}
