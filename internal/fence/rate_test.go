package fence_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/fence"
)

// Invalidations of other tags do not refuse a fill, as long as they are remembered exactly. With
// the default limits that is two seconds at 20,000 a second. Beyond that, every fill with tags is
// refused.
func TestOtherTagsRefuseNoFills(t *testing.T) {
	t.Parallel()
	const tags, fills = 1 << 16, 100 // as strategies have them
	f := fence.New(fence.Options{MaxTags: tags, MaxLeases: tags, LeaseTTL: time.Minute, Now: time.Now})
	for _, test := range []struct {
		invalidated int
		stored      int
	}{{2_000, fills}, {40_000, fills}, {4 * tags, 0}} {
		sequences := make([]uint64, fills)
		for key := range sequences {
			sequences[key] = lease(t, f, uint64(key))
		}
		for i := range test.invalidated {
			f.InvalidateTags(fmt.Sprint("other", i))
		}
		stored := 0
		for key, sequence := range sequences {
			if fill(t, f, uint64(key), sequence, f.Hash(fmt.Sprint("own", key))) {
				stored++
			}
		}
		if stored != test.stored {
			t.Errorf("%d other tags: %d of %d fills are stored, want %d", test.invalidated, stored, fills, test.stored)
		}
	}
}
