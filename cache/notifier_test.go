package cache_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// notifying is a strategy with a Notifier. The test says when it notifies.
type notifying struct {
	*bigcache.Strategy

	asked, ended atomic.Int64
	notify       func(ctx context.Context, key string) <-chan struct{}
}

func (n *notifying) Notify(ctx context.Context, key string) <-chan struct{} {
	n.asked.Add(1)
	return n.notify(ctx, key)
}

// A caller that waits for somebody else's lease looks again when the Notifier notifies, and need
// not wait for its next look. If there is no notice, or one for no reason, the regular looks find
// the value.
func TestWaitersAreTold(t *testing.T) {
	t.Parallel()
	const released = 37 * time.Millisecond
	for _, test := range []struct {
		name  string
		tells time.Duration // 0: never
		panic bool
		want  time.Duration
		asked int64
	}{
		{"told", released + time.Millisecond, false, released + time.Millisecond, 1},
		{"not told", 0, false, 62 * time.Millisecond, 1},                             // 2+4+8+16+32
		{"told for nothing", 10 * time.Millisecond, false, 40 * time.Millisecond, 2}, // 10+2+4+8+16
		{"panic", 0, true, 62 * time.Millisecond, 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			strategy := &notifying{Strategy: newBigcache(t)}
			strategy.notify = func(ctx context.Context, key string) <-chan struct{} {
				if test.panic {
					panic("boom")
				}
				told := make(chan struct{})
				if test.tells > 0 && strategy.asked.Load() == 1 {
					time.AfterFunc(test.tells, func() { close(told) })
				}
				if key != "app:c:k" {
					t.Errorf("%s: asked for %q", test.name, key)
				}
				context.AfterFunc(ctx, func() { strategy.ended.Add(1) })
				return told
			}
			service := start(t, strategy, cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{})
			lease, err := strategy.Lease(t.Context(), "app:c:k")
			if err != nil || lease == nil {
				t.Fatal(lease, err)
			}
			time.AfterFunc(released, func() { _ = strategy.Release(context.Background(), lease) })
			began := time.Now()
			if got, err := c.GetOrLoad(t.Context(), "k", value(7)); got != 7 || err != nil {
				t.Errorf("%s: %v, %v", test.name, got, err)
			}
			if took := time.Since(began); took != test.want {
				t.Errorf("%s: it took %v, want %v", test.name, took, test.want)
			}
			synctest.Wait()
			if asked, ended := strategy.asked.Load(), strategy.ended.Load(); asked != test.asked || !test.panic && ended != asked {
				t.Errorf("%s: asked %d times, want %d; %d of them ended", test.name, asked, test.asked, ended)
			}
		})
	}
}
