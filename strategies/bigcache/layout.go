package bigcache

import (
	"fmt"
	"hash/maphash"
	"math"

	"github.com/fxcache/fxcache/cache/driver"
)

const (
	// overheadBytes is what bigcache v3.2.0 adds to an entry: its own header (18), and the length
	// in its queue (5 at most).
	overheadBytes = 18 + 5
	// serviceBytes is more than what the Service adds to a value and a key, apart from the
	// namespace. Each byte of that may become three.
	serviceBytes = 128
	// maxKeyBytes is the length of the longest key that bigcache can store. It computes in 16 bits
	// where the value begins, which is after its header and the key.
	maxKeyBytes = math.MaxUint16 - 18
	// maxTags is the most that the 16-bit count in an entry can hold.
	maxTags = math.MaxUint16
)

// layout is how max_size is divided.
type layout struct {
	shards    int
	megabytes int // for the entries; the rest of max_size is for bigcache's index
	maxEntry  int // bytes
}

// plan divides max_size. bigcache limits whole megabytes, and its index comes on top: a map of
// about 40 bytes an entry. A quarter of max_size is set aside for that. This is right for entries
// of 120 bytes, and more than enough for larger ones.
//
// A shard is certain to accept an entry only if the entry is smaller than half of the shard.
// bigcache refuses an entry if the memory that the shard has allocated so far is too small, and
// cannot grow by the size of the entry.
func plan(o Options, limits driver.Limits) (layout, error) {
	megabytes := max(1, int(o.MaxSize/driver.MiB*3/4))
	largest := int(limits.MaxValueBytes) + int(limits.MaxKeyBytes) + serviceBytes + len(limits.KeyPrefix) +
		overheadBytes + headerBytes + tagBytes*limits.MaxTags
	shards := o.Shards
	for shards > 1 && megabytes*int(driver.MiB)/shards <= 2*largest {
		shards /= 2
	}
	half := megabytes * int(driver.MiB) / shards / 2
	if half <= largest {
		need := driver.Size(2*largest)/driver.MiB + 1 // megabytes for the entries
		return layout{}, &driver.OptionError{Name: "max_size", Reason: fmt.Sprintf(
			"%v cannot hold a value of max_value_bytes (%v): raise it to at least %v, or lower max_value_bytes",
			o.MaxSize, limits.MaxValueBytes, (4*need+2)/3*driver.MiB)}
	}
	return layout{shards: shards, megabytes: megabytes, maxEntry: half - 1}, nil
}

// hasher is a seeded bigcache.Hasher. Nobody outside can choose keys that collide, which would
// evict one another.
type hasher maphash.Seed

// Sum64 implements bigcache.Hasher.
func (h hasher) Sum64(key string) uint64 {
	sum := maphash.String(maphash.Seed(h), key)
	if sum == 0 {
		return 1 // bigcache marks deleted entries with 0
	}
	return sum
}
