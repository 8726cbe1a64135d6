package drivertest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// noRetention checks a strategy that stores nothing: every operation succeeds, and every read is a
// miss.
var noRetention = []check{
	{"EverythingIsAMiss", func(s *subject) {
		for i := range 100 {
			key := fmt.Sprint("key", i)
			s.set(key, "v", time.Minute, "tag")
			s.miss(key, "after Set, with NoRetention declared")
		}
	}},
	{"Revocations", func(s *subject) {
		s.set("key", "v", time.Minute, "tag")
		s.delete()
		s.delete("key", "missing")
		s.invalidate()
		s.invalidate("tag", "unknown")
		s.clear()
		s.miss("key", "after Delete and InvalidateTags")
	}},
	{"InvalidTTL", func(s *subject) {
		for _, ttl := range invalidTTLs {
			if err := s.strategy.Set(s.ctx, s.physical("key"), []byte("v"), s.opts(ttl)); !errors.Is(err, driver.ErrInvalidTTL) {
				s.Errorf("Set with TTL %v: %v, want cache.ErrInvalidTTL", ttl, err)
			}
		}
	}},
	{"Leases", func(s *subject) {
		l := s.features.Leaser
		if l == nil {
			s.Skip("the strategy is not a cache.Leaser")
		}
		for range 3 {
			value, found, lease, err := l.GetOrLease(s.ctx, s.physical("key"))
			if err != nil || found {
				s.Fatalf("GetOrLease: %s, found %t, error %v; want a miss", show(string(value)), found, err)
			}
			if lease == nil {
				// the strategy decides whether it grants leases although it stores nothing
				continue
			}
			if stored, err := l.Fill(s.ctx, lease, []byte("v"), s.opts(time.Minute)); stored || err != nil {
				s.Errorf("Fill: stored %t, error %v; want neither, because nothing is stored", stored, err)
			}
			s.miss("key", "after Fill, with NoRetention declared")
			s.release(lease)
		}
		s.release(nil)
	}},
	{"Concurrency", func(s *subject) {
		var work sync.WaitGroup
		for range 8 {
			s.work(&work, func(s *subject) {
				for range s.count(100) {
					s.set("key", "v", time.Minute, "tag")
					s.miss("key", "after Set, with NoRetention declared")
					s.invalidate("tag")
					s.delete("key")
				}
			})
		}
		work.Wait()
	}},
}
