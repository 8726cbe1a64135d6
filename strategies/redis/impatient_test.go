package redis_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
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
		// The same contexts without a client show how late this machine is.
		get, wait := make([]time.Duration, callers), make([]time.Duration, callers/4)
		var running atomic.Int64
		var all sync.WaitGroup
		crowd := func(longest []time.Duration, call func(ctx context.Context, i int)) {
			for i := range longest {
				running.Add(1)
				all.Go(func() {
					defer running.Add(-1)
					for range calls {
						ctx, cancel := test.leave(context.Background()) // no parent that all share, and lock
						began := time.Now()
						call(ctx, i)
						longest[i] = max(longest[i], time.Since(began))
						cancel()
					}
				})
			}
		}
		crowd(get, func(ctx context.Context, i int) {
			if _, _, err := s.Get(ctx, fmt.Sprint("n:", i%32)); err == nil {
				t.Error("Get returned nil")
			}
		})
		crowd(wait, func(ctx context.Context, _ int) { <-ctx.Done() })
		for running.Load() > 0 {
			most = max(most, runtime.NumGoroutine()-idle)
			<-time.NewTimer(time.Millisecond).C
		}
		all.Wait()
		s.server.Resume()
		longest, late := slices.Max(get), max(0, slices.Max(wait)-stay)
		t.Logf("%s: longest %v, %v late without a client, %d goroutines at most", test.name, longest, late, most)
		if longest > stay+grace+2*late {
			t.Errorf("%s: a Get that was to take %v took %v", test.name, stay, longest)
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
