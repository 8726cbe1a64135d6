package cachetest

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// races: invalidations against writes that run at the same moment, in real goroutines.
var races = []check{
	{"SetAgainstInvalidate", func(s *subject) {
		// Collecting a tag's keys and deleting them in two steps loses a key that joins in between:
		// no later invalidation finds it.
		const keys = 8
		for round := range s.count(300) {
			var work sync.WaitGroup
			for i := range keys {
				s.work(&work, func(s *subject) { s.set(fmt.Sprint("key", i), strconv.Itoa(round), time.Minute, "tag") })
				if i%4 == 0 {
					s.work(&work, func(s *subject) { s.invalidate("tag") })
				}
			}
			work.Wait()
			s.invalidate("tag")
			for i := range keys {
				s.miss(fmt.Sprint("key", i), "after Set and InvalidateTags at the same time, and InvalidateTags once more")
			}
			if s.Failed() {
				return
			}
		}
	}},
	{"SetAgainstDelete", func(s *subject) {
		for round := range s.count(300) {
			var work sync.WaitGroup
			for range 4 {
				s.work(&work, func(s *subject) { s.set("key", strconv.Itoa(round), time.Minute, "tag") })
				s.work(&work, func(s *subject) { s.delete("key") })
			}
			work.Wait()
			s.delete("key")
			s.miss("key", "after Set and Delete at the same time, and Delete once more")
			if s.Failed() {
				return
			}
		}
	}},
	{"InvalidateThenSet", func(s *subject) {
		// An invalidation that goes on after it returned would hide what is set next.
		var work sync.WaitGroup
		for i := range 4 {
			s.work(&work, func(s *subject) {
				key, tag := fmt.Sprint("key", i), fmt.Sprint("tag", i)
				for round := range s.count(500) {
					s.invalidate(tag)
					s.set(key, strconv.Itoa(round), time.Minute, tag)
					s.hit(key, strconv.Itoa(round), "after InvalidateTags and Set, while other tags are invalidated")
					if s.Failed() {
						return
					}
				}
			})
		}
		work.Wait()
	}},
}

// leaseRaces: the held loader again, with everybody in a goroutine of their own.
var leaseRaces = []check{
	{"FillAgainstInvalidate", fillAgainst(func(s *subject, i int) {
		switch i % 3 {
		case 0:
			s.invalidate("learned")
		case 1:
			s.invalidate("static")
		default:
			s.invalidate("static", "learned")
		}
	})},
	{"FillAgainstDelete", fillAgainst(func(s *subject, _ int) { s.delete("key") })},
	{"FillAgainstClear", fillAgainst(func(s *subject, _ int) {
		if !s.clear() {
			s.delete("key")
		}
	})},
	{"OneHolder", func(s *subject) {
		l := s.leaser()
		for round := range s.count(300) {
			var work sync.WaitGroup
			var granted atomic.Int64
			for range 8 {
				s.work(&work, func(s *subject) {
					_, found, lease, err := l.GetOrLease(s.ctx, s.physical(fmt.Sprint("key", round)), nil)
					if err != nil || found {
						s.Errorf("GetOrLease of a missing key: found %t, error %v", found, err)
					}
					if lease != nil {
						granted.Add(1)
					}
				})
			}
			work.Wait()
			if granted.Load() != 1 {
				s.Fatalf("%d of 8 concurrent GetOrLease received the lease, want 1", granted.Load())
			}
		}
	}},
}

// fillAgainst runs loaders and readers against writers that commit and then call invalidate. A read
// that starts after an invalidation returned must not see an older version than it announced.
func fillAgainst(invalidate func(s *subject, i int)) func(s *subject) {
	return func(s *subject) {
		l := s.leaser()
		key, static := s.physical("key"), s.physicals([]string{"static"})
		var database, floor atomic.Int64
		database.Store(1)
		judge := func(least int64, value string) {
			if version, err := strconv.ParseInt(value, 10, 64); err != nil || version < least {
				s.Errorf("a read served version %s, although the invalidation of version %d had returned before", show(value), least)
			}
		}
		var writers, others sync.WaitGroup
		for range 2 {
			s.work(&writers, func(s *subject) {
				for i := range s.count(1000) {
					version := database.Add(1)
					invalidate(s, i)
					for old := floor.Load(); old < version && !floor.CompareAndSwap(old, version); {
						old = floor.Load()
					}
					runtime.Gosched()
				}
			})
		}
		done := make(chan struct{})
		repeat := func(step func(s *subject)) {
			s.work(&others, func(s *subject) {
				for !s.Failed() {
					select {
					case <-done:
						return
					default:
						step(s)
						runtime.Gosched() // else it keeps a core from the writers for 10 ms at a time
					}
				}
			})
		}
		for range 3 {
			repeat(func(s *subject) {
				least := floor.Load()
				value, found, lease, err := l.GetOrLease(s.ctx, key, static)
				switch {
				case err != nil:
					s.Errorf("GetOrLease: %v", err)
				case found:
					judge(least, string(value))
				case lease != nil:
					version := strconv.FormatInt(database.Load(), 10)
					runtime.Gosched()
					if _, err := l.Fill(s.ctx, lease, []byte(version), s.opts(time.Minute, "static", "learned")); err != nil {
						s.Errorf("Fill: %v", err)
					}
				}
			})
		}
		repeat(func(s *subject) {
			least := floor.Load()
			if value, found := s.get("key"); found {
				judge(least, value)
			}
		})
		writers.Wait()
		close(done)
		others.Wait()
	}
}
