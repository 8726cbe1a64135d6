package redis

import "hash/maphash"

// index tells where in the keys of a shared read a key is. It is a hash table with open addressing,
// at most half full. In a busy process a map would cost each read as much as its part of the
// command.
type index [2 * maxShared]uint8 // the position and 1; 0: none

var indexSeed = maphash.MakeSeed()

func (x *index) find(keys []string, key string) (at int, there bool) {
	for slot := maphash.String(indexSeed, key); ; slot++ {
		switch at := int(x[slot%uint64(len(x))]) - 1; {
		case at < 0:
			return 0, false
		case keys[at] == key:
			return at, true
		}
	}
}

func (x *index) add(key string, at int) {
	slot := maphash.String(indexSeed, key)
	for x[slot%uint64(len(x))] != 0 {
		slot++
	}
	x[slot%uint64(len(x))] = uint8(at + 1) //nolint:gosec // at most maxShared
}
