package drivertest_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

var (
	opts      = driver.SetOptions{TTL: time.Minute, Tags: []string{"ns:tag"}}
	errOutage = errors.New("outage")
)

// everything is a strategy with all optional parts. Its Features shows some of them.
type everything struct {
	driver.Leaser
	driver.BatchLeaser
	driver.LeaseExtender
	driver.LeaseLimiter
	driver.Notifier
	driver.Hinted
	driver.Batcher
	driver.Near
	driver.Clearer
	driver.Initializer
	driver.Destroyer
	driver.Shared
	driver.Located
	driver.Limiter
	driver.Propagator
	local
}

type local struct{}

func (local) Local()       {}
func (local) Cancellable() {}

// some is a decorator that shows some optional parts.
type some struct {
	driver.Strategy
	features driver.Features
}

func (s some) Features() driver.Features { return s.features }

// The recorder passes on every optional part that the inner strategy has, and no other. Only
// Immediate is always false, and is Cancellable instead.
func TestRecordPassesEveryPartOn(t *testing.T) {
	t.Parallel()
	all := driver.FeaturesOf(everything{})
	fields := reflect.TypeFor[driver.Features]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		if reflect.ValueOf(all).Field(i).IsZero() {
			t.Errorf("FeaturesOf does not find %s", name)
		}
		var one driver.Features
		reflect.ValueOf(&one).Elem().Field(i).Set(reflect.ValueOf(all).Field(i))
		recorded, _ := drivertest.Record(some{null{}, one})
		got := reflect.ValueOf(driver.FeaturesOf(recorded))
		for j := range fields.NumField() {
			if want := i == j && name != "Immediate" || name == "Immediate" && fields.Field(j).Name == "Cancellable"; want == got.Field(j).IsZero() {
				t.Errorf("recorded, a strategy with %s has %s: %t", name, fields.Field(j).Name, !want)
			}
		}
	}
}

func TestRecorderSeesOperations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	strategy, recorder := drivertest.Record(newReference())
	leaser := driver.FeaturesOf(strategy).Leaser
	tags := slices.Clone(opts.Tags)

	_ = strategy.Set(ctx, "ns:a", []byte("v"), driver.SetOptions{TTL: time.Minute, Tags: tags})
	tags[0] = "changed"
	_, _, _ = strategy.Get(ctx, "ns:a")
	_ = strategy.Delete(ctx, "ns:a", "ns:b")
	_ = strategy.InvalidateTags(ctx, "ns:tag")
	_, _, lease, _ := leaser.GetOrLease(ctx, "ns:c")
	_, _ = leaser.Fill(ctx, lease, []byte("v"), opts)
	lease, _ = leaser.Lease(ctx, "ns:d")
	_ = leaser.Release(ctx, lease)
	_ = leaser.Release(ctx, nil)
	_ = driver.FeaturesOf(strategy).Clearer.Clear(ctx)
	_ = strategy.Set(ctx, "ns:a", nil, driver.SetOptions{})
	batcher := driver.FeaturesOf(strategy).Batcher
	_ = batcher.SetMany(ctx, []driver.Item{{Key: "ns:e", Options: opts}, {Key: "ns:f", Options: opts}})
	_ = batcher.GetMany(ctx, []string{"ns:e", "ns:f"}, []string{"ns:tag"})

	want := []drivertest.Operation{
		{Name: drivertest.OpSet, Keys: []string{"ns:a"}, Tags: []string{"ns:tag"}, TTL: time.Minute},
		{Name: drivertest.OpGet, Keys: []string{"ns:a"}},
		{Name: drivertest.OpDelete, Keys: []string{"ns:a", "ns:b"}},
		{Name: drivertest.OpInvalidate, Tags: []string{"ns:tag"}},
		{Name: drivertest.OpGetOrLease, Keys: []string{"ns:c"}},
		{Name: drivertest.OpFill, Keys: []string{"ns:c"}, Tags: []string{"ns:tag"}, TTL: time.Minute},
		{Name: drivertest.OpLease, Keys: []string{"ns:d"}},
		{Name: drivertest.OpRelease, Keys: []string{"ns:d"}},
		{Name: drivertest.OpRelease},
		{Name: drivertest.OpClear},
		{Name: drivertest.OpSet, Keys: []string{"ns:a"}, Err: driver.ErrInvalidTTL},
		{Name: drivertest.OpSetMany, Keys: []string{"ns:e", "ns:f"}},
		{Name: drivertest.OpGetMany, Keys: []string{"ns:e", "ns:f"}, Tags: []string{"ns:tag"}},
	}
	got := recorder.Operations()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Operations =\n%+v\nwant\n%+v", got, want)
	}
	got[0].Keys[0] = "changed"
	if recorder.Operations()[0].Keys[0] != "ns:a" {
		t.Error("Operations hands out the Recorder's own slices")
	}
	if n := recorder.Count(drivertest.OpSet); n != 2 {
		t.Errorf("Count(set) = %d, want 2", n)
	}
	recorder.Reset()
	if n := len(recorder.Operations()); n != 0 {
		t.Errorf("%d operations after Reset, want none", n)
	}
}

func TestFailNext(t *testing.T) {
	t.Parallel()
	strategy, recorder := drivertest.Record(newReference())
	recorder.FailNext(drivertest.OpSet, 2, errOutage)
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
		strategy, recorder := drivertest.Record(newReference())
		recorder.DelayNext(drivertest.OpSet, 2, time.Second)
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
		strategy, recorder := drivertest.Record(newReference())
		release := recorder.Block(drivertest.OpDelete)
		_ = strategy.Set(t.Context(), "ns:a", []byte("v"), opts)
		done := make(chan error, 1)
		go func() { done <- strategy.Delete(t.Context(), "ns:a") }()
		synctest.Wait()
		if recorder.Count(drivertest.OpDelete) != 1 || len(done) > 0 {
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
	strategy, recorder := drivertest.Record(newReference())
	var seen []string
	for _, op := range []string{drivertest.OpFill, drivertest.OpInvalidate, drivertest.OpClear} {
		recorder.Before(op, func(_ context.Context, key string) { seen = append(seen, op+" "+key) })
	}
	// The hook makes another operation happen at exactly this point.
	leaser := driver.FeaturesOf(strategy).Leaser
	lease, err := leaser.Lease(t.Context(), "ns:a")
	if err != nil {
		t.Fatal(err)
	}
	recorder.Before(drivertest.OpFill, func(ctx context.Context, key string) { _ = strategy.Delete(ctx, key) })
	if stored, err := leaser.Fill(t.Context(), lease, []byte("v"), opts); stored || err != nil {
		t.Errorf("Fill with a Delete just before: stored %t, error %v", stored, err)
	}
	_ = strategy.InvalidateTags(t.Context(), "ns:tag", "ns:other")
	_ = driver.FeaturesOf(strategy).Clearer.Clear(t.Context())
	recorder.Before(drivertest.OpInvalidate, nil)
	_ = strategy.InvalidateTags(t.Context(), "ns:tag")
	if want := []string{"invalidate ns:tag", "clear "}; !slices.Equal(seen, want) {
		t.Errorf("the hooks saw %q, want %q", seen, want)
	}
}

func TestResetWhileRunning(t *testing.T) {
	t.Parallel()
	strategy, recorder := drivertest.Record(newReference())
	recorder.Before(drivertest.OpSet, func(context.Context, string) {
		recorder.Reset()
		_, _, _ = strategy.Get(t.Context(), "ns:b")
	})
	recorder.FailNext(drivertest.OpSet, 1, errOutage)
	_ = strategy.Set(t.Context(), "ns:a", nil, opts)
	want := []drivertest.Operation{{Name: drivertest.OpGet, Keys: []string{"ns:b"}}}
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
	_, recorder := drivertest.Record(null{})
	recorder.Count("gett")
}
