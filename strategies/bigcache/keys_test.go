package bigcache_test

import (
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// bigcache keeps the length of a key in 16 bits, and computes where the value begins, 18 bytes
// later, in 16 bits as well. So the trap opens at 65,518 bytes: Get panics, or hands out the end of
// the key as part of the value, with the shard locked for ever. From 65,536 on Set succeeds and Get
// misses.
func TestLongKeys(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		length int
		fits   bool
	}{
		{65_500, true}, {65_517, true},
		{65_518, false}, {65_526, false}, {65_535, false}, {65_536, false}, {65_554, false}, {200_000, false},
	} {
		o := start(t, bigcache.Options{MaxSize: 8 * driver.MiB, Shards: 1}, cache.Options{})
		key := strings.Repeat("k", test.length)
		o.set("neighbour", "n")
		if !test.fits {
			o.refused(driver.ErrInvalidKey, key, []byte("value"))
			if o.Failed() {
				t.Fatalf("a key of %d bytes is not refused", test.length) // Get would panic
			}
			o.miss(key)
		} else {
			o.set(key, "value")
			o.hit(key, "value")
			if err := o.Delete(t.Context(), key); err != nil {
				t.Error(err)
			}
			o.miss(key)
		}
		o.hit("neighbour", "n")
	}
}
