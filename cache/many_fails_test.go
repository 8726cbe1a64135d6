package cache_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A key for which a batch got no answer in time is unavailable and counted, as in a single Get.
func TestManyKeyWithoutAnswer(t *testing.T) {
	t.Parallel()
	strategy := &batching{Leaser: newBigcache(t), fails: map[string]error{"app:c:a": context.DeadlineExceeded}}
	service := start(t, strategy, cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{})
	failed := func(op string, err error) {
		t.Helper()
		var batch *cache.BatchError
		if !errors.As(err, &batch) || len(batch.Failed) != 1 || !errors.Is(batch.Failed["a"], cache.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable for one key", op, err)
		}
	}
	failed("SetMany", c.SetMany(t.Context(), map[string]int{"a": 1, "b": 2}))
	got, err := c.GetMany(t.Context(), "a", "b")
	failed("GetMany", err)
	if len(got) != 1 || got["b"] != 2 {
		t.Errorf("GetMany = %v", got)
	}
	if stats := service.Stats(); stats.Errors != 1 || stats.SetErrors != 1 {
		t.Errorf("%+v", stats)
	}
}

// A call without keys does not ask the strategy, and does not fail.
func TestManyOfNothing(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, &batching{Leaser: newBigcache(t)}, cache.Options{BreakerFailures: 1})
	c := newCache(t, service, "c", cache.Policy[int]{})
	for range 3 {
		got, err := c.GetMany(t.Context())
		if err = errors.Join(err, c.SetMany(t.Context(), nil)); len(got) != 0 || err != nil {
			t.Errorf("%v, %v", got, err)
		}
	}
	if n := recorder.Count(drivertest.OpGetMany) + recorder.Count(drivertest.OpSetMany); n != 0 {
		t.Errorf("the strategy was asked %d times", n)
	}
	if _, err := c.GetMany(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}
