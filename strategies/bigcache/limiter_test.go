package bigcache_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// Other limits than those of Init are taken if the largest entry that they allow can be stored, and
// then it can.
func TestLimiter(t *testing.T) {
	t.Parallel()
	for _, options := range []bigcache.Options{{MaxSize: 16 * driver.MiB}, {MaxSize: 4 * driver.MiB, Shards: 1}} {
		o := start(t, options, cache.Options{MaxValueBytes: 10 * driver.KiB})
		limits := cache.Options{}.WithDefaults().Limits()
		taken, refused := 0, 0
		for size := driver.KiB; size <= 32*driver.MiB; size *= 2 {
			limits.MaxValueBytes = size
			err := o.CheckLimits(limits)
			var option *driver.OptionError
			switch {
			case err == nil:
				taken++
				o.SetLimits(limits)
				if err := o.Set(t.Context(), "key", make([]byte, size), driver.SetOptions{TTL: time.Hour}); err != nil {
					t.Errorf("%v of %v: accepted, and then %v", size, options.MaxSize, err)
				}
			case errors.As(err, &option) && option.Name == "max_value_bytes":
				refused++
			default:
				t.Error(err)
			}
		}
		if taken < 10 || refused < 2 {
			t.Errorf("%v: %d limits are taken, %d refused", options.MaxSize, taken, refused)
		}
	}
	strategy, err := bigcache.New(bigcache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := strategy.CheckLimits(driver.Limits{}); !errors.Is(err, driver.ErrClosed) {
		t.Errorf("before Init: %v", err)
	}
}
