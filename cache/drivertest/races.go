package drivertest

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// races runs invalidations and writes at the same moment, in real goroutines.
var races = []check{
	{"SetAgainstInvalidate", func(s *subject) {
		// A strategy that first collects a tag's keys and then deletes them loses a key that is
		// added in between. No later invalidation finds it.
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
				s.staysMissing(fmt.Sprint("key", i), "after Set and InvalidateTags at the same time, and InvalidateTags once more")
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
			s.staysMissing("key", "after Set and Delete at the same time, and Delete once more")
			if s.Failed() {
				return
			}
		}
	}},
	{"InvalidateThenSet", func(s *subject) {
		// An invalidation that goes on after it has returned would hide the next value that is set.
		var work sync.WaitGroup
		for i := range 4 {
			s.work(&work, func(s *subject) {
				key, tag := fmt.Sprint("key", i), fmt.Sprint("tag", i)
				for round := range s.count(500) {
					s.invalidate(tag)
					s.set(key, strconv.Itoa(round), time.Minute, tag)
					runtime.Gosched()
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

// leaseRaces is like heldLoader, but every loader, writer and reader has a goroutine of its own.
var leaseRaces = []check{
	{"FillAgainstInvalidate", fillAgainst(func(s *subject) { s.invalidate("static") })},
	{"FillAgainstInvalidateLearned", fillAgainst(func(s *subject) { s.invalidate("other", "learned") })},
	{"FillAgainstDelete", fillAgainst(func(s *subject) { s.delete("key") })},
	{"FillAgainstClear", fillAgainst(func(s *subject) {
		if !s.clear() {
			s.delete("key")
		}
	})},
	{"FillAgainstSet", func(s *subject) {
		for round := range s.count(1000) {
			lease := s.lease("key")
			s.together(round,
				func(s *subject) { s.set("key", "newer", time.Minute) },
				func(s *subject) { s.fillOrNot(lease, "stale") })
			s.hit("key", "newer", "after Fill and Set at the same time, which Fill must not overwrite")
			s.delete("key")
			if s.Failed() {
				return
			}
		}
	}},
	{"VersionsNeverGoBack", neverGoBack},
	{"OneHolder", func(s *subject) {
		l := s.leaser()
		for round := range s.count(300) {
			var work sync.WaitGroup
			var granted atomic.Int64
			for range 8 {
				s.work(&work, func(s *subject) {
					_, found, lease, err := l.GetOrLease(s.ctx, s.physical(fmt.Sprint("key", round)))
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

// fillAgainst runs invalidate at the same time as a Fill with a value from before it. When both
// have returned, the value must not be readable, whichever was first.
func fillAgainst(invalidate func(s *subject)) func(s *subject) {
	return func(s *subject) {
		for round := range s.count(1000) {
			lease := s.lease("key")
			s.together(round, invalidate, func(s *subject) { s.fillOrNot(lease, "stale", "static", "learned") })
			s.staysMissing("key", "after Fill and a revocation at the same time")
			s.delete("key")
			if s.Failed() {
				return
			}
		}
	}
}

// neverGoBack runs loaders and readers at the same time as writers that commit and then invalidate.
// A read that starts after an invalidation has returned must not see an older version than that one
// announced.
func neverGoBack(s *subject) {
	l := s.leaser()
	key := s.physical("key")
	var database, floor atomic.Int64
	database.Store(1)
	check := func(least int64, value string) {
		if version, err := strconv.ParseInt(value, 10, 64); err != nil || version < least {
			s.Errorf("a read served version %s, although the invalidation of version %d had returned before", show(value), least)
		}
	}
	read := func(s *subject) {
		least := floor.Load()
		if value, found := s.get("key"); found {
			check(least, value)
		}
	}
	load := func(s *subject) {
		least := floor.Load()
		value, found, lease, err := l.GetOrLease(s.ctx, key)
		switch {
		case err != nil:
			s.Fatalf("GetOrLease: %v", err)
		case found:
			check(least, string(value))
		case lease != nil:
			version := strconv.FormatInt(database.Load(), 10)
			runtime.Gosched()
			s.fillOrNot(lease, version, "static", "learned")
		}
	}
	write := func(s *subject, i int) {
		version := database.Add(1)
		switch i % 3 {
		case 0:
			s.invalidate("learned")
		case 1:
			s.invalidate("static")
		default:
			s.delete("key")
		}
		for old := floor.Load(); old < version && !floor.CompareAndSwap(old, version); {
			old = floor.Load()
		}
	}

	var writers, others sync.WaitGroup
	for range 2 {
		s.work(&writers, func(s *subject) {
			for i := range s.count(1000) {
				write(s, i)
				for range 3 { // so that the others have time to go wrong
					runtime.Gosched()
					read(s)
				}
			}
		})
	}
	done := make(chan struct{})
	for range 3 {
		s.work(&others, func(s *subject) {
			for !s.Failed() {
				select {
				case <-done:
					return
				default:
					load(s)
					// otherwise it takes a core from the writers for 10 ms at a time
					runtime.Gosched()
				}
			}
		})
	}
	writers.Wait()
	close(done)
	others.Wait()
	read(s)
}

// together runs both functions at the same time. In each round, one starts a little earlier or
// later.
func (s *subject) together(round int, one, other func(s *subject)) {
	var work sync.WaitGroup
	start := make(chan struct{})
	for i, f := range []func(s *subject){one, other} {
		s.work(&work, func(s *subject) {
			<-start
			for range round >> (2 * i) % 4 {
				runtime.Gosched()
			}
			f(s)
		})
	}
	close(start)
	work.Wait()
}

// staysMissing checks that key cannot be read, now and a moment later.
func (s *subject) staysMissing(key, when string) {
	s.Helper()
	for range 3 {
		s.miss(key, when)
		runtime.Gosched()
	}
	s.miss(key, when)
}

// fillOrNot fills with a lease that may have been revoked. The Fill may be stored or refused.
func (s *subject) fillOrNot(lease *driver.Lease, value string, tags ...string) {
	s.Helper()
	if _, err := s.leaser().Fill(s.ctx, lease, []byte(value), s.opts(time.Minute, tags...)); err != nil {
		s.Errorf("Fill: %v", err)
	}
}
