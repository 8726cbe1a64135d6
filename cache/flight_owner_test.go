package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/cache/refreshing"
)

var errCause = errors.New("the browser has gone")

// deaths are the ways in which a loader fails when its request has ended.
var deaths = map[string]func(request context.Context) (int, error){
	"its error": func(request context.Context) (int, error) { return 0, request.Err() },
	"wrapped":   func(request context.Context) (int, error) { return 0, fmt.Errorf("query: %w", request.Err()) },
	"its cause": func(request context.Context) (int, error) { return 0, context.Cause(request) },
	"a driver's own": func(context.Context) (int, error) {
		return 0, errors.New("sql: transaction has already been rolled back")
	},
	"a panic":          func(context.Context) (int, error) { panic("the response writer is closed") },
	"Goexit":           func(context.Context) (int, error) { runtime.Goexit(); return 0, nil },
	"panic of the end": func(request context.Context) (int, error) { panic(request.Err()) },
}

// If one caller's request ends, nobody else fails. The others go on with the loader of the next
// caller, one at a time, whenever they came and however many leave.
func TestDeadRequestFailsNobodyElse(t *testing.T) {
	t.Parallel()
	for name, die := range deaths {
		for _, early := range []bool{true, false} {
			for _, kind := range kinds {
				if early && kind.name != "leases" {
					continue // the flight reads with the operation that every caller starts with
				}
				t.Run(fmt.Sprint(name, "/early ", early, "/", kind.name), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { deadRequests(t, kind.make(t), early, die) })
				})
			}
		}
	}
}

func deadRequests(t *testing.T, strategy driver.Strategy, early bool, die func(request context.Context) (int, error)) {
	service, recorder, _ := record(t, strategy, cache.Options{Timeout: time.Hour})
	c := newCache(t, service, "c", cache.Policy[int]{})
	unblock := func() {}
	if early { // all callers are there before the first load begins
		unblock = recorder.Block(drivertest.OpGetOrLease)
		defer unblock()
	}
	var running, loads atomic.Int32
	loading := func(load func() (int, error)) (int, error) {
		if running.Add(1) > 1 {
			t.Error("two loads at a time")
		}
		defer running.Add(-1)
		loads.Add(1)
		return load()
	}
	const callers, dead = 10, 3
	var leave []context.CancelFunc
	var calls []<-chan outcome[int]
	for i := range callers {
		ctx, load := t.Context(), func(context.Context) (int, error) { return loading(func() (int, error) { return 7, nil }) }
		if i < dead {
			request, cancel := context.WithCancelCause(ctx)
			leave = append(leave, func() { cancel(errCause) })
			ctx, load = request, func(context.Context) (int, error) {
				return loading(func() (int, error) {
					<-request.Done()
					<-time.After(time.Millisecond) // its caller has left by then
					return die(request)
				})
			}
		}
		calls = append(calls, async(func() (int, error) { return c.GetOrLoad(ctx, "k", load) }))
		synctest.Wait()
	}
	unblock()
	for _, cancel := range leave {
		synctest.Wait()
		cancel()
		<-time.After(time.Second)
	}
	for i, call := range calls {
		got := <-call
		if i < dead && !errors.Is(got.err, context.Canceled) || i >= dead && (got.value != 7 || got.err != nil) {
			t.Errorf("caller %d got %+v", i, got)
		}
	}
	if n := loads.Load(); n > dead+2 { // one more where nothing is stored
		t.Errorf("%d loads", n)
	}
}

// The requests of all callers end at a deadline. Each caller gets its own error, and the loads come
// to an end.
func TestEveryRequestDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		var calls []<-chan outcome[int]
		for i := range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
			defer cancel()
			calls = append(calls, async(func() (int, error) {
				return c.GetOrLoad(ctx, "k", func(context.Context) (int, error) {
					<-ctx.Done()
					<-time.After(time.Millisecond)
					return 0, ctx.Err()
				})
			}))
			synctest.Wait()
		}
		began := time.Now()
		for i, call := range calls {
			if got := <-call; !errors.Is(got.err, context.DeadlineExceeded) || time.Since(began) != time.Duration(i+1)*time.Second {
				t.Errorf("caller %d got %+v after %v", i, got, time.Since(began))
			}
		}
		pass(time.Second)
		if stats := service.Stats(); stats.Loads != 10 || stats.LoadErrors != 10 {
			t.Errorf("%+v", stats)
		}
	})
}

// All callers share a failure of the database, even if it looks like a deadline, and even if others
// leave.
func TestGenuineFailureIsShared(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{context.DeadlineExceeded, context.Canceled, fmt.Errorf("user: %w", cache.ErrNotFound)} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{Timeout: time.Hour})
			c := newCache(t, service, "c", cache.Policy[int]{})
			unblock := recorder.Block(drivertest.OpGetOrLease)
			release := make(chan struct{})
			load := func(context.Context) (int, error) { <-release; return 0, failure }
			ctx, leave := context.WithCancel(t.Context())
			owner := t.Context()
			// the owner's loader has still found out that there is nothing
			if errors.Is(failure, cache.ErrNotFound) {
				owner = ctx
			}
			first := async(func() (int, error) { return c.GetOrLoad(owner, "k", load) })
			synctest.Wait()
			leaving := async(func() (int, error) { return c.GetOrLoad(ctx, "k", unexpected[int](t)) })
			synctest.Wait()
			others := []<-chan outcome[int]{first}
			if owner == ctx {
				others = nil
			}
			for range 3 {
				others = append(others, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", unexpected[int](t)) }))
			}
			synctest.Wait()
			unblock()
			synctest.Wait()
			leave()
			if got := <-leaving; !errors.Is(got.err, context.Canceled) {
				t.Errorf("who left got %+v", got)
			}
			close(release)
			for _, call := range others {
				if got := <-call; got.err != failure { //nolint:errorlint // as it is
					t.Errorf("got %+v, want %v", got, failure)
				}
			}
			if n := service.Stats().Loads; n != 1 {
				t.Errorf("%d loads", n)
			}
		})
	}
}

// If a caller has left while somebody else held the lease, its loader does not run. The loader of a
// caller that is still there runs, with that caller's context values. It is cancelled when nobody
// is left.
func TestOwnerLeavesBeforeTheLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, _, strategy := record(t, newBigcache(t), cache.Options{LockWait: time.Hour})
		c := newCache(t, service, "c", cache.Policy[int]{})
		leaser := driver.FeaturesOf(strategy).Leaser
		for _, stays := range []bool{true, false} {
			elsewhere, err := leaser.Lease(t.Context(), "app:c:k")
			if elsewhere == nil || err != nil {
				t.Fatal(elsewhere, err)
			}
			ended := make(chan error, 1)
			load := func(ctx context.Context) (int, error) {
				select {
				case <-ctx.Done():
					ended <- ctx.Err()
					return 0, ctx.Err()
				case <-time.After(time.Second):
					return ctx.Value(callerKey{}).(int), nil
				}
			}
			var calls []<-chan outcome[int]
			var leave []context.CancelFunc
			for i := range 3 {
				ctx, cancel := context.WithCancel(context.WithValue(t.Context(), callerKey{}, i))
				defer cancel()
				run := load
				if i < 2 {
					run = unexpected[int](t)
				}
				leave, calls = append(leave, cancel), append(calls, async(func() (int, error) { return c.GetOrLoad(ctx, "k", run) }))
				synctest.Wait()
			}
			leave[0]()
			leave[1]()
			synctest.Wait()
			if err := leaser.Release(t.Context(), elsewhere); err != nil {
				t.Fatal(err)
			}
			<-time.After(500 * time.Millisecond)
			if !stays {
				leave[2]()
			}
			synctest.Wait()
			got := <-calls[2]
			if stays && (got.value != 2 || got.err != nil) {
				t.Errorf("who stayed got %+v", got)
			}
			if !stays && (!errors.Is(got.err, context.Canceled) || <-ended == nil) {
				t.Errorf("who left at last got %+v", got)
			}
			if err := c.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A background refresh fails because its loader depends on a request that has ended. Another caller
// may soon refresh the key, without the long pause that follows a failure of the database.
func TestRefreshOfADeadRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", stale())
		mustGet(t, c, value(1), 1)
		pass(time.Minute)
		request, end := context.WithCancel(t.Context())
		got, err := c.GetOrLoad(request, "k", func(context.Context) (int, error) { <-request.Done(); return 0, request.Err() })
		if got != 1 || err != nil {
			t.Fatal(got, err)
		}
		end()
		pass(100 * time.Millisecond)
		mustGet(t, c, value(2), 1)
		synctest.Wait()
		mustGet(t, c, unexpected[int](t), 2)
	})
}

// A RefreshWith whose request has ended does not fail the others. They go on with the next caller's
// load. The value is not marked as outdated, and there is no back-off.
func TestRefreshWithOfADeadRequest(t *testing.T) {
	t.Parallel()
	for name, die := range deaths {
		synctest.Test(t, func(t *testing.T) {
			s := newScript()
			r := newRefreshing(t, s.load, refreshing.Options{TTL: time.Hour, MaxBackoff: time.Hour, Backoff: time.Hour})
			first := async(func() (int, error) { return r.Get(t.Context()) })
			s.wantCalls(t, 1)
			s.result <- outcome[int]{1, nil}
			want(t, 1)(receive(first))
			for _, alone := range []bool{false, true} {
				request, cancel := context.WithCancelCause(t.Context())
				entered := make(chan struct{})
				dying := async(func() (int, error) {
					return r.RefreshWith(request, func(context.Context) (int, error) {
						close(entered)
						<-request.Done()
						<-time.After(time.Millisecond)
						return die(request)
					})
				})
				<-entered
				var waiting []<-chan outcome[int]
				if !alone {
					// The first of the callers that wait for the next load leaves, too.
					for i := range 3 {
						ctx, load := t.Context(), value(2)
						if i == 0 {
							ctx, load = request, func(context.Context) (int, error) { <-request.Done(); return die(request) }
						}
						waiting = append(waiting, async(func() (int, error) { return r.RefreshWith(ctx, load) }))
						synctest.Wait()
					}
				}
				cancel(errCause)
				wantError[int](t, context.Canceled)(receive(dying))
				<-time.After(time.Second)
				for i, call := range waiting {
					if got := <-call; i == 0 && !errors.Is(got.err, context.Canceled) || i > 0 && (got.value != 2 || got.err != nil) {
						t.Errorf("%s: %d of those who wait got %+v", name, i, got)
					}
				}
				want(t, 2)(r.Get(t.Context()))
			}
			s.wantCalls(t, 1)
		})
	}
}

// The Value's own loader belongs to no caller. If it fails after the caller that started it has
// left, that is an ordinary failure, with a back-off and the last good value. Only if it says that
// it was cancelled does the failure concern that caller alone.
func TestRefreshingFailsAfterItsCallerLeft(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{errOutage, context.DeadlineExceeded, context.Canceled} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript()
			r := newRefreshing(t, s.load, refreshing.Options{Backoff: time.Hour, MaxBackoff: time.Hour})
			ctx, leave := context.WithCancel(t.Context())
			first := async(func() (int, error) { return r.Get(ctx) })
			s.wantCalls(t, 1)
			second := async(func() (int, error) { return r.Get(t.Context()) })
			synctest.Wait()
			leave()
			wantError[int](t, context.Canceled)(receive(first))
			s.result <- outcome[int]{0, failure}
			if failure == context.Canceled { //nolint:errorlint // the very one
				s.wantCalls(t, 2)
				s.result <- outcome[int]{2, nil}
				want(t, 2)(receive(second))
				return
			}
			wantError[int](t, failure)(receive(second))
			wantError[int](t, failure)(r.Get(t.Context()))
			s.wantCalls(t, 1)
		})
	}
}
