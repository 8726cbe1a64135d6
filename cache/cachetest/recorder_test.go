package cachetest_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/cachetest"
)

var (
	opts      = cache.SetOptions{TTL: time.Minute, Tags: []string{"ns:tag"}}
	errOutage = errors.New("outage")
)

func TestRecordImplementsWhatInnerDoes(t *testing.T) {
	t.Parallel()
	leaser, _ := cachetest.Record(newReference())
	if _, ok := leaser.(cache.Leaser); !ok {
		t.Error("the recorded Leaser is no Leaser")
	}
	plain, _ := cachetest.Record(null{})
	if _, ok := plain.(cache.Leaser); ok {
		t.Error("a recorded strategy without leases is a Leaser")
	}
	for _, strategy := range []cache.Strategy{leaser, plain} {
		if _, ok := strategy.(cache.Local); ok {
			t.Error("a recorded strategy is Local, so that no deadline would apply")
		}
	}
	if _, ok := leaser.(cache.Batcher); !ok {
		t.Error("the recorded Batcher is no Batcher")
	}
	if _, ok := plain.(cache.Batcher); ok {
		t.Error("a recorded strategy that is no Batcher is one")
	}
	for _, strategy := range []cache.Strategy{struct {
		null
		cache.Batcher
	}{}, struct{ cache.Leaser }{}} {
		recorded, _ := cachetest.Record(strategy)
		_, leases := recorded.(cache.Leaser)
		_, batches := recorded.(cache.Batcher)
		_, leased := strategy.(cache.Leaser)
		if leases != leased || batches == leased {
			t.Errorf("recorded %T: a Leaser: %t, a Batcher: %t", strategy, leases, batches)
		}
	}
	if inner := plain.(cache.Unwrapper).Unwrap(); inner != (null{}) {
		t.Errorf("Unwrap = %v", inner)
	}
	if err := plain.(cache.Clearer).Clear(t.Context()); !errors.Is(err, cache.ErrUnsupported) {
		t.Errorf("Clear of a strategy that cannot: %v, want cache.ErrUnsupported", err)
	}
}

func TestRecorderSeesOperations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	strategy, recorder := cachetest.Record(newReference())
	leaser := strategy.(cache.Leaser)
	tags := slices.Clone(opts.Tags)

	_ = strategy.Set(ctx, "ns:a", []byte("v"), cache.SetOptions{TTL: time.Minute, Tags: tags})
	tags[0] = "changed"
	_, _, _ = strategy.Get(ctx, "ns:a")
	_ = strategy.Delete(ctx, "ns:a", "ns:b")
	_ = strategy.InvalidateTags(ctx, "ns:tag")
	_, _, lease, _ := leaser.GetOrLease(ctx, "ns:c", nil)
	_, _ = leaser.Fill(ctx, lease, []byte("v"), opts)
	lease, _ = leaser.Lease(ctx, "ns:d", nil)
	_ = leaser.Release(ctx, lease)
	_ = leaser.Release(ctx, nil)
	_ = strategy.(cache.Clearer).Clear(ctx)
	_ = strategy.Set(ctx, "ns:a", nil, cache.SetOptions{})
	batcher := strategy.(cache.Batcher)
	_ = batcher.SetMany(ctx, []cache.Item{{Key: "ns:e", Options: opts}, {Key: "ns:f", Options: opts}})
	_ = batcher.GetMany(ctx, []string{"ns:e", "ns:f"}, []string{"ns:tag"})

	want := []cachetest.Operation{
		{Name: cachetest.OpSet, Keys: []string{"ns:a"}, Tags: []string{"ns:tag"}, TTL: time.Minute},
		{Name: cachetest.OpGet, Keys: []string{"ns:a"}},
		{Name: cachetest.OpDelete, Keys: []string{"ns:a", "ns:b"}},
		{Name: cachetest.OpInvalidate, Tags: []string{"ns:tag"}},
		{Name: cachetest.OpGetOrLease, Keys: []string{"ns:c"}},
		{Name: cachetest.OpFill, Keys: []string{"ns:c"}, Tags: []string{"ns:tag"}, TTL: time.Minute},
		{Name: cachetest.OpLease, Keys: []string{"ns:d"}},
		{Name: cachetest.OpRelease, Keys: []string{"ns:d"}},
		{Name: cachetest.OpRelease},
		{Name: cachetest.OpClear},
		{Name: cachetest.OpSet, Keys: []string{"ns:a"}, Err: cache.ErrInvalidTTL},
		{Name: cachetest.OpSetMany, Keys: []string{"ns:e", "ns:f"}},
		{Name: cachetest.OpGetMany, Keys: []string{"ns:e", "ns:f"}, Tags: []string{"ns:tag"}},
	}
	got := recorder.Operations()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Operations =\n%+v\nwant\n%+v", got, want)
	}
	got[0].Keys[0] = "changed"
	if recorder.Operations()[0].Keys[0] != "ns:a" {
		t.Error("Operations hands out the Recorder's own slices")
	}
	if n := recorder.Count(cachetest.OpSet); n != 2 {
		t.Errorf("Count(set) = %d, want 2", n)
	}
	recorder.Reset()
	if n := len(recorder.Operations()); n != 0 {
		t.Errorf("%d operations after Reset, want none", n)
	}
}

func TestFailNext(t *testing.T) {
	t.Parallel()
	strategy, recorder := cachetest.Record(newReference())
	recorder.FailNext(cachetest.OpSet, 2, errOutage)
	for i, want := range []error{errOutage, errOutage, nil} {
		if err := strategy.Set(t.Context(), "ns:a", []byte("v"), opts); !errors.Is(err, want) {
			t.Errorf("Set %d: %v, want %v", i, err, want)
		}
		if _, found, err := strategy.Get(t.Context(), "ns:a"); found != (want == nil) || err != nil {
			t.Errorf("Get after Set %d: found %t, error %v", i, found, err)
		}
	}
}

func TestDelayNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy, recorder := cachetest.Record(newReference())
		recorder.DelayNext(cachetest.OpSet, 2, time.Second)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := strategy.Set(ctx, "ns:a", []byte("v"), opts)
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != 50*time.Millisecond {
			t.Errorf("a delayed Set with a deadline of 50 ms: %v after %v", err, took)
		}
		<-time.After(2 * time.Second) // of the bubble's clock
		if _, found, _ := strategy.Get(t.Context(), "ns:a"); found {
			t.Error("a Set that was given up was performed later")
		}
		begin = time.Now()
		if err := strategy.Set(t.Context(), "ns:a", []byte("v"), opts); err != nil || time.Since(begin) != time.Second {
			t.Errorf("a delayed Set: %v after %v, want nil after 1s", err, time.Since(begin))
		}
		begin = time.Now()
		if _, found, _ := strategy.Get(t.Context(), "ns:a"); !found || time.Since(begin) != 0 {
			t.Errorf("Get after a delayed Set: found %t after %v", found, time.Since(begin))
		}
	})
}

func TestBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy, recorder := cachetest.Record(newReference())
		release := recorder.Block(cachetest.OpDelete)
		_ = strategy.Set(t.Context(), "ns:a", []byte("v"), opts)
		done := make(chan error, 1)
		go func() { done <- strategy.Delete(t.Context(), "ns:a") }()
		synctest.Wait()
		if recorder.Count(cachetest.OpDelete) != 1 || len(done) > 0 {
			t.Error("the Delete did not begin, or was not held")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := strategy.Delete(ctx, "ns:a"); !errors.Is(err, context.Canceled) {
			t.Errorf("a held Delete whose context ends: %v, want context.Canceled", err)
		}
		if _, found, _ := strategy.Get(t.Context(), "ns:a"); !found {
			t.Error("a held Delete was performed")
		}
		release()
		release()
		if err := <-done; err != nil {
			t.Errorf("Delete after release: %v", err)
		}
		if err := strategy.Delete(t.Context(), "ns:b"); err != nil {
			t.Errorf("a later Delete: %v", err)
		}
		if _, found, _ := strategy.Get(t.Context(), "ns:a"); found {
			t.Error("a released Delete was not performed")
		}
	})
}

func TestBefore(t *testing.T) {
	t.Parallel()
	strategy, recorder := cachetest.Record(newReference())
	var seen []string
	for _, op := range []string{cachetest.OpFill, cachetest.OpInvalidate, cachetest.OpClear} {
		recorder.Before(op, func(_ context.Context, key string) { seen = append(seen, op+" "+key) })
	}
	// What the hook is for: another operation at exactly this point.
	leaser := strategy.(cache.Leaser)
	lease, err := leaser.Lease(t.Context(), "ns:a", nil)
	if err != nil {
		t.Fatal(err)
	}
	recorder.Before(cachetest.OpFill, func(ctx context.Context, key string) { _ = strategy.Delete(ctx, key) })
	if stored, err := leaser.Fill(t.Context(), lease, []byte("v"), opts); stored || err != nil {
		t.Errorf("Fill with a Delete just before: stored %t, error %v", stored, err)
	}
	_ = strategy.InvalidateTags(t.Context(), "ns:tag", "ns:other")
	_ = strategy.(cache.Clearer).Clear(t.Context())
	recorder.Before(cachetest.OpInvalidate, nil)
	_ = strategy.InvalidateTags(t.Context(), "ns:tag")
	if want := []string{"invalidate ns:tag", "clear "}; !slices.Equal(seen, want) {
		t.Errorf("the hooks saw %q, want %q", seen, want)
	}
}

func TestResetWhileRunning(t *testing.T) {
	t.Parallel()
	strategy, recorder := cachetest.Record(newReference())
	recorder.Before(cachetest.OpSet, func(context.Context, string) {
		recorder.Reset()
		_, _, _ = strategy.Get(t.Context(), "ns:b")
	})
	recorder.FailNext(cachetest.OpSet, 1, errOutage)
	_ = strategy.Set(t.Context(), "ns:a", nil, opts)
	want := []cachetest.Operation{{Name: cachetest.OpGet, Keys: []string{"ns:b"}}}
	if got := recorder.Operations(); !reflect.DeepEqual(got, want) {
		t.Errorf("Operations = %+v, want only what began after Reset", got)
	}
}

func TestUnknownOperation(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("Count of a misspelt operation did not panic")
		}
	}()
	_, recorder := cachetest.Record(null{})
	recorder.Count("gett")
}
