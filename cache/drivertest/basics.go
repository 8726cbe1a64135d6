package drivertest

import (
	"fmt"
	"strings"
	"time"
)

// basics checks what any key-value store does.
var basics = []check{
	{"MissingKey", func(s *subject) {
		s.miss("missing", "nothing was ever set")
	}},
	{"SetThenGet", func(s *subject) {
		s.set("a", "1", time.Minute)
		s.set("b", "2", time.Minute)
		s.hit("a", "1", "after Set")
		s.hit("a", "1", "read twice")
		s.hit("b", "2", "after Set")
	}},
	{"EmptyValueIsAHit", func(s *subject) {
		// With Vendure's `if (value)`, entries that hold 0, false or '' were always misses.
		s.set("empty", "", time.Minute)
		s.hit("empty", "", "after Set of an empty value")
		if err := s.strategy.Set(s.ctx, s.physical("nil"), nil, s.opts(time.Minute)); err != nil {
			s.Fatalf("Set of a nil value: %v", err)
		}
		s.hit("nil", "", "after Set of a nil value")
	}},
	{"BinaryValues", func(s *subject) {
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		for i, value := range []string{"0", "false", "null", "\x00", "\x00\x00", "\r\n", "\xff\xfe", string(all)} {
			key := fmt.Sprint("binary", i)
			s.set(key, value, time.Minute)
			s.hit(key, value, "after Set of arbitrary bytes")
		}
	}},
	{"ValuesOfManySizes", func(s *subject) {
		for _, size := range []int{1, 15, 16, 17, 127, 128, 255, 256, 257, 4095, 4096, 4097, 65535, 65536} {
			key, value := fmt.Sprint("size", size), strings.Repeat("v", size)
			s.set(key, value, time.Minute)
			s.hit(key, value, "after Set")
		}
	}},
	{"Overwrite", func(s *subject) {
		for _, value := range []string{"long, longer, longest", "short", "", "long again, for good measure"} {
			s.set("key", value, time.Minute)
			s.hit("key", value, "after Set over another value")
		}
	}},
	{"Delete", func(s *subject) {
		s.set("gone", "1", time.Minute)
		s.set("kept", "2", time.Minute)
		s.delete("gone")
		s.miss("gone", "after Delete")
		s.hit("kept", "2", "after Delete of another key")
		s.set("gone", "3", time.Minute)
		s.hit("gone", "3", "after Delete and Set")
	}},
	{"DeleteOfNothing", func(s *subject) {
		s.set("kept", "1", time.Minute)
		s.delete()
		s.delete("missing")
		s.delete("missing", "missing")
		s.hit("kept", "1", "after Delete of no key and of a missing key")
	}},
	{"DeleteSeveral", func(s *subject) {
		var doomed []string
		for i := range 100 {
			key := fmt.Sprint("key", i)
			s.set(key, "v", time.Minute)
			if i%2 == 0 {
				doomed = append(doomed, key, fmt.Sprint("missing", i))
			}
		}
		s.delete(doomed...)
		for i := range 100 {
			if key := fmt.Sprint("key", i); i%2 == 0 {
				s.miss(key, "after Delete of it among others")
			} else {
				s.hit(key, "v", "after Delete of others")
			}
		}
	}},
	{"Clear", func(s *subject) {
		s.set("plain", "1", time.Minute)
		s.set("tagged", "2", time.Minute, "tag")
		if !s.clear() {
			s.Skip("the strategy is not a cache.Clearer")
		}
		s.miss("plain", "after Clear")
		s.miss("tagged", "after Clear")
		s.set("plain", "3", time.Minute)
		s.hit("plain", "3", "after Clear and Set")
		s.set("tagged", "4", time.Minute, "tag")
		s.invalidate("tag")
		s.miss("tagged", "after Clear, Set and InvalidateTags")
	}},
}
