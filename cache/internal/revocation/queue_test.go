package revocation_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache/internal/revocation"
)

func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.stopped = true // no retries: only Drain applies
		if err := f.Drain(t.Context()); err != nil {
			t.Fatalf("an empty queue: %v", err)
		}
		f.wantCalls()
		f.fail(errStorage)
		f.add(key("a"), tag("b"))
		if got := f.Len(); got != 2 {
			t.Fatalf("Len() = %d after an Add of two", got)
		}
		if err := f.Drain(t.Context()); !errors.Is(err, revocation.ErrPending) || f.Len() != 2 {
			t.Fatalf("Apply fails: error %v, %d pending", err, f.Len())
		}
		f.fail(nil)
		if err := f.Drain(t.Context()); err != nil || f.Len() != 0 {
			t.Fatalf("Apply succeeds: error %v, %d pending", err, f.Len())
		}
		f.wantCalls([]revocation.Revocation{key("a")}, []revocation.Revocation{tag("b")})
	})
}

func TestApplied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.stopped = true
		earlier, call, later := f.NewCall(), f.NewCall(), f.NewCall()
		f.Applied(earlier, func() []revocation.Revocation {
			t.Error("an empty queue asks what was applied")
			return nil
		})
		if _, err := f.Add(t.Context(), call, []revocation.Revocation{key("a"), key("b")}, time.Hour); err != nil {
			t.Fatal(err)
		}
		apply := func() []revocation.Revocation { return []revocation.Revocation{key("a")} }
		if f.Applied(earlier, apply); f.Len() != 2 {
			t.Errorf("%d pending after an earlier call was applied, want 2", f.Len())
		}
		if f.Applied(later, apply); f.Len() != 1 {
			t.Errorf("%d pending after a later call was applied, want 1", f.Len())
		}
	})
}

// TestOlderFailure has a call fail after a later one: what is pending is still the later one's.
func TestOlderFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.stopped = true
		earlier, later := f.NewCall(), f.NewCall()
		for _, call := range []revocation.Call{later, earlier} {
			if _, err := f.Add(t.Context(), call, []revocation.Revocation{key("a")}, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if f.Applied(earlier, func() []revocation.Revocation { return []revocation.Revocation{key("a")} }); f.Len() != 1 {
			t.Errorf("%d pending after the earlier call was applied, want 1", f.Len())
		}
	})
}

func TestGeneration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		before := f.Generation()
		f.add(key("a"))
		first := f.Generation()
		f.add(key("a")) // again: loads that began in between must not store either
		if second := f.Generation(); before == first || first == second {
			t.Errorf("generations %d, %d and %d, want three different ones", before, first, second)
		}
	})
}

func TestLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fail(errStorage)
		const bound = 10 * time.Minute
		until, err := f.Add(t.Context(), f.NewCall(), []revocation.Revocation{key("a"), key("b"), key("c"), tag("d")}, bound)
		if want := time.Now().Add(bound); err != nil || !until.Equal(want) {
			t.Errorf("within the limit: until %v, error %v, want %v", until, err, want)
		}
		<-time.After(20 * time.Minute)
		until, err = f.Add(t.Context(), f.NewCall(), []revocation.Revocation{key("e")}, bound)
		if want := time.Now().Add(longest); err != nil || !until.Equal(want) {
			t.Errorf("over the limit: until %v, error %v, want %v", until, err, want)
		}
		if f.Len() != 1 {
			t.Errorf("%d pending, want one of everything", f.Len())
		}
		f.settle()
		f.wantRows(revocation.Revocation{Storage: here, Until: hour(until)})
		f.fail(nil)
		<-time.After(time.Second)
		f.wantCalls([]revocation.Revocation{{}})
	})
}

func TestExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fail(errStorage)
		f.add(key("a"))
		<-time.After(longest - time.Second)
		if rows := f.outbox.has(); f.Len() != 1 || len(rows) != 1 {
			t.Errorf("%d pending and rows %v before the end, want 1 and one", f.Len(), rows)
		}
		<-time.After(2 * time.Second)
		if f.Len() != 0 {
			t.Errorf("%d pending after the end, want none", f.Len())
		}
		f.wantRows()
		if err := f.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAddedWhileApplied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.stopped = true
		f.add(key("a"), key("b"))
		f.during = func() { f.during = nil; f.add(key("a")) }
		if err := f.Drain(t.Context()); !errors.Is(err, revocation.ErrPending) || f.Len() != 1 {
			t.Errorf("error %v, %d pending, want that of the second Add", err, f.Len())
		}
		f.fail(nil)
		if err := f.Drain(t.Context()); err != nil || f.Len() != 0 {
			t.Errorf("error %v, %d pending", err, f.Len())
		}
		f.wantCalls([]revocation.Revocation{key("a")})
	})
}

// TestPartial: what fails does not keep the rest from being applied.
func TestPartial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.stopped = true
		f.add(key("a"), tag("b"))
		f.refuse = func(r revocation.Revocation) bool { return r.Key != "" }
		if err := f.Drain(t.Context()); !errors.Is(err, revocation.ErrPending) || f.Len() != 1 {
			t.Errorf("error %v, %d pending, want the key", err, f.Len())
		}
	})
}

func TestFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fail(errStorage)
		f.add(key("a"), tag("b"))
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		began := time.Now()
		err := f.Flush(ctx)
		if want := "cache: the time to stop is over, and revocations are not applied: 2 are left"; !errors.Is(err, revocation.ErrPending) || !hasPrefix(err, want) {
			t.Errorf("error %v, want one that starts with %q", err, want)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Flush took %v of 4 s, want half", took)
		}
		f.fail(nil)
		if err := f.Flush(t.Context()); err != nil || f.Len() != 0 {
			t.Errorf("error %v, %d pending", err, f.Len())
		}
		f.wantRows() // also without a background that is still running
	})
}

func TestRetriesStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fail(errStorage)
		f.add(key("a"))
		<-time.After(10 * time.Second)
		if attempts, warnings := f.seen(); attempts < 10 || warnings < 10 {
			t.Errorf("%d attempts and %d warnings in 10 s, want a few", attempts, warnings)
		}
		f.stop()
		synctest.Wait()
		f.fail(errStorage)
		<-time.After(time.Minute)
		if attempts, _ := f.seen(); attempts != 0 || f.Len() != 1 {
			t.Errorf("%d attempts after the end, %d pending, want none and 1", attempts, f.Len())
		}
		f.fail(nil)
		f.start(t)
		f.Resume()
		<-time.After(time.Second)
		if f.Len() != 0 {
			t.Errorf("%d pending after another start, want none", f.Len())
		}
	})
}

func hour(until time.Time) time.Time { return until.UTC().Truncate(time.Hour).Add(time.Hour) }

func sorted(rows []revocation.Revocation) []revocation.Revocation {
	return slices.SortedFunc(slices.Values(rows), func(a, b revocation.Revocation) int {
		return slices.Compare([]string{a.Key, a.Tag, a.Storage}, []string{b.Key, b.Tag, b.Storage})
	})
}
