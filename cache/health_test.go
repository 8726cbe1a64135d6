package cache_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// Health says what is wrong, and where, without keys and without the texts of errors. It asks no
// storage.
func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		recorded, recorder := drivertest.Record(newBigcache(t))
		service, err := cache.NewService(recorded, quiet(cache.Options{BreakerFailures: 3, BreakerPause: time.Minute}), cache.Caches{"typo": {}})
		if err != nil {
			t.Fatal(err)
		}
		is := func(when string, status cache.Status, reasons ...string) {
			t.Helper()
			h := service.Health(t.Context())
			if h.Status != status || len(h.Reasons) != len(reasons) {
				t.Fatalf("%s: %+v, want %s with %q", when, h, status, reasons)
			}
			for i, reason := range reasons {
				if !strings.Contains(h.Reasons[i], reason) {
					t.Errorf("%s: %q, want %q in it", when, h.Reasons[i], reason)
				}
			}
			for _, reason := range h.Reasons {
				if strings.Contains(reason, "hunter2") {
					t.Errorf("%s: it says too much: %s", when, reason)
				}
			}
		}
		if h := new(cache.Service).Health(t.Context()); h.Status != cache.Down {
			t.Errorf("a Service that NewService has not made: %+v", h)
		}
		is("before Start", cache.Down, "has not been started")
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		is("a name that nothing has", cache.Ready, "caches.typo: ")
		_ = newCache(t, service, "typo", cache.Policy[int]{})
		is("started", cache.Ready)
		service.ReloadFailed(errors.New("hunter2"))
		is("a reload failed", cache.Ready, "earlier one is in force")
		service.ReloadFailed(nil)
		is("the next one did not", cache.Ready)
		recorder.FailNext(drivertest.OpDelete, 1, errors.New("hunter2"))
		pending(t, service.Delete(t.Context(), "hunter2"))
		is("pending", cache.Degraded, "store default: 1 revocations are pending")
		<-time.After(time.Minute)
		is("applied", cache.Ready)
		trip(t, service, recorder)
		is("open", cache.Degraded, "store default: its circuit breaker is open")
		if n := len(recorder.Operations()); n > 0 {
			t.Errorf("Health asked the storage: %v", recorder.Operations())
		}
		<-time.After(time.Minute)
		for range 10 {
			_, _ = service.Get(t.Context(), "k", new(int))
			<-time.After(time.Second)
		}
		is("closed", cache.Ready)
		if err := service.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		is("after Stop", cache.Down, "has stopped")
	})
}
