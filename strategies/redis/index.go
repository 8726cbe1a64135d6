package redis

import "hash/maphash"

// index tells where in the keys of a shared read a key is. It is a hash table with open addressing,
// at most half full. In a busy process a map would cost each read as much as its part of the
// command.
type index [2 * maxShared]uint8 // the position and 1; 0: none

var indexSeed = maphash.MakeSeed()

// find returns where in keys key is. If it is not there, find notes that it will be the next.
func (x *index) find(keys []string, key string) (at uint8, there bool) {
	for slot := maphash.String(indexSeed, key); ; slot++ {
		switch place := &x[slot%uint64(len(x))]; {
		case *place == 0:
			at = uint8(len(keys)) //nolint:gosec // at most maxShared
			*place = at + 1
			return at, false
		case keys[*place-1] == key:
			return *place - 1, true
		}
	}
}
