package redis_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Callers that leave a hung server before one could say that it does not answer: each leaves a
// command behind, and when those fill what rueidis keeps outstanding, whoever comes next would wait
// for seconds.
//
//nolint:paralleltest // it is about time, and counts goroutines
func TestImpatientCallersOnHungServer(t *testing.T) {
	redistest.Require(t)
	const (
		callers = 256
		calls   = 100 // of each
		stay    = 5 * time.Millisecond
		grace   = 400 * time.Millisecond
	)
	for _, test := range []struct {
		name  string
		lanes int
		known bool // the tags, from an earlier read
		leave func(ctx context.Context) (context.Context, context.CancelFunc)
	}{
		{"deadline, script", 1, false, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, stay)
		}},
		{"cancelled, MGET", 1, true, cancelAfter(stay)},
		{"cancelled, MGET, 16 lanes", 16, true, cancelAfter(stay)},
	} {
		s := start(t, redistest.Start(t), redis.Options{Lanes: test.lanes})
		for i := range 32 {
			key := fmt.Sprint("n:", i)
			s.set(key, time.Hour, "n:t")
			if test.known {
				s.found(key)
			}
		}
		idle, most := runtime.NumGoroutine(), 0
		s.hang()
		var mu sync.Mutex
		var longest time.Duration
		slow := 0 // how many took longer than they should
		var running atomic.Int64
		var all sync.WaitGroup
		running.Store(callers)
		for i := range callers {
			all.Go(func() {
				defer running.Add(-1)
				for range calls {
					ctx, cancel := test.leave(t.Context())
					began := time.Now()
					if _, _, err := s.Get(ctx, fmt.Sprint("n:", i%32)); err == nil {
						t.Error("Get returned nil")
					}
					took := time.Since(began)
					cancel()
					mu.Lock()
					longest = max(longest, took)
					if took > stay+grace {
						slow++
					}
					mu.Unlock()
				}
			})
		}
		for running.Load() > 0 {
			most = max(most, runtime.NumGoroutine()-idle)
			<-time.NewTimer(time.Millisecond).C
		}
		all.Wait()
		s.server.Resume()
		t.Logf("%s: longest %v, %d slow, %d goroutines at most", test.name, longest, slow, most)
		// Those who are inside when the connection is lost may wait once for the attempt to make it
		// anew. A client that lets its callers in beside a hung server makes all of them wait,
		// again with each attempt.
		if slow > callers {
			t.Errorf("%s: %d of %d Gets that were to take %v took up to %v", test.name, slow, callers*calls, stay, longest)
		}
		if limit := 3*callers + 1024; most > limit {
			t.Errorf("%s: %d goroutines, want no more than %d", test.name, most, limit)
		}
		until(t, func() error { return s.Delete(t.Context(), "n:0") })
	}
}

// cancelAfter is a caller with much time who leaves all the same.
func cancelAfter(d time.Duration) func(ctx context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		timer := time.AfterFunc(d, cancel)
		return ctx, func() {
			timer.Stop()
			cancel()
		}
	}
}
