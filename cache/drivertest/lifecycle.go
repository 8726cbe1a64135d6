package drivertest

import (
	"bytes"
	"context"
	"runtime/pprof"
	"sync"
	"time"
)

// lifecycle checks that Init, use and Destroy, in any order, leave nothing behind. These checks
// call Init themselves. They also hold for a strategy that stores nothing.
var lifecycle = []check{
	{"InitUseDestroy", func(s *subject) {
		s.init()
		s.use()
		s.destroy()
	}},
	{"DestroyTwice", func(s *subject) {
		s.init()
		s.use()
		s.destroy()
		s.destroy()
	}},
	{"DestroyBeforeInit", func(s *subject) {
		s.destroy()
		s.init()
		s.use()
	}},
	{"InitAgain", func(s *subject) {
		for range 3 {
			s.init()
			s.use()
			s.destroy()
		}
	}},
	{"UseAfterDestroy", func(s *subject) {
		s.init()
		s.set("key", "v", time.Minute, "tag")
		s.destroy()
		// The strategy decides whether these fail. They must return, and not panic.
		s.promptly("after Destroy", func() {
			if value, found, err := s.strategy.Get(s.ctx, s.physical("key")); found && err != nil {
				s.Errorf("Get after Destroy: both the hit %s and error %v", show(string(value)), err)
			}
			_ = s.strategy.Set(s.ctx, s.physical("key"), []byte("v"), s.opts(time.Minute, "tag"))
			_ = s.strategy.Delete(s.ctx, s.physical("key"))
			_ = s.strategy.InvalidateTags(s.ctx, s.physical("tag"))
			if l := s.features.Leaser; l != nil {
				_, _, lease, _ := l.GetOrLease(s.ctx, s.physical("other"))
				if lease != nil {
					_, _ = l.Fill(s.ctx, lease, []byte("v"), s.opts(time.Minute))
				}
			}
		})
	}},
	{"DestroyWhileInUse", func(s *subject) {
		s.init()
		var work sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			work.Go(func() {
				for {
					select {
					case <-stop:
						return
					default: // these may fail after Destroy, but must not race with it
						_ = s.strategy.Set(s.ctx, s.physical("key"), []byte("v"), s.opts(time.Minute, "tag"))
						_, _, _ = s.strategy.Get(s.ctx, s.physical("key"))
						_ = s.strategy.InvalidateTags(s.ctx, s.physical("tag"))
					}
				}
			})
		}
		s.destroy()
		close(stop)
		work.Wait()
	}},
	{"GoroutinesEnd", func(s *subject) {
		// Goroutines inherit labels, so the goroutines of parallel tests are not counted.
		label := s.options.Namespace
		pprof.Do(s.ctx, pprof.Labels("drivertest", label), func(context.Context) {
			for range 2 {
				s.init()
				s.use()
				s.destroy()
			}
		})
		var profile bytes.Buffer
		s.eventually("the strategy's goroutines to end after Destroy", func() bool {
			profile.Reset()
			if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
				s.Fatalf("cannot list goroutines: %v", err)
			}
			return !bytes.Contains(profile.Bytes(), []byte(label))
		})
	}},
	{"EndedContext", func(s *subject) {
		s.init()
		ended, cancel := context.WithCancel(s.ctx)
		cancel()
		key := s.physical("key")
		s.promptly("with an ended context", func() {
			if value, found, err := s.strategy.Get(ended, key); found {
				s.Errorf("Get of a missing key with an ended context: found %s, error %v", show(string(value)), err)
			}
			if err := s.strategy.Set(ended, key, []byte("v"), s.opts(time.Minute)); err != nil {
				s.miss("key", "after Set with an ended context, which returned an error")
			}
			s.set("stored", "v", time.Minute, "tag")
			if err := s.strategy.InvalidateTags(ended, s.physical("tag")); err == nil {
				s.miss("stored", "after InvalidateTags with an ended context, which returned nil")
			}
			s.set("stored", "v", time.Minute)
			if err := s.strategy.Delete(ended, s.physical("stored")); err == nil {
				s.miss("stored", "after Delete with an ended context, which returned nil")
			}
			s.set("replaced", "old", time.Minute)
			if err := s.strategy.Set(ended, s.physical("replaced"), []byte("new"), s.opts(time.Minute)); err != nil {
				if got, found := s.get("replaced"); found && got != "old" {
					s.Errorf("after Set with an ended context, which returned an error: Get = %s", show(got))
				}
			} else if got, found := s.get("replaced"); found && got != "new" {
				s.Errorf("after Set with an ended context, which returned nil: Get = %s, want the new value", show(got))
			}
		})
	}},
	{"EndedContextOfFill", func(s *subject) {
		l := s.features.Leaser
		if l == nil {
			s.Skip("the strategy is not a cache.Leaser")
		}
		s.init()
		ended, cancel := context.WithCancel(s.ctx)
		cancel()
		s.promptly("with an ended context", func() {
			lease, err := l.Lease(ended, s.physical("key"))
			if lease != nil && err != nil {
				s.Errorf("Lease with an ended context: both a lease and error %v", err)
			}
			if lease == nil {
				lease, err = l.Lease(s.ctx, s.physical("other"))
			}
			if lease == nil {
				s.Fatalf("Lease of an unused key: no lease, error %v", err)
			}
			stored, err := l.Fill(ended, lease, []byte("v"), s.opts(time.Minute))
			if stored && err != nil {
				s.Errorf("Fill with an ended context: both stored and error %v", err)
			}
			if value, found, _ := s.strategy.Get(s.ctx, lease.Key); found && !stored {
				s.Errorf("after Fill with an ended context, which stored nothing: Get = %s", show(string(value)))
			}
			_ = l.Release(ended, lease)
		})
	}},
}

// restart checks a strategy that was destroyed and initialised again. It may have forgotten its
// entries, but it must not have forgotten what was deleted.
var restart = []check{
	{"Works", func(s *subject) {
		s.set("before", "1", time.Minute)
		s.destroy()
		s.init()
		if got, found := s.get("before"); found && got != "1" {
			s.Errorf("after Destroy and Init: Get = %s, want what was stored, or a miss", show(got))
		}
		s.set("after", "2", time.Minute, "tag")
		s.hit("after", "2", "after Destroy, Init and Set")
		s.invalidate("tag")
		s.miss("after", "after Destroy, Init, Set and InvalidateTags")
	}},
	{"RevokedStaysRevoked", func(s *subject) {
		s.set("invalid", "1", time.Minute, "tag")
		s.set("deleted", "2", time.Minute)
		s.invalidate("tag")
		s.delete("deleted")
		s.destroy()
		s.init()
		s.miss("invalid", "after InvalidateTags, Destroy and Init")
		s.miss("deleted", "after Delete, Destroy and Init")
	}},
}

// leaseRestart checks that old leases are refused after a restart. Sequence numbers that start at
// zero again would make them look new.
var leaseRestart = []check{
	{"OldLease", func(s *subject) {
		for range 10 {
			s.delete("key")
			s.invalidate("learned")
		}
		first, second := s.lease("key"), s.lease("tagged")
		s.destroy()
		s.init()
		s.delete("key")
		s.invalidate("learned")
		s.refused(first, "of a lease from before Destroy and Init, after Delete of its key")
		s.refused(second, "of a lease from before Destroy and Init, after InvalidateTags of its tag")
		s.miss("key", "after a refused Fill")
		s.miss("tagged", "after a refused Fill")
	}},
}

// use calls most methods once.
func (s *subject) use() {
	s.Helper()
	s.set("key", "v", time.Minute, "tag")
	if got, found := s.get("key"); found != !s.noRetention || (found && got != "v") {
		s.Errorf("Get after Set: %s, found %t", show(got), found)
	}
	if l := s.features.Leaser; l != nil {
		lease, err := l.Lease(s.ctx, s.physical("leased"))
		if err != nil {
			s.Fatalf("Lease: %v", err)
		}
		s.release(lease)
	}
	s.invalidate("tag")
	s.delete("key")
	s.clear()
}

// promptly checks that f returns soon. when describes the situation, for the message.
func (s *subject) promptly(when string, f func()) {
	s.Helper()
	begin := time.Now()
	f()
	if took := time.Since(begin); took > s.patience {
		s.Errorf("operations %s took %v; want them to return promptly", when, took)
	}
}
