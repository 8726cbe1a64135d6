package drivertest

import (
	"fmt"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// eviction checks that memory is bounded, and that old entries are the ones that are evicted.
var eviction = []check{
	{"OldestGiveWay", func(s *subject) {
		value := strings.Repeat("v", int(s.portion()))
		n := 2 * int(s.capacity/s.portion())
		defer s.discard("key", n)
		for i := range n {
			key := fmt.Sprint("key", i)
			s.set(key, value, time.Hour, fmt.Sprint("tag", i%10))
			if i%50 == 0 || i == n-1 {
				s.hit(key, value, fmt.Sprintf("just after Set, with %d values of %v written before", i, s.portion()))
			}
		}
		var held driver.Size
		oldGone := 0
		for i := range n {
			switch got, found := s.get(fmt.Sprint("key", i)); {
			case found && got != value:
				s.Errorf("entry %d of an overfilled strategy reads as %s", i, show(got))
			case found:
				held += s.portion()
			case i < n/2:
				oldGone++
			}
		}
		if held > s.capacity {
			s.Errorf("after writing %v of values, %v can be read; want at most the Capacity of %v", driver.Size(n)*s.portion(), held, s.capacity)
		}
		if oldGone == 0 {
			s.Errorf("after writing %v of values, all of the older half can be read; want the oldest evicted", driver.Size(n)*s.portion())
		}
		if held == 0 {
			s.Error("after overfilling nothing can be read; want the newest entries kept")
		}
	}},
	{"OverwritingOneKey", func(s *subject) {
		// Replaced values must not count towards the capacity.
		defer s.delete("key")
		padding := strings.Repeat("v", int(s.portion()))
		for i := range 2 * int(s.capacity/s.portion()) {
			value := fmt.Sprint(i, padding)
			s.set("key", value, time.Hour)
			s.hit("key", value, "after writing one key over and over, more often than there is room")
		}
	}},
	{"EvictedStaysInvalid", func(s *subject) {
		// If the strategy forgets invalidated tags to make room, no entry may become readable
		// again.
		s.set("invalid", "old", time.Hour, "tag")
		s.set("deleted", "old", time.Hour)
		s.invalidate("tag")
		s.delete("deleted")
		value := strings.Repeat("v", int(s.portion()))
		n := int(s.capacity/s.portion()) + 1
		defer s.discard("key", n)
		for i := range n {
			s.set(fmt.Sprint("key", i), value, time.Hour, fmt.Sprint("tag", i))
			s.invalidate(fmt.Sprint("tag", i/2))
			s.miss("invalid", "after InvalidateTags of its tag, and of others while filling up")
			s.miss("deleted", "after Delete, while filling up")
		}
	}},
}

// discard makes room for the checks that follow, which may be on the same server.
func (s *subject) discard(prefix string, n int) {
	s.Helper()
	for i := range n {
		s.delete(fmt.Sprint(prefix, i))
	}
}

// portion is the size of the values that fill the strategy. About 500 of them do.
func (s *subject) portion() driver.Size {
	return min(max(s.capacity/512, 64), s.options.WithDefaults().MaxValueBytes)
}
