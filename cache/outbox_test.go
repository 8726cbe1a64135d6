package cache_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A pending revocation is in the outbox before the call returns, and leaves the outbox after it was
// applied.
func TestOutboxKeepsWhatIsPending(t *testing.T) {
	t.Parallel()
	rowOf := map[string]cache.Revocation{drivertest.OpDelete: {Key: "c:k"}, drivertest.OpInvalidate: {Tag: "t"}, drivertest.OpClear: {}}
	for _, test := range revocations {
		for _, reader := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				outbox := new(rows)
				recorded, recorder := drivertest.Record(newBigcache(t))
				service := startWith(t, recorded, cache.Options{}, outbox)
				c := newCache(t, service, "c", cache.Policy[int]{})
				recorder.FailNext(test.operation, 1, errOutage)
				pending(t, test.revoke(t.Context(), service, c))
				outbox.has(t, rowOf[test.operation])
				if reader {
					mustMiss(t, service, "k")
				}
				<-time.After(500 * time.Millisecond)
				outbox.has(t)
				wantPending(t, service, 0)
			})
		}
	}
}

// Pending revocations of an earlier process are applied before the first hit: at Start if the
// storage works, and otherwise as soon as it does.
func TestOutboxIsRecalled(t *testing.T) {
	t.Parallel()
	for _, down := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			inner := new(table)
			for _, key := range []string{"app::k", "app::other", "app::tagged"} {
				tags := map[string][]string{"app::tagged": {"app:t"}}[key]
				if err := inner.Set(t.Context(), key, []byte("1"), cache.SetOptions{TTL: time.Hour, Tags: tags}); err != nil {
					t.Fatal(err)
				}
			}
			outbox := &rows{kept: map[cache.Revocation]bool{{Key: ":k"}: true, {Tag: "t"}: true}}
			recorded, recorder := drivertest.Record(inner)
			if down {
				recorder.FailNext(drivertest.OpDelete, 2, errOutage)
				recorder.FailNext(drivertest.OpInvalidate, 2, errOutage)
			}
			service := startWith(t, recorded, cache.Options{}, outbox)
			if down {
				wantPending(t, service, 2)
				if found, err := service.Get(t.Context(), "other", new(int)); found || !errors.Is(err, cache.ErrRevocationPending) {
					t.Errorf("Get = %v, %v", found, err)
				}
				outbox.has(t, cache.Revocation{Key: ":k"}, cache.Revocation{Tag: "t"})
			} else {
				wantPending(t, service, 0)
			}
			mustMiss(t, service, "k")
			if _, found := inner.row("app::tagged"); found {
				t.Error("the tag is not invalidated")
			}
			if _, found := inner.row("app::other"); !found {
				t.Error("a bystander is gone")
			}
			<-time.After(500 * time.Millisecond)
			outbox.has(t)
		})
	}
}

// If the outbox cannot be read, Start fails and leaves nothing open. It may be tried again.
func TestStartNeedsTheOutbox(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		outbox := new(rows)
		outbox.set(errOutage, panics)
		strategy := newFragile(t)
		service := newService(t, strategy, cache.Options{})
		container := in(t, service, func() cache.Outbox { return outbox })
		err := service.Start(t.Context(), container)
		var broken *cache.PanicError
		if errors.As(err, &broken) != panics || errors.Is(err, errOutage) == panics {
			t.Errorf("panics %v: Start = %v", panics, err)
		}
		if err := service.Set(t.Context(), "k", 1, cache.SetOptions{}); !errors.Is(err, cache.ErrNotStarted) {
			t.Errorf("after a failed Start: %v", err)
		}
		outbox.set(nil, false)
		if err := errors.Join(service.Start(t.Context(), container), service.Stop(t.Context())); err != nil {
			t.Errorf("again: %v", err)
		}
	}
}

// If the outbox fails or panics, that is part of the error, and changes nothing else.
func TestOutboxFails(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			outbox, strategy, full := new(rows), newFragile(t), errors.New("disk full")
			log := new(logBook)
			service := startWith(t, strategy, cache.Options{Logger: log.logger()}, outbox)
			strategy.revocations.Store(true)
			outbox.set(full, panics)
			p := pendingError(t, service.Delete(t.Context(), "k"))
			var broken *cache.PanicError
			if !errors.Is(p, errOutage) || errors.As(p, &broken) != panics || errors.Is(p, full) == panics {
				t.Errorf("panics %v: %v", panics, p)
			}
			outbox.set(nil, false)
			pending(t, service.Delete(t.Context(), "k"))
			outbox.has(t, cache.Revocation{Key: ":k"})
			outbox.set(full, panics)
			strategy.revocations.Store(false)
			mustMiss(t, service, "k")
			wantPending(t, service, 0)
			<-time.After(time.Second)
			if log.count("cannot forget what was applied") != 1 {
				t.Errorf("a failing Remove is not logged once:\n%s", log)
			}
		})
	}
}

// When one row replaces many, it is added to the outbox before they leave it. This may happen
// twice.
func TestOutboxOverflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outbox, strategy := new(rows), newFragile(t)
		service := startWith(t, strategy, cache.Options{MaxPendingRevocations: 3}, outbox)
		strategy.revocations.Store(true)
		for i := range 4 + 3 { // one row replaces three, and then itself and three more
			pending(t, service.Delete(t.Context(), strconv.Itoa(i)))
		}
		<-time.After(time.Second)
		wantPending(t, service, 1)
		outbox.has(t, cache.Revocation{})
		if err := service.Stop(t.Context()); !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("Stop = %v", err)
		}
		// The next process has a lower limit.
		outbox.kept = map[cache.Revocation]bool{{Key: ":a"}: true, {Key: ":b"}: true, {Tag: "c"}: true}
		next := newFragile(t)
		next.revocations.Store(true)
		successor := startWith(t, next, cache.Options{MaxPendingRevocations: 2}, outbox)
		wantPending(t, successor, 1)
		<-time.After(time.Second)
		outbox.has(t, cache.Revocation{})
		next.revocations.Store(false)
		<-time.After(time.Second)
		outbox.has(t)
	})
}

// If a revocation is applied and then pending again, the Remove of the first does not undo the Add
// of the second.
func TestOutboxKeepsWhatIsPendingAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		entered, release := make(chan struct{}), make(chan struct{})
		var once atomic.Bool
		outbox := &rows{beforeRemove: func(context.Context) {
			if once.CompareAndSwap(false, true) {
				close(entered)
				<-release
			}
		}}
		recorded, recorder := drivertest.Record(newBigcache(t))
		service := startWith(t, recorded, cache.Options{}, outbox)
		recorder.FailNext(drivertest.OpDelete, 1, errOutage)
		pending(t, service.Delete(t.Context(), "k"))
		<-entered // it was applied in the background
		wantPending(t, service, 0)
		recorder.FailNext(drivertest.OpDelete, 1000, errOutage)
		again := async(func() (any, error) { return nil, service.Delete(t.Context(), "k") })
		for service.Stats().PendingRevocations == 0 {
			<-time.After(time.Millisecond)
		}
		close(release)
		pending(t, (<-again).err)
		<-time.After(time.Second)
		wantPending(t, service, 1)
		outbox.has(t, cache.Revocation{Key: ":k"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := service.Stop(ctx); !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("Stop = %v", err)
		}
		outbox.has(t, cache.Revocation{Key: ":k"})
	})
}

// Readers and Stop do not wait for an outbox that hangs.
func TestReadersDoNotWaitForTheOutbox(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outbox := &rows{beforeRemove: func(ctx context.Context) { <-ctx.Done() }}
		recorded, recorder := drivertest.Record(newBigcache(t))
		service := startWith(t, recorded, cache.Options{}, outbox)
		recorder.FailNext(drivertest.OpDelete, 1, errOutage)
		pending(t, service.Delete(t.Context(), "k"))
		synctest.Wait() // the background retry is in its pause
		began := time.Now()
		mustMiss(t, service, "k")
		if d := time.Since(began); d != 0 {
			t.Errorf("a reader waited %v", d)
		}
		recorder.FailNext(drivertest.OpDelete, 1, errOutage)
		pending(t, service.Delete(t.Context(), "k"))
		if err := service.Delete(t.Context(), "k"); err != nil || time.Since(began) != 0 {
			t.Errorf("Delete: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := service.Stop(ctx); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("Stop: %v after %v", err, time.Since(began))
		}
	})
}

// A container without an Outbox is fine. An Outbox that cannot be built is an error.
func TestResolveOptional(t *testing.T) {
	t.Parallel()
	broken := errors.New("no such file")
	for name, test := range map[string]struct {
		provide  any
		found    bool
		in       string
		wrapping error
	}{
		"unknown":            {provide: func() io.Writer { return io.Discard }},
		"known":              {provide: func() cache.Outbox { return new(rows) }, found: true},
		"fails":              {provide: func() (cache.Outbox, error) { return nil, broken }, in: "cannot be built", wrapping: broken},
		"lacks a dependency": {provide: func(io.Reader) cache.Outbox { return nil }, in: "io.Reader"},
		"panics":             {provide: func() cache.Outbox { panic("constructor bug") }, in: "panicked"},
	} {
		service := newService(t, new(table), cache.Options{})
		container := in(t, service, test.provide)
		if test.in != "panicked" {
			outbox, found, err := driver.ResolveOptional[cache.Outbox](container)
			if found != test.found || (outbox != nil) != found || (err != nil) != (test.in != "") {
				t.Errorf("%s: %v, %v, %v", name, outbox, found, err)
			}
		}
		err := service.Start(t.Context(), in(t, service, test.provide))
		if (err != nil) != (test.in != "") || err != nil && (!strings.Contains(err.Error(), test.in) || !errors.Is(err, test.wrapping) && test.wrapping != nil) {
			t.Errorf("%s: Start = %v", name, err)
		}
		if err := service.Stop(t.Context()); err != nil {
			t.Errorf("%s: Stop = %v", name, err)
		}
	}
	if _, found, err := driver.ResolveOptional[cache.Outbox](nil); found || err == nil {
		t.Errorf("no Injector: %v, %v", found, err)
	}
	if _, found, err := driver.ResolveOptional[cache.Outbox](mute{}); found || err == nil {
		t.Errorf("an injector that does not call back: %v, %v", found, err)
	}
	if _, found, err := driver.ResolveOptional[cache.Outbox](dig.New().Scope("s")); found || err != nil {
		t.Errorf("a scope: %v, %v", found, err)
	}
}
