package bigcache_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// bigcache is a queue: what is overwritten stays in it until its turn comes, and pushes the oldest
// entries out, although they live and nearly all of the memory is dead. Entries that are written
// again and again must not cost those that are not.
func TestLiveEntriesStay(t *testing.T) {
	t.Parallel()
	const sessions = 3000 // of 400 B: 1.2 MB
	for name, test := range map[string]struct {
		options bigcache.Options
		sizes   []int // of the values that are written again and again
		writes  int
	}{
		"a large value":            {bigcache.Options{MaxSize: 8 * driver.MiB}, []int{500 << 10}, 100},
		"the largest value":        {bigcache.Options{MaxSize: 8 * driver.MiB}, []int{1 << 20}, 50},
		"an often updated session": {bigcache.Options{MaxSize: 8 * driver.MiB}, []int{400}, 30_000},
		"pages":                    {bigcache.Options{MaxSize: 8 * driver.MiB}, []int{20 << 10, 7 << 10, 30 << 10, 70 << 10}, 400},
		"all sizes":                {bigcache.Options{MaxSize: 16 * driver.MiB}, []int{1, 1000, 10_000, 100_000, 1_000_000}, 100},
		"the default":              {bigcache.Options{}, []int{500 << 10, 400}, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t, test.options, cache.Options{})
			session := strings.Repeat("s", 330)
			for i := range sessions {
				o.set(fmt.Sprintf("app:session:%016x", i), session, "app:all", fmt.Sprint("app:user:", i))
			}
			for i := range test.writes {
				for n, size := range test.sizes {
					o.set(fmt.Sprint("app:page:", n), strings.Repeat(fmt.Sprint(i%10), size), "app:pages")
				}
			}
			kept := 0
			for i := range sessions {
				if _, found := o.get(fmt.Sprintf("app:session:%016x", i)); found {
					kept++
				}
			}
			t.Logf("%d of %d sessions are left", kept, sessions)
			if kept < sessions*99/100 {
				t.Errorf("%d of %d sessions are left, want 99 %%", kept, sessions)
			}
			for n, size := range test.sizes {
				o.hit(fmt.Sprint("app:page:", n), strings.Repeat(fmt.Sprint((test.writes-1)%10), size))
			}
		})
	}
}
