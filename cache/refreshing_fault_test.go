package cache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/refreshing"
)

// script is a loader. Each of its calls waits until the test says what to return.
type script struct {
	calls  atomic.Int32
	result chan outcome[int]
	ends   chan error // of contexts that ended first
}

func newScript() *script {
	return &script{result: make(chan outcome[int]), ends: make(chan error, 10)}
}

func (s *script) load(ctx context.Context) (int, error) {
	s.calls.Add(1)
	select {
	case r := <-s.result:
		return r.value, r.err
	case <-ctx.Done():
		s.ends <- ctx.Err()
		return 0, ctx.Err()
	}
}

func (s *script) wantCalls(t testing.TB, n int32) {
	t.Helper()
	synctest.Wait()
	if calls := s.calls.Load(); calls != n {
		t.Fatalf("%d loads, want %d", calls, n)
	}
}

// In Vendure, each call past the TTL refreshes for itself. Here one load serves all.
func TestRefreshingSharesOneLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		r := newRefreshing(t, s.load, refreshing.Options{})
		for round := range int32(3) {
			var calls []<-chan outcome[int]
			for range 1000 {
				calls = append(calls, async(func() (int, error) { return r.Get(t.Context()) }))
			}
			s.wantCalls(t, round+1)
			s.result <- outcome[int]{int(round) * 10, nil}
			for _, call := range calls {
				if got := <-call; got.value != int(round)*10 || got.err != nil {
					t.Fatalf("round %d: %+v", round, got)
				}
			}
			elapse(time.Second)
		}
	})
}

// slowClock is a clock for which one call returns late, with the time that it read before.
type slowClock struct {
	hold    atomic.Bool
	release chan struct{}
}

func (c *slowClock) Now() time.Time {
	now := time.Now()
	if c.hold.CompareAndSwap(true, false) {
		<-c.release
	}
	return now
}

// If a caller finds the value stale, and then somebody else's load finishes, the caller does not
// load again.
func TestRefreshingSeesAnothersLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		loads, clock := 0, &slowClock{release: make(chan struct{})}
		r := newRefreshing(t, func(context.Context) (int, error) { loads++; return loads, nil }, refreshing.Options{Clock: clock})
		want(t, 1)(r.Get(t.Context()))
		elapse(time.Second)
		clock.hold.Store(true)
		slow := async(func() (int, error) { return r.Get(t.Context()) })
		synctest.Wait()
		elapse(time.Millisecond)
		want(t, 2)(r.Get(t.Context()))
		close(clock.release)
		want(t, 2)(receive(slow))
	})
}

// A caller that leaves does not cancel the load, unless nobody is left.
func TestRefreshingCallersLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		r := newRefreshing(t, s.load, refreshing.Options{})
		first, leave := context.WithCancel(t.Context())
		a := async(func() (int, error) { return r.Get(first) })
		s.wantCalls(t, 1)
		b := async(func() (int, error) { return r.Get(t.Context()) })
		synctest.Wait()
		leave()
		if got := <-a; !errors.Is(got.err, context.Canceled) {
			t.Fatalf("who left got %+v", got)
		}
		s.result <- outcome[int]{1, nil}
		if got := <-b; got.value != 1 || got.err != nil {
			t.Fatalf("who stayed got %+v", got)
		}

		elapse(time.Second)
		second, leave := context.WithCancel(t.Context())
		a = async(func() (int, error) { return r.Get(second) })
		s.wantCalls(t, 2)
		leave()
		<-a
		if err := <-s.ends; !errors.Is(err, context.Canceled) {
			t.Fatalf("the load that nobody waits for ended with %v", err)
		}
		// That is not a failure: the next caller loads at once.
		c := async(func() (int, error) { return r.Get(t.Context()) })
		s.wantCalls(t, 3)
		s.result <- outcome[int]{2, nil}
		if got := <-c; got.value != 2 || got.err != nil {
			t.Fatalf("%+v", got)
		}
		wantError[int](t, context.Canceled)(r.Refresh(second))
		s.wantCalls(t, 3)
		want(t, 2)(r.Get(second)) // a value that is there takes no time
	})
}

// A failing source is asked again after 100 ms, 200 ms, 400 ms and so on, however many callers
// there are. Vendure asks it with every call.
func TestRefreshingBacksOff(t *testing.T) {
	t.Parallel()
	for _, withValue := range []bool{true, false} {
		t.Run(map[bool]string{true: "last good value", false: "no value"}[withValue], func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source := errOutage
				loads := 0
				var log bytes.Buffer
				r := newRefreshing(t, func(context.Context) (int, error) { loads++; return loads, source }, refreshing.Options{
					Name: "zones", MaxBackoff: 500 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				good := 0
				if withValue {
					source = nil
					good = 1
					want(t, 1)(r.Get(t.Context()))
					elapse(time.Second)
					source = errOutage
				}
				check := func() {
					t.Helper()
					if withValue {
						want(t, 1)(r.Get(t.Context()))
					} else {
						wantError[int](t, errOutage)(r.Get(t.Context()))
					}
				}
				check()
				for i, pause := range []time.Duration{100, 200, 400, 500, 500} {
					elapse(pause*time.Millisecond - 1)
					for range 10 {
						check()
					}
					if loads != good+i+1 {
						t.Fatalf("%d loads before pause %d was over, want %d", loads, i, good+i+1)
					}
					elapse(1)
					check()
					check()
					if loads != good+i+2 {
						t.Fatalf("%d loads after pause %d, want %d", loads, i, good+i+2)
					}
				}
				synctest.Wait() // for the last warning
				if n := strings.Count(log.String(), "name=zones"); n != 6 || !strings.Contains(log.String(), "retry_in=500ms") {
					t.Errorf("%d warnings, want 6:\n%s", n, &log)
				}
				elapse(500 * time.Millisecond)
				source = nil
				want(t, loads+1)(r.Get(t.Context()))
				elapse(time.Second)
				source = errOutage
				_, _ = r.Get(t.Context())
				elapse(100 * time.Millisecond) // a success starts the pauses anew
				before := loads
				_, _ = r.Get(t.Context())
				if loads != before+1 {
					t.Errorf("the pause after a success and a failure is not the first one")
				}
			})
		})
	}
}

// The last good value is served until MaxAge. Then callers get the error.
func TestRefreshingMaxAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var source error
		r := newRefreshing(t, func(context.Context) (int, error) { return 5, source }, refreshing.Options{MaxAge: 3 * time.Second})
		want(t, 5)(r.Get(t.Context()))
		source = errOutage
		elapse(3*time.Second - 1)
		want(t, 5)(r.Get(t.Context()))
		elapse(1)
		wantError[int](t, errOutage)(r.Get(t.Context()))
	})
}

// A load that hangs fails at its Timeout, and callers get the last good value.
func TestRefreshingTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		r := newRefreshing(t, s.load, refreshing.Options{Timeout: 2 * time.Second})
		call := async(func() (int, error) { return r.Get(t.Context()) })
		s.wantCalls(t, 1)
		s.result <- outcome[int]{1, nil}
		<-call
		elapse(time.Second)
		began := time.Now()
		want(t, 1)(r.Get(t.Context()))
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("Get took %v, want 2s", d)
		}
		if err := <-s.ends; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the load ended with %v", err)
		}
	})
}

// A panic or Goexit in the load reaches every caller, and the next load works.
func TestRefreshingPanics(t *testing.T) {
	t.Parallel()
	for _, kind := range endings {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				broken := true
				r := newRefreshing(t, func(context.Context) (int, error) {
					elapse(time.Millisecond)
					if broken {
						kind.end()
					}
					return 1, nil
				}, refreshing.Options{})
				a := async(func() (int, error) { return r.Get(t.Context()) })
				b := async(func() (int, error) { return r.Refresh(t.Context()) })
				for _, call := range []<-chan outcome[int]{a, b} {
					var panicked *cache.PanicError
					if got := <-call; !errors.As(got.err, &panicked) || panicked.Value != kind.value {
						t.Fatalf("got %+v", got)
					}
				}
				broken = false
				elapse(time.Second)
				want(t, 1)(r.Get(t.Context()))
			})
		})
	}
}

var endings = []struct {
	name  string
	end   func()
	value any
}{
	{"panic", func() { panic("boom") }, "boom"},
	{"Goexit", runtime.Goexit, nil},
}
