package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A panic of a loader or a write is told with the cache's name, the type of its value and where it
// was, in the error and in the log. The value is in neither.
func TestPanicsAreTold(t *testing.T) {
	t.Parallel()
	boom := func(context.Context) (int, error) { panic(errors.New("hunter2")) }
	for name, call := range map[string]func(context.Context, *cache.Cache[int]) error{
		"GetOrLoad": func(ctx context.Context, c *cache.Cache[int]) error {
			_, err := c.GetOrLoad(ctx, "k", boom)
			return err
		},
		"Update": func(ctx context.Context, c *cache.Cache[int]) error { _, err := c.Update(ctx, "k", boom); return err },
		"ReadThrough": func(ctx context.Context, c *cache.Cache[int]) error {
			_, err := c.GetOrLoad(cache.ReadThrough(ctx), "k", boom)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			service := start(t, newBigcache(t), cache.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			err := call(t.Context(), newCache(t, service, "products", cache.Policy[int]{}))
			var panicked *cache.PanicError
			if !errors.As(err, &panicked) {
				t.Fatalf("%v", err)
			}
			for where, text := range map[string]string{"error": fmt.Sprintf("%+v", err), "log": log.String()} {
				for _, want := range []string{"products", "*errors.errorString", "cache_test.TestPanicsAreTold.func1 (messages_test.go:"} {
					if !strings.Contains(text, want) {
						t.Errorf("the %s has no %q: %s", where, want, text)
					}
				}
				if strings.Contains(text, "hunter2") {
					t.Errorf("the %s has the value: %s", where, text)
				}
			}
		})
	}
}

// A loader without a row has not failed.
func TestNotFoundIsNoFailure(t *testing.T) {
	t.Parallel()
	for _, negative := range []time.Duration{0, time.Minute} {
		service := start(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{NegativeTTL: negative})
		none := func(context.Context) (int, error) { return 0, fmt.Errorf("no row: %w", cache.ErrNotFound) }
		for _, ctx := range []context.Context{t.Context(), cache.ReadThrough(t.Context())} {
			if _, err := c.GetOrLoad(ctx, "k", none); !errors.Is(err, cache.ErrNotFound) {
				t.Error(err)
			}
		}
		if _, err := c.GetOrLoad(t.Context(), "other", func(context.Context) (int, error) { return 0, errOutage }); !errors.Is(err, errOutage) {
			t.Error(err)
		}
		if s := service.Stats(); s.NotFound != 2 || s.LoadErrors != 1 || s.Loads != 3 {
			t.Errorf("%d not found, %d failed of %d", s.NotFound, s.LoadErrors, s.Loads)
		}
	}
}

// At the end nothing is called retried that is not, neither in the log nor in an error.
func TestNothingIsRetriedAfterStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		strategy, recorder := drivertest.Record(new(table))
		service := newService(t, strategy, cache.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		recorder.FailNext(drivertest.OpDelete, 1<<20, errOutage)
		err := service.Delete(t.Context(), "k")
		if !errors.Is(err, cache.ErrRevocationPending) || !strings.Contains(err.Error(), "it is being retried") {
			t.Errorf("before Stop: %v", err)
		}
		<-time.After(time.Second)
		log.Reset()
		release := recorder.Block(drivertest.OpDelete) // the last one comes while the Service stops
		last := async(func() (int, error) { return 0, service.Delete(t.Context(), "late") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		stopped := service.Stop(ctx)
		got := <-last
		release()
		for what, text := range map[string]string{"Stop": fmt.Sprint(stopped), "Delete": fmt.Sprint(got.err), "the log": log.String()} {
			if strings.Contains(text, "being retried") {
				t.Errorf("%s says that it is being retried: %s", what, text)
			}
		}
		if !errors.Is(stopped, cache.ErrRevocationPending) || !errors.Is(got.err, cache.ErrRevocationPending) || !errors.Is(got.err, cache.ErrClosed) {
			t.Errorf("Stop: %v; Delete: %v", stopped, got.err)
		}
	})
}
