package drivertest

import (
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// vendure has the checks that Vendure runs against each of its cache strategies, in the same order.
// Its check "eviction of the oldest when full" is in the topic Eviction.
var vendure = []check{
	{"GetMissing", func(s *subject) { s.miss("test", "nothing was ever set") }},
	{"SetString", roundTrip(`"test"`)},
	{"SetObject", roundTrip(`{"test":"test"}`)},
	{"SetArray", roundTrip(`["test"]`)},
	{"SetArrayOfObjects", roundTrip(`[{"test":"test"},{"n":1.5,"ok":false,"none":null}]`)},
	{"Delete", func(s *subject) {
		s.set("test", `"test"`, time.Minute)
		s.delete("test")
		s.miss("test", "after Delete")
	}},
	{"TTL", func(s *subject) {
		s.set("test", `"test"`, 1000*time.Millisecond)
		s.hit("test", `"test"`, "after Set with TTL 1000 ms")
		s.elapse(2000*time.Millisecond + s.granularity)
		s.miss("test", "2000 ms after Set with TTL 1000 ms")
	}},
	{"NegativeTTL", func(s *subject) {
		err := s.strategy.Set(s.ctx, s.physical("test"), []byte(`"test"`), s.opts(-1500*time.Millisecond))
		if !errors.Is(err, driver.ErrInvalidTTL) {
			s.Errorf("Set with TTL -1500 ms: %v, want cache.ErrInvalidTTL", err)
		}
		s.miss("test", "after Set with TTL -1500 ms")
	}},
	{"InvalidateBySingleTag", func(s *subject) {
		s.set("taggedKey1", "value1", time.Minute, "taggedTag1")
		s.set("taggedKey2", "value2", time.Minute, "taggedTag2")
		s.invalidate("taggedTag1")
		s.miss("taggedKey1", "after InvalidateTags of its tag")
		s.hit("taggedKey2", "value2", "after InvalidateTags of another tag")
	}},
	{"InvalidateManyKeysBySeveralTags", func(s *subject) {
		for i := 1; i <= 4; i++ {
			s.set(fmt.Sprint("taggedKey", i), fmt.Sprint("value", i), time.Minute, fmt.Sprint("taggedTag", i))
		}
		s.invalidate("taggedTag1", "taggedTag2", "taggedTag3")
		for i := 1; i <= 3; i++ {
			s.miss(fmt.Sprint("taggedKey", i), "after InvalidateTags of several tags")
		}
		s.hit("taggedKey4", "value4", "after InvalidateTags of other tags")
	}},
	{"InvalidateLargeNumberOfKeys", func(s *subject) {
		for i := range 100 {
			s.set(fmt.Sprint("taggedKey", i), fmt.Sprint("value", i), time.Minute, "taggedTag")
		}
		s.invalidate("taggedTag")
		for i := range 100 {
			s.miss(fmt.Sprint("taggedKey", i), "after InvalidateTags of their tag")
		}
	}},
}

func roundTrip(json string) func(s *subject) {
	return func(s *subject) {
		s.set("test", json, time.Minute)
		s.hit("test", json, "after Set")
	}
}
