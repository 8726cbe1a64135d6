package bigcache_test

import (
	"errors"
	"testing"

	"go.uber.org/dig"
	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// A second Close of bigcache panics; a second Destroy is nothing.
func TestDestroyTwice(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	o.destroy()
	o.destroy()
	o.init(cache.Options{})
	o.destroy()
	o.destroy()
}

// bigcache's cleaner is a goroutine that needs bigcache's idea of time. We need neither. Not
// parallel: other tests' goroutines would count.
func TestStartsNoGoroutine(t *testing.T) { //nolint:paralleltest // see above
	before := goleak.IgnoreCurrent()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	o.set("key", "v", "tag")
	o.invalidate("tag")
	if err := goleak.Find(before); err != nil {
		t.Errorf("while the strategy is open: %v", err)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	never, err := bigcache.New(bigcache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	destroyed := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	destroyed.set("key", "v")
	lease := destroyed.lease("leased")
	destroyed.destroy()
	for name, s := range map[string]*bigcache.Strategy{"before Init": never, "after Destroy": destroyed.Strategy} {
		ctx := t.Context()
		_, found, err := s.Get(ctx, "key")
		_, foundToo, newLease, errGetOrLease := s.GetOrLease(ctx, "key")
		other, errLease := s.Lease(ctx, "key")
		stored, errFill := s.Fill(ctx, lease, []byte("v"), driver.SetOptions{TTL: 1})
		if found || foundToo || newLease != nil || other != nil || stored {
			t.Errorf("%s: found %t and %t, leases %t and %t, stored %t", name, found, foundToo, newLease != nil, other != nil, stored)
		}
		for op, err := range map[string]error{
			"Get": err, "GetOrLease": errGetOrLease, "Lease": errLease, "Fill": errFill,
			"Set":            s.Set(ctx, "key", nil, driver.SetOptions{TTL: 1}),
			"Delete":         s.Delete(ctx, "key"),
			"InvalidateTags": s.InvalidateTags(ctx, "tag"),
			"Clear":          s.Clear(ctx),
		} {
			if !errors.Is(err, driver.ErrClosed) {
				t.Errorf("%s %s: error %v, want cache.ErrClosed", op, name, err)
			}
		}
		if err := s.Release(ctx, lease); err != nil {
			t.Errorf("Release %s: %v", name, err)
		}
	}
}

// Init needs cache.Options; a failed one leaves the strategy closed, and usable by the next Init.
func TestInitFails(t *testing.T) {
	t.Parallel()
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 2 * driver.MiB})
	if err != nil {
		t.Fatal(err)
	}
	if err := strategy.Init(t.Context(), empty{}); err == nil {
		t.Error("Init without cache.Options succeeded")
	}
	if err := strategy.Init(t.Context(), drivertest.NewInjector(t, cache.Options{MaxValueBytes: 16 * driver.MiB})); err == nil {
		t.Error("Init with a max_value_bytes that does not fit succeeded")
	}
	if err := strategy.Set(t.Context(), "key", nil, driver.SetOptions{TTL: 1}); !errors.Is(err, driver.ErrClosed) {
		t.Errorf("Set after a failed Init: %v, want cache.ErrClosed", err)
	}
	if err := strategy.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	o := &opened{TB: t, Strategy: strategy}
	o.init(cache.Options{MaxValueBytes: 64 * driver.KiB})
	o.set("key", "v")
	o.hit("key", "v")
	o.destroy()
}

// A second start forgets everything, tags and leases included.
func TestInitAgainIsEmpty(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	o.set("key", "v", "tag")
	o.destroy()
	o.init(cache.Options{})
	o.miss("key")
}

// empty is a container that holds nothing.
type empty struct{}

func (empty) Invoke(any, ...dig.InvokeOption) error { return errors.New("missing type") }
