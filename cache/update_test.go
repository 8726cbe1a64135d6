package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// Update stores the written value, and replaces the previous entry.
func TestUpdate(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		service := start(t, kind.make(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		for v := range 3 {
			if got, err := c.Update(t.Context(), "k", value(v)); got != v || err != nil {
				t.Errorf("%s: Update = %v, %v", kind.name, got, err)
			}
			if got, found, err := c.Get(t.Context(), "k"); found != kind.stores || found && got != v || err != nil {
				t.Errorf("%s: Get = %v, %v, %v", kind.name, got, found, err)
			}
		}
	}
}

// An invalidation between the write and the storing wins.
func TestInvalidationBeatsUpdate(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, how := range invalidations {
			service := start(t, kind.make(t), cache.Options{})
			c := newCache(t, service, "c", tagged())
			got, err := c.Update(t.Context(), "k", func(ctx context.Context) (int, error) {
				return 1, how.revoke(ctx, service, c)
			})
			if got != 1 || err != nil {
				t.Errorf("%s, %s: Update = %v, %v", kind.name, how.name, got, err)
			}
			if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
				t.Errorf("%s, %s: Get = %v, %v", kind.name, how.name, found, err)
			}
		}
	}
}

// A load that has read the old row does not overwrite an Update, whichever of the two got the
// lease.
func TestUpdateBesideALoad(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, loadFirst := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				service := start(t, kind.make(t), cache.Options{LockWait: time.Millisecond})
				c := newCache(t, service, "c", cache.Policy[int]{})
				// with flights of its own, like another node
				other := newCache(t, service, "c", cache.Policy[int]{})
				ctx := t.Context()
				readHeld, writeHeld := make(chan struct{}), make(chan struct{})
				load := func() (int, error) {
					return other.GetOrLoad(ctx, "k", func(context.Context) (int, error) { <-readHeld; return 1, nil })
				}
				update := func() (int, error) {
					return c.Update(ctx, "k", func(context.Context) (int, error) { <-writeHeld; return 2, nil })
				}
				var loading, updating <-chan outcome[int]
				if loadFirst {
					loading = async(load)
					synctest.Wait()
					updating = async(update)
				} else {
					updating = async(update)
					synctest.Wait()
					loading = async(load)
				}
				<-time.After(time.Second) // the call without the lease has stopped waiting
				close(writeHeld)
				if got := <-updating; got.value != 2 || got.err != nil {
					t.Errorf("Update = %+v", got)
				}
				close(readHeld)
				if got := <-loading; got.value != 1 || got.err != nil {
					t.Errorf("GetOrLoad = %+v", got)
				}
				if got, found, err := c.Get(ctx, "k"); found && got != 2 || err != nil {
					t.Errorf("%s, load first: %v: Get = %v, %v, %v", kind.name, loadFirst, got, found, err)
				}
			})
		}
	}
}

// However write fails, the entry is deleted, because the row may have been written.
func TestUpdateWriteFails(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		for name, end := range map[string]func() (int, error){
			"error":  func() (int, error) { return 9, errOutage },
			"panic":  func() (int, error) { panic(errOutage) },
			"Goexit": func() (int, error) { runtime.Goexit(); return 0, nil },
		} {
			service := start(t, kind.make(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{})
			if err := c.Set(t.Context(), "k", 1); err != nil {
				t.Fatal(err)
			}
			var err error
			returned, ended := false, make(chan struct{})
			go func() {
				defer close(ended)
				_, err = c.Update(t.Context(), "k", func(context.Context) (int, error) { return end() })
				returned = true
			}()
			<-ended
			var broken *cache.PanicError
			switch {
			case name == "error" && err != errOutage: //nolint:errorlint // as it is
				t.Errorf("Update = %v, want the error of write as it is", err)
			case name == "panic" && (!errors.As(err, &broken) || !errors.Is(err, errOutage)):
				t.Errorf("Update = %v, want a PanicError", err)
			case name == "Goexit" && returned:
				t.Error("Goexit was stopped")
			}
			if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
				t.Errorf("%s over %s: Get = %v, %v", name, kind.name, found, err)
			}
			// Nothing stays leased.
			if got, err := c.GetOrLoad(t.Context(), "k", value(2)); got != 2 || err != nil {
				t.Errorf("GetOrLoad = %v, %v", got, err)
			}
			if _, found, err := c.Get(t.Context(), "k"); !found || err != nil {
				t.Errorf("%s over %s: the key stayed leased", name, kind.name)
			}
		}
	}
}

// If neither the value nor the deletion reaches the storage, the caller gets both the value and an
// Error. The deletion is applied before anything is read.
func TestUpdateStorageFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		failing []string
		fails   bool
		found   bool
	}{
		"no lease":             {[]string{drivertest.OpLease}, false, false},
		"no fill":              {[]string{drivertest.OpFill}, false, false},
		"no lease, no delete":  {[]string{drivertest.OpLease, drivertest.OpDelete}, true, false},
		"no fill, no delete":   {[]string{drivertest.OpFill, drivertest.OpDelete}, true, false},
		"no delete, no matter": {[]string{drivertest.OpDelete}, false, true},
	} {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		for _, op := range test.failing {
			recorder.FailNext(op, 1, errOutage)
		}
		got, err := c.Update(t.Context(), "k", value(2))
		var wrapped *cache.Error
		if got != 2 || errors.As(err, &wrapped) != test.fails || errors.Is(err, errOutage) != test.fails {
			t.Errorf("%s: Update = %v, %v", name, got, err)
		}
		if got, found, err := c.Get(t.Context(), "k"); found != test.found || err != nil || !test.fails && found && got != 2 {
			t.Errorf("%s: Get = %v, %v, %v", name, got, found, err)
		}
	}
}

// An error of write does not hide one of the storage, nor the other way round.
func TestUpdateEverythingFails(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{})
	recorder.FailNext(drivertest.OpDelete, 1, errOutage)
	rejected := errors.New("constraint violated")
	_, err := c.Update(t.Context(), "k", func(context.Context) (int, error) { return 0, rejected })
	if !errors.Is(err, rejected) || !errors.Is(err, errOutage) {
		t.Errorf("Update = %v", err)
	}
}

// The caller leaves right after the commit. The cache still does its work.
func TestUpdateCallerLeaves(t *testing.T) {
	t.Parallel()
	failure := errors.New("no answer from the database")
	for _, kind := range kinds[:2] {
		for name, err := range map[string]error{"committed": nil, "unknown": failure} {
			recorded, _ := drivertest.Record(kind.make(t))
			service := start(t, ctxAware{recorded}, cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{})
			if err := c.Set(t.Context(), "k", 1); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			_, got := c.Update(ctx, "k", func(context.Context) (int, error) {
				cancel()
				return 2, err
			})
			if !errors.Is(got, err) {
				t.Errorf("%s, %s: Update = %v", kind.name, name, got)
			}
			if got, found, err := c.Get(t.Context(), "k"); found != (name == "committed") || found && got != 2 || err != nil {
				t.Errorf("%s, %s: Get = %v, %v, %v", kind.name, name, got, found, err)
			}
			// If the caller has left before, write decides what that means.
			_, _ = c.Update(ctx, "k", value(3))
			if got, found, err := c.Get(t.Context(), "k"); found && got != 3 || err != nil {
				t.Errorf("%s, %s: Get = %v, %v, %v", kind.name, name, got, found, err)
			}
		}
	}
}

// ctxAware does nothing if the context has ended, like a network driver.
type ctxAware struct{ driver.Strategy }

func (s ctxAware) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Strategy.Set(ctx, key, value, opts)
}

func (s ctxAware) Delete(ctx context.Context, keys ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Strategy.Delete(ctx, keys...)
}

func (s ctxAware) Init(ctx context.Context, in driver.Injector) error {
	if initializer := driver.FeaturesOf(s.Strategy).Initializer; initializer != nil {
		return initializer.Init(ctx, in)
	}
	return nil
}

func (s ctxAware) Destroy(ctx context.Context) error {
	if destroyer := driver.FeaturesOf(s.Strategy).Destroyer; destroyer != nil {
		return destroyer.Destroy(ctx)
	}
	return nil
}

// An Update during which the Service stops reports that the entry may still be there.
func TestUpdateDuringStop(t *testing.T) {
	t.Parallel()
	service := newService(t, newBigcache(t), cache.Options{})
	if err := service.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c := newCache(t, service, "c", cache.Policy[int]{})
	got, err := c.Update(t.Context(), "k", func(ctx context.Context) (int, error) { return 1, service.Stop(ctx) })
	if got != 1 || !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Update = %v, %v", got, err)
	}
}

// A write that says that it has changed nothing leaves the entry, and gives up its lease. A
// revocation meanwhile wins.
func TestUpdateUnchanged(t *testing.T) {
	t.Parallel()
	refused := fmt.Errorf("%w: constraint violated", cache.ErrUnchanged)
	for _, kind := range kinds[:2] {
		for _, revoked := range []bool{false, true} {
			service := start(t, kind.make(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{})
			if err := c.Set(t.Context(), "k", 1); err != nil {
				t.Fatal(err)
			}
			_, err := c.Update(t.Context(), "k", func(ctx context.Context) (int, error) {
				if revoked {
					return 0, errors.Join(refused, c.Delete(ctx, "k"))
				}
				return 0, refused
			})
			if !errors.Is(err, cache.ErrUnchanged) {
				t.Errorf("%s: %v", kind.name, err)
			}
			if got, found, err := c.Get(t.Context(), "k"); found == revoked || err != nil || found && got != 1 {
				t.Errorf("%s, revoked: %t: Get = %v, %t, %v", kind.name, revoked, got, found, err)
			}
			if got, err := c.GetOrLoad(t.Context(), "other", value(2)); got != 2 || err != nil {
				t.Errorf("%s: %v, %v", kind.name, got, err)
			}
			if err := c.Delete(t.Context(), "k"); err != nil {
				t.Error(err)
			}
			// Nothing stays leased.
			if _, err := c.GetOrLoad(t.Context(), "k", value(3)); err != nil {
				t.Error(err)
			}
			if _, found, err := c.Get(t.Context(), "k"); !found || err != nil {
				t.Errorf("%s: the key stayed leased: %t, %v", kind.name, found, err)
			}
		}
	}
}
