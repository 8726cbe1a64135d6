package drivertest

import (
	"time"
)

// isolation checks that the caller and the strategy share no slice.
var isolation = []check{
	{"ValueAfterSet", func(s *subject) {
		value := []byte("value")
		if err := s.strategy.Set(s.ctx, s.physical("key"), value, s.opts(time.Minute)); err != nil {
			s.Fatalf("Set: %v", err)
		}
		copy(value, "#####")
		s.hit("key", "value", "after the caller changed the slice that it had given to Set")
	}},
	{"ValueFromGet", func(s *subject) {
		s.set("key", "value", time.Minute)
		value, _, err := s.strategy.Get(s.ctx, s.physical("key"))
		if err != nil {
			s.Fatalf("Get: %v", err)
		}
		copy(value, "#####")
		// The capacity matters too: an append must not write into a shared buffer.
		copy(value[:cap(value)], "################")
		s.hit("key", "value", "after the caller changed the slice that Get had returned")
	}},
	{"ReadersDoNotShare", func(s *subject) {
		s.set("key", "value", time.Minute)
		first, _, err1 := s.strategy.Get(s.ctx, s.physical("key"))
		second, _, err2 := s.strategy.Get(s.ctx, s.physical("key"))
		if err1 != nil || err2 != nil {
			s.Fatalf("Get: %v, %v", err1, err2)
		}
		copy(first, "#####")
		if string(second) != "value" {
			s.Errorf("two Gets returned one slice: changing the first changed the second to %s", show(string(second)))
		}
	}},
	{"ValueOutlivesOverwrite", func(s *subject) {
		// A slice of the strategy's own memory would change while the caller has it.
		s.set("key", "value", time.Minute)
		value, _, err := s.strategy.Get(s.ctx, s.physical("key"))
		if err != nil {
			s.Fatalf("Get: %v", err)
		}
		s.set("key", "#####", time.Minute)
		s.delete("key")
		for range 100 {
			s.set("key", "YYYYY", time.Minute)
		}
		if string(value) != "value" {
			s.Errorf("later writes changed the slice that Get had returned to %s", show(string(value)))
		}
	}},
	{"TagsAfterSet", func(s *subject) {
		opts := s.opts(time.Minute, "tag")
		if err := s.strategy.Set(s.ctx, s.physical("key"), []byte("v"), opts); err != nil {
			s.Fatalf("Set: %v", err)
		}
		opts.Tags[0] = s.physical("changed")
		s.invalidate("changed")
		s.hit("key", "v", "after the caller changed the tags that it had given to Set, and invalidated the new one")
		s.invalidate("tag")
		s.miss("key", "after InvalidateTags of the tag that Set was given")
	}},
	{"Fill", func(s *subject) {
		l := s.features.Leaser
		if l == nil {
			s.Skip("the strategy is not a cache.Leaser")
		}
		value, opts := []byte("value"), s.opts(time.Minute, "tag")
		if stored, err := l.Fill(s.ctx, s.lease("key"), value, opts); err != nil || !stored {
			s.Fatalf("Fill: stored %t, error %v", stored, err)
		}
		copy(value, "#####")
		opts.Tags[0] = s.physical("changed")
		s.hit("key", "value", "after the caller changed the slice that it had given to Fill")
		leased, found, _, err := l.GetOrLease(s.ctx, s.physical("key"))
		if err != nil || !found {
			s.Fatalf("GetOrLease: found %t, error %v", found, err)
		}
		copy(leased, "#####")
		s.hit("key", "value", "after the caller changed the slice that GetOrLease had returned")
		s.invalidate("tag")
		s.miss("key", "after InvalidateTags of the tag that Fill was given")
	}},
}
