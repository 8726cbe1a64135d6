package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// Errors that concern a single entry do not open the breaker, however often and for however long
// they occur.
func TestBreakerIgnoresWhatConcernsOneEntry(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, kind.make(t), cache.Options{BreakerFailures: 3, BreakerPause: time.Minute})
			c := newCache(t, service, "c", cache.Policy[int]{})
			slow := fmt.Errorf("%w: %w", driver.ErrEntryUnavailable, context.DeadlineExceeded)
			for i := range 20 {
				recorder.FailNext(drivertest.OpGet, 1, slow)
				if v, err := c.GetOrLoad(t.Context(), "k", value(i)); v != i || err != nil {
					t.Errorf("GetOrLoad = %v, %v", v, err)
				}
				recorder.FailNext(drivertest.OpGet, 1, slow)
				if _, err := service.Get(t.Context(), "k", new(int)); !errors.Is(err, driver.ErrEntryUnavailable) || !errors.Is(err, cache.ErrUnavailable) {
					t.Errorf("Get = %v", err)
				}
				<-time.After(100 * time.Millisecond)
			}
			if short(t, service) {
				t.Errorf("%s: the breaker is open", kind.name)
			}
		})
	}
}
