package cache_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/cache/refreshing"
	"github.com/fxcache/fxcache/cache/requestscope"
)

func newRefreshing[T any](t testing.TB, load func(context.Context) (T, error), options refreshing.Options) *refreshing.Value[T] {
	t.Helper()
	if options.TTL == 0 {
		options.TTL = time.Second
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	r, err := refreshing.New(load, options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// want fails the test unless a call returned exactly v.
func want[T comparable](t testing.TB, v T) func(T, error) {
	t.Helper()
	return func(got T, err error) {
		t.Helper()
		if got != v || err != nil {
			t.Fatalf("got %v, %v; want %v", got, err, v)
		}
	}
}

// wantError fails the test unless a call returned err.
func wantError[T any](t testing.TB, expected error) func(T, error) {
	t.Helper()
	return func(got T, err error) {
		t.Helper()
		if !errors.Is(err, expected) {
			t.Fatalf("got %v, %v; want %v", got, err, expected)
		}
	}
}

// These are the ten tests that Vendure has for its SelfRefreshingCache, with their names. As in
// Vendure, each goes on where the previous one ended.
func TestVendureSelfRefreshingCache(t *testing.T) {
	t.Parallel()
	clock, ctx := drivertest.NewClock(time.Unix(0, 0)), t.Context()
	var loaded []string
	load := func(arg string) func(context.Context) (int, error) {
		return func(context.Context) (int, error) {
			loaded = append(loaded, arg)
			return len(arg), nil
		}
	}
	r := newRefreshing(t, load("default"), refreshing.Options{Clock: clock})
	loads := func(n int) {
		t.Helper()
		if len(loaded) != n {
			t.Fatalf("loaded %q, want %d loads", loaded, n)
		}
	}
	type args struct {
		name   string
		factor int
	}
	var derived []args
	derive := func(a args) (int, error) {
		return refreshing.Derive(ctx, r, a, func(_ context.Context, value int) (int, error) {
			derived = append(derived, a)
			return value * a.factor, nil
		})
	}
	derivations := func(n int) {
		t.Helper()
		if len(derived) != n {
			t.Fatalf("derived %v, want %d", derived, n)
		}
	}
	for _, step := range []struct {
		name string
		test func(*testing.T)
	}{
		{"fetches the value on the first call", func(t *testing.T) {
			loads(0)
			want(t, 7)(r.Get(ctx))
			loads(1)
		}},
		{"passes the default arguments on the first call", func(t *testing.T) {
			if loaded[0] != "default" {
				t.Fatalf("loaded %q", loaded)
			}
		}},
		{"returns from the cache on the second call", func(t *testing.T) {
			want(t, 7)(r.Get(ctx))
			loads(1)
		}},
		{"refreshes by itself after the TTL", func(t *testing.T) {
			clock.Advance(time.Second - 1)
			want(t, 7)(r.Get(ctx))
			loads(1)
			clock.Advance(1)
			want(t, 7)(r.Get(ctx))
			loads(2)
		}},
		{"refresh forces a fetch with the arguments given", func(t *testing.T) {
			want(t, 23)(r.RefreshWith(ctx, load("new arg which is longer")))
			loads(3)
			want(t, 23)(r.Get(ctx))
			loads(3)
		}},
		{"calls the memoised function once for the same arguments", func(t *testing.T) {
			want(t, 23)(derive(args{"foo", 1}))
			want(t, 23)(derive(args{"foo", 1}))
			derivations(1)
		}},
		{"calls the memoised function when the arguments change", func(t *testing.T) {
			want(t, 46)(derive(args{"foo", 2}))
			derivations(2)
			if derived[1] != (args{"foo", 2}) {
				t.Fatalf("derived %v", derived)
			}
		}},
		{"retains memoised results of earlier calls", func(t *testing.T) {
			want(t, 23)(derive(args{"foo", 1}))
			derivations(2)
		}},
		{"fetches again and calls the memoised function again after the TTL", func(t *testing.T) {
			clock.Advance(2 * time.Second)
			want(t, 7)(derive(args{"foo", 1}))
			derivations(3)
			want(t, 7)(derive(args{"foo", 1}))
			derivations(3)
			loads(4)
		}},
		{"works with alternating calls", func(t *testing.T) {
			for range 2 {
				want(t, 7)(derive(args{"foo", 1}))
				want(t, 21)(derive(args{"foo", 3}))
			}
			derivations(4)
			loads(4)
		}},
	} {
		if !t.Run(step.name, step.test) {
			return
		}
	}
}

// Zero values are not loaded or derived again.
func TestRefreshingKeepsZeroValues(t *testing.T) {
	t.Parallel()
	loads, derivations := 0, 0
	r := newRefreshing(t, func(context.Context) (*int, error) { loads++; return nil, nil }, refreshing.Options{})
	for range 3 {
		want(t, (*int)(nil))(r.Get(t.Context()))
		want(t, error(nil))(refreshing.Derive(t.Context(), r, "k", func(context.Context, *int) (error, error) { derivations++; return nil, nil }))
		want(t, false)(refreshing.Derive(t.Context(), r, "k", func(context.Context, *int) (bool, error) { derivations++; return false, nil }))
	}
	if loads != 1 || derivations != 2 {
		t.Errorf("%d loads, %d derivations; want 1 and 2, one for each type", loads, derivations)
	}
}

// The age of a value counts from the read that produced it. A clock that is set back does not make
// it last longer.
func TestRefreshingAge(t *testing.T) {
	t.Parallel()
	clock, loads := drivertest.NewClock(time.Unix(1000, 0)), 0
	r := newRefreshing(t, func(context.Context) (int, error) {
		loads++
		clock.Advance(900 * time.Millisecond)
		return loads, nil
	}, refreshing.Options{Clock: clock})
	want(t, 1)(r.Get(t.Context()))
	want(t, 1)(r.Get(t.Context()))
	clock.Advance(100 * time.Millisecond)
	want(t, 2)(r.Get(t.Context()))
	clock.Advance(-time.Hour)
	want(t, 3)(r.Get(t.Context()))
}

// The number of derived results is limited. Here 10 of 1000 are kept, so most are derived again.
func TestDeriveIsBounded(t *testing.T) {
	t.Parallel()
	derivations := 0
	r := newRefreshing(t, value(1), refreshing.Options{MaxDerived: 10})
	derive := func(k int) {
		t.Helper()
		want(t, k+1)(refreshing.Derive(t.Context(), r, k, func(_ context.Context, v int) (int, error) { derivations++; return k + v, nil }))
	}
	for k := range 1000 {
		derive(k)
		derive(k) // the newest is always kept
	}
	if derivations != 1000 {
		t.Errorf("%d derivations of 1000 keys asked for twice in a row, want 1000", derivations)
	}
	for k := range 1000 {
		derive(k)
	}
	if derivations < 1990 {
		t.Errorf("%d derivations: more than 10 results were kept", derivations)
	}
}

// A failed derivation is not kept.
func TestDeriveDoesNotKeepErrors(t *testing.T) {
	t.Parallel()
	r := newRefreshing(t, value(2), refreshing.Options{})
	derive := func(err error) (int, error) {
		return refreshing.Derive(t.Context(), r, "k", func(_ context.Context, v int) (int, error) { return 2 * v, err })
	}
	wantError[int](t, errOutage)(derive(errOutage))
	want(t, 4)(derive(nil))
	want(t, 4)(derive(errOutage))
}

func TestRefreshingOptions(t *testing.T) {
	t.Parallel()
	if _, err := refreshing.New[int](nil, refreshing.Options{TTL: 1}); err == nil {
		t.Error("no load function is accepted")
	}
	_, err := refreshing.New(value(1), refreshing.Options{MaxAge: -1, Timeout: -1, Backoff: -1, MaxBackoff: -2, MaxDerived: -1})
	var option *cache.OptionError
	if !errors.As(err, &option) {
		t.Fatalf("got %v", err)
	}
	for _, name := range []string{"TTL:", "MaxAge:", "Timeout:", "Backoff:", "MaxBackoff:", "MaxDerived:"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if _, err := refreshing.New(value(1), refreshing.Options{TTL: 2 * time.Second, MaxAge: time.Second}); err == nil {
		t.Error("a MaxAge below TTL is accepted")
	}
	if _, err := refreshing.New(value(1), refreshing.Options{TTL: time.Second, Backoff: time.Hour}); err != nil {
		t.Errorf("a Backoff above the default of MaxBackoff: %v", err)
	}
}

// Loads of shared values do not see what one request has memoised.
func TestSharedLoadsRunOutsideTheRequestScope(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.WithValue(requestscope.With(t.Context()), callerKey{}, 3)
		row := 1
		read := func(ctx context.Context) (int, error) {
			return requestscope.Memo(ctx, "row", func(context.Context) (int, error) { return row, nil })
		}
		want(t, 1)(read(ctx))
		row = 2
		want(t, 1)(read(ctx))
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{})
		r := newRefreshing(t, func(ctx context.Context) (int, error) {
			row, err := read(ctx)
			// it sees the other values of the context
			return row * ctx.Value(callerKey{}).(int), err
		}, refreshing.Options{})
		want(t, 6)(r.Get(ctx))
		want(t, 2)(c.GetOrLoad(ctx, "k", read))
		want(t, 2)(c.Update(ctx, "l", read))
		want(t, 2)(refreshing.Derive(ctx, r, "k", func(ctx context.Context, _ int) (int, error) { return read(ctx) }))
		want(t, 1)(read(ctx))
	})
}
