package bigcache

import (
	"fmt"
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
	// minShard is large enough that the live entries of each shard take about the same memory.
	minShard = 256 << 10
	// maxKeyBytes is the length of the longest key that bigcache can store. It computes in 16 bits
	// where the value begins, which is after its header and the key.
	maxKeyBytes = math.MaxUint16 - 18
	// startSmall is the size of the largest entry that is stored whole, if the limits allow it: a
	// shard begins with at least as much memory.
	startSmall = 16 << 10
	// maxTags is the most that the 16-bit count in an entry can hold.
	maxTags = math.MaxUint16
)

// layout is how max_size is divided.
type layout struct {
	shards    int
	megabytes int // for the entries; the rest of max_size is for bigcache's index
	initial   int // bytes that a shard begins with
	small     int // bytes of the largest entry that is stored whole
	chunks    int // how many chunks a larger one may have
	reusable  int // bytes of the largest entry that gets a second chance
	maxCredit int64
}

// plan divides max_size. bigcache limits whole megabytes, and its index comes on top: a map of
// about 40 bytes an entry. A quarter of max_size is set aside for that. This is right for entries
// of 120 bytes, and more than enough for larger ones.
//
// There are as many shards as options allow, but none smaller than minShard. An entry of more than
// 1/16 of a shard is divided into chunks of that size or less. A value takes at most 6/16 of each
// shard, and what gets a second chance because of it takes as much. So it does not push itself out.
//
// If max_size is too small for that, entries are stored whole. A shard is certain to accept one
// only if it is smaller than half of the shard.
//
// The memory of a shard doubles until it is the whole shard. bigcache evicts instead if it would
// become that by less than the entry, and doubles later for a smaller one. But memory that grows
// after an eviction puts the newest entries where the oldest are. So a shard begins with the whole
// divided by a power of two, and with room for the largest entry: then it never grows by less.
func plan(o Options, limits driver.Limits) (layout, error) {
	l := layout{megabytes: max(1, int(o.MaxSize/driver.MiB*3/4))}
	bytes := l.megabytes * int(driver.MiB)
	key, value := largest(limits)
	for l.shards = o.Shards; l.shards > 1; l.shards /= 2 {
		shard := bytes / l.shards
		l.small, l.chunks = min(startSmall, shard/16), 5*l.shards
		for !l.holds(limits) && l.small < shard/16 {
			l.small = min(2*l.small, shard/16)
		}
		if shard >= minShard && l.holds(limits) {
			break
		}
	}
	if l.shards == 1 {
		l.chunks = 0
		whole := entryBytes(key, limits.MaxTags, value)
		for l.shards = o.Shards; l.shards > 1 && bytes/l.shards <= 2*whole; {
			l.shards /= 2
		}
		if l.small = bytes/l.shards/2 - 1; l.small < whole {
			need := driver.Size(2*whole)/driver.MiB + 1 // megabytes for the entries
			return layout{}, &driver.OptionError{Name: "max_size", Reason: fmt.Sprintf(
				"%v cannot hold a value of max_value_bytes (%v): raise it to at least %v, or lower max_value_bytes",
				o.MaxSize, limits.MaxValueBytes, (4*need+2)/3*driver.MiB)}
		}
	}
	for l.initial = bytes / l.shards; l.initial%(2*entriesAtFirst) == 0 && l.initial/2 >= l.small; {
		l.initial /= 2
	}
	l.reusable, l.maxCredit = bytes/l.shards/16, int64(bytes/l.shards*6/16)
	return l, nil
}

// largest returns the bytes of the longest key and value of limits.
func largest(limits driver.Limits) (key, value int) {
	return int(limits.MaxKeyBytes) + serviceBytes + len(limits.KeyPrefix), int(limits.MaxValueBytes) + serviceBytes
}

// holds reports whether the largest entry of limits can be stored.
func (l layout) holds(limits driver.Limits) bool {
	key, value := largest(limits)
	return (l.chunks == 0 || 2*key <= l.small) && l.fits(key, limits.MaxTags, value)
}
