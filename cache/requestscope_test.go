package cache_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/requestscope"
)

// These are the four tests that Vendure has for its RequestContextCacheService, with their names.
func TestVendureRequestContextCacheService(t *testing.T) {
	t.Parallel()
	t.Run("stores and retrieves multiple values", func(t *testing.T) {
		t.Parallel()
		ctx := requestscope.With(t.Context())
		want(t, 1)(requestscope.Memo(ctx, "test", value(1)))
		want(t, 2)(requestscope.Memo(ctx, "test2", value(2)))
		want(t, 1)(requestscope.Memo(ctx, "test", unexpected[int](t)))
		want(t, 2)(requestscope.Memo(ctx, "test2", unexpected[int](t)))
	})
	t.Run("uses the default function", func(t *testing.T) {
		t.Parallel()
		ctx := requestscope.With(t.Context())
		calls := 0
		load := func(context.Context) (string, error) { calls++; return "default", nil }
		want(t, "default")(requestscope.Memo(ctx, "test", load))
		want(t, "default")(requestscope.Memo(ctx, "test", load))
		if calls != 1 {
			t.Errorf("%d calls, want 1", calls)
		}
	})
	t.Run("can use objects as keys", func(t *testing.T) {
		t.Parallel()
		ctx := requestscope.With(t.Context())
		type object struct{ id int }
		x, y := &object{1}, &object{1}
		want(t, 1)(requestscope.Memo(ctx, x, value(1)))
		want(t, 2)(requestscope.Memo(ctx, y, value(2)))
		want(t, 1)(requestscope.Memo(ctx, x, unexpected[int](t)))
		want(t, 3)(requestscope.Memo(ctx, object{1}, value(3)))
		want(t, 3)(requestscope.Memo(ctx, object{1}, unexpected[int](t)))
	})
	t.Run("uses separate stores per context", func(t *testing.T) {
		t.Parallel()
		one, two := requestscope.With(t.Context()), requestscope.With(t.Context())
		want(t, 1)(requestscope.Memo(one, "test", value(1)))
		want(t, 2)(requestscope.Memo(two, "test", value(2)))
		want(t, 1)(requestscope.Memo(one, "test", unexpected[int](t)))
		want(t, 2)(requestscope.Memo(two, "test", unexpected[int](t)))
	})
}

// In Vendure, 0, false, "" and null are loaded again with every call.
func TestMemoKeepsZeroValues(t *testing.T) {
	t.Parallel()
	ctx := requestscope.With(t.Context())
	for _, load := range []func(context.Context) (int, error){value(0), unexpected[int](t)} {
		want(t, 0)(requestscope.Memo(ctx, "k", load))
	}
	for _, load := range []func(context.Context) (*int, error){value[*int](nil), unexpected[*int](t)} {
		want(t, (*int)(nil))(requestscope.Memo(ctx, "k", load))
	}
	for _, load := range []func(context.Context) (any, error){value[any](nil), unexpected[any](t)} {
		want(t, any(nil))(requestscope.Memo(ctx, "k", load))
	}
}

// The types of the value and of the key are part of the key.
func TestMemoKeysAreTyped(t *testing.T) {
	t.Parallel()
	ctx := requestscope.With(t.Context())
	type mine string
	want(t, 1)(requestscope.Memo(ctx, "k", value(1)))
	want(t, "1")(requestscope.Memo(ctx, "k", value("1")))
	want(t, 2)(requestscope.Memo(ctx, mine("k"), value(2)))
	want(t, 3)(requestscope.Memo(ctx, any("k"), value(3)))
	want(t, 1)(requestscope.Memo(ctx, "k", unexpected[int](t)))
	want(t, "1")(requestscope.Memo(ctx, "k", unexpected[string](t)))
	want(t, 2)(requestscope.Memo(ctx, mine("k"), unexpected[int](t)))
}

// All callers get the same value, not copies.
func TestMemoSharesTheValue(t *testing.T) {
	t.Parallel()
	ctx := requestscope.With(t.Context())
	first, _ := requestscope.Memo(ctx, "k", value(map[string]int{}))
	first["a"] = 1
	second, err := requestscope.Memo(ctx, "k", unexpected[map[string]int](t))
	if second["a"] != 1 || err != nil {
		t.Errorf("got %v, %v", second, err)
	}
}

func TestMemoWithoutAScope(t *testing.T) {
	t.Parallel()
	want(t, 1)(requestscope.Memo(t.Context(), "k", value(1)))
	want(t, 2)(requestscope.Memo(t.Context(), "k", value(2)))
	var panicked *cache.PanicError
	if _, err := requestscope.Memo(t.Context(), "k", func(context.Context) (int, error) { panic("boom") }); !errors.As(err, &panicked) {
		t.Errorf("a panic: %v", err)
	}
}

// A scope within a scope starts empty, and does not write into the outer one.
func TestMemoNestedScopes(t *testing.T) {
	t.Parallel()
	outer := requestscope.With(t.Context())
	want(t, 1)(requestscope.Memo(outer, "k", value(1)))
	inner := requestscope.With(outer)
	want(t, 2)(requestscope.Memo(inner, "k", value(2)))
	want(t, 2)(requestscope.Memo(inner, "k", unexpected[int](t)))
	want(t, 3)(requestscope.Memo(inner, "l", value(3)))
	want(t, 1)(requestscope.Memo(outer, "k", unexpected[int](t)))
	want(t, 4)(requestscope.Memo(outer, "l", value(4)))
}

// In Vendure, the number of values that a request keeps is not limited. Here values beyond the
// limit are computed each time.
func TestMemoIsBounded(t *testing.T) {
	t.Parallel()
	for name, scope := range map[string]struct {
		ctx   context.Context
		limit int
	}{
		"default": {requestscope.With(t.Context()), requestscope.DefaultLimit},
		"3":       {requestscope.WithLimit(t.Context(), 3), 3},
		"none":    {requestscope.WithLimit(t.Context(), 0), 0},
		"less":    {requestscope.WithLimit(t.Context(), -1), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loads := 0
			for range 2 {
				// takes no place
				wantError[int](t, errOutage)(requestscope.Memo(scope.ctx, "fails", func(context.Context) (int, error) { return 0, errOutage }))
				for k := range scope.limit + 10 {
					want(t, k)(requestscope.Memo(scope.ctx, k, func(context.Context) (int, error) { loads++; return k, nil }))
				}
			}
			if expected := scope.limit + 20; loads != expected {
				t.Errorf("%d loads, want %d", loads, expected)
			}
		})
	}
}

// All callers of a request share one load. An error goes to those that wait, and is not kept.
func TestMemoSharesOneLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, s := requestscope.With(t.Context()), newScript()
		for round, result := range []outcome[int]{{0, errOutage}, {7, nil}} {
			var calls []<-chan outcome[int]
			for range 1000 {
				calls = append(calls, async(func() (int, error) { return requestscope.Memo(ctx, "k", s.load) }))
			}
			s.wantCalls(t, int32(round)+1)
			s.result <- result
			for _, call := range calls {
				if got := <-call; got.value != result.value || !errors.Is(got.err, result.err) {
					t.Fatalf("got %+v, want %+v", got, result)
				}
			}
		}
		want(t, 7)(requestscope.Memo(ctx, "k", s.load))
	})
}

// A caller that waits may leave. If the caller that loads leaves, the others do not get its error,
// and one of them loads.
func TestMemoCallersLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, s := requestscope.With(t.Context()), newScript()
		call := func() (func(), <-chan outcome[int]) {
			ctx, leave := context.WithCancel(ctx)
			done := async(func() (int, error) { return requestscope.Memo(ctx, "k", s.load) })
			s.wantCalls(t, 1)
			return leave, done
		}
		leaveFirst, first := call()
		leaveSecond, second := call()
		leaveThird, third := call()
		defer leaveThird()
		leaveSecond()
		wantError[int](t, context.Canceled)(receive(second))
		leaveFirst()
		wantError[int](t, context.Canceled)(receive(first))
		s.wantCalls(t, 2)
		s.result <- outcome[int]{3, nil}
		want(t, 3)(receive(third))
		ended, leave := context.WithCancel(ctx)
		leave()
		want(t, 3)(requestscope.Memo(ended, "k", s.load)) // a value that is there takes no time
	})
}

// A load that panics or ends its goroutine does not keep the others waiting.
func TestMemoPanics(t *testing.T) {
	t.Parallel()
	for _, kind := range endings {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, release := requestscope.With(t.Context()), make(chan struct{})
				ended := make(chan error, 1)
				go func() {
					err := errors.New("the load ended the goroutine")
					defer func() { ended <- err }()
					_, err = requestscope.Memo(ctx, "k", func(context.Context) (int, error) { <-release; kind.end(); return 0, nil })
				}()
				synctest.Wait()
				second := async(func() (int, error) { return requestscope.Memo(ctx, "k", unexpected[int](t)) })
				synctest.Wait()
				close(release)
				var panicked *cache.PanicError
				if got := <-second; !errors.As(got.err, &panicked) {
					t.Errorf("who waited got %+v", got)
				}
				if err := <-ended; errors.As(err, &panicked) != (kind.value != nil) {
					t.Errorf("the first caller got %v", err)
				}
				want(t, 1)(requestscope.Memo(ctx, "k", value(1)))
			})
		})
	}
}

// A load that asks for its own key, directly or through another load, gets an error and does not
// hang.
func TestMemoRecursion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := requestscope.With(t.Context())
		var a, b func(ctx context.Context) (int, error)
		a = func(ctx context.Context) (int, error) { return requestscope.Memo(ctx, "a", b) }
		b = func(ctx context.Context) (int, error) { return requestscope.Memo(ctx, "b", a) }
		if _, err := a(ctx); err == nil {
			t.Error("no error")
		}
		want(t, 1)(requestscope.Memo(ctx, "a", func(ctx context.Context) (int, error) { return requestscope.Memo(ctx, "b", value(1)) }))
	})
}

// Under random concurrent use, all callers get the same value for a key, and loads of a key do not
// overlap.
func TestMemoRaces(t *testing.T) {
	t.Parallel()
	for range 50 {
		ctx := requestscope.With(context.Background())
		const keys = 8
		var successes [keys]atomic.Int32
		var busy [keys]atomic.Bool
		var workers sync.WaitGroup
		for w := range 8 {
			workers.Go(func() {
				for i := range 200 {
					ctx, leave := context.WithCancel(ctx)
					k := (w + i) % keys
					got, err := requestscope.Memo(ctx, k, func(context.Context) (int32, error) {
						if !busy[k].CompareAndSwap(false, true) {
							t.Error("two loads of one key at once")
						}
						defer busy[k].Store(false)
						runtime.Gosched()
						if i%3 == 0 {
							leave()
							return 0, ctx.Err()
						}
						return successes[k].Add(1), nil
					})
					leave()
					if err == nil && got != 1 {
						t.Errorf("key %d has another value: %d", k, got)
					}
					if err != nil && i%3 != 0 {
						t.Errorf("somebody else's context: %v", err)
					}
				}
			})
		}
		workers.Wait()
	}
}
