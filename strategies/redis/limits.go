package redis

import (
	"strconv"
	"sync/atomic"

	"github.com/fxcache/fxcache/cache/driver"
)

// headroom is how much longer than max_value_bytes a value may be, because the Service adds a
// header that it does not count.
const headroom = 1 << 10

// limits are the sizes that this node accepts, in bytes.
type limits struct {
	value int64
	// entry includes the tags and the header. No entry that a node with the same limits has stored
	// is longer.
	entry    int64
	entryArg string // the same, for the scripts
}

// liveLimits are those in force. Reads, writes and scripts look at them for each entry.
type liveLimits = atomic.Pointer[limits]

func newLimits(service driver.Limits) *limits {
	l := &limits{value: int64(service.MaxValueBytes) + headroom}
	l.entry = l.value + int64(service.MaxTags)*(int64(service.MaxKeyBytes)+2+nonceBytes) + 2 + nonceBytes // the generation
	l.entryArg = strconv.FormatInt(l.entry, 10)
	return l
}
