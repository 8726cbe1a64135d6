package drivertest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// limits checks that a value that is too large is refused as a whole, and affects no entry but the
// one it should have replaced.
var limits = []check{
	{"HugeValue", func(s *subject) {
		for _, size := range s.hugeSizes() {
			when := fmt.Sprintf("after Set of %v", size)
			huge := strings.Repeat("h", int(size))
			s.set("stored", "old", time.Minute, "tag")
			for _, key := range []string{"fresh", "stored"} {
				err := s.strategy.Set(s.ctx, s.physical(key), []byte(huge), s.opts(time.Minute))
				s.refusedOrStored(key, huge, when, err)
				s.set(key, "small", time.Minute)
				s.hit(key, "small", when+" and Set of a small value")
				s.delete(key)
			}
		}
	}},
	{"HugeFill", func(s *subject) {
		l := s.features.Leaser
		if l == nil {
			s.Skip("the strategy is not a cache.Leaser")
		}
		for _, size := range s.hugeSizes() {
			huge := strings.Repeat("h", int(size))
			s.set("key", "old", time.Minute)
			stored, err := l.Fill(s.ctx, s.lease("key"), []byte(huge), s.opts(time.Minute))
			if stored != (err == nil) {
				s.Errorf("Fill of %v: stored %t, error %v; want it stored or refused with an error", size, stored, err)
			}
			s.refusedOrStored("key", huge, fmt.Sprintf("after Fill of %v", size), err)
			s.delete("key")
		}
	}},
	{"RefusedValueEvictsNothing", func(s *subject) {
		const neighbours = 100
		for i := range neighbours {
			s.set(fmt.Sprint("neighbour", i), "n", time.Minute)
		}
		sizes := s.hugeSizes()
		largest := make([]byte, sizes[len(sizes)-1])
		for i := range 4 {
			if err := s.strategy.Set(s.ctx, s.physical(fmt.Sprint("huge", i)), largest, s.opts(time.Minute)); err == nil {
				s.delete(fmt.Sprint("huge", i))
				s.Skipf("the strategy accepts a value of %d bytes", len(largest))
			}
		}
		for i := range neighbours {
			s.hit(fmt.Sprint("neighbour", i), "n", "after a refused Set of a huge value under another key")
		}
	}},
	{"ManyTags", func(s *subject) {
		var all []string
		for i := range s.options.WithDefaults().MaxTags {
			all = append(all, fmt.Sprint("tag", i))
		}
		for _, tag := range all {
			s.set("key", "v", time.Minute, all...)
			s.hit("key", "v", "after Set with as many tags as Options.MaxTags allows")
			s.invalidate(tag)
			s.miss("key", "after InvalidateTags of one of its tags")
		}
	}},
}

// hugeSizes are sizes of values that the strategy may refuse. The last one is larger than the
// capacity of an evicting strategy.
func (s *subject) hugeSizes() []driver.Size {
	limit := s.options.WithDefaults().MaxValueBytes
	sizes := []driver.Size{limit, limit + 1, 2 * limit}
	if !s.noEviction {
		sizes = append(sizes, max(2*limit, s.capacity)+1)
	}
	return sizes
}

// refusedOrStored checks that a Set or Fill of a huge value either stored it, or returned
// ErrValueTooLarge and hid the previous value.
func (s *subject) refusedOrStored(key, huge, when string, err error) {
	s.Helper()
	if err == nil {
		s.hit(key, huge, when+", which was accepted")
		return
	}
	if !errors.Is(err, driver.ErrValueTooLarge) {
		s.Errorf("%s: error %v, want cache.ErrValueTooLarge", when, err)
	}
	s.miss(key, when+", which was refused and hides what was there")
}
