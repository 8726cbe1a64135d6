package drivertest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// RunBenchmarks runs the benchmarks of a strategy. It initialises the strategy as Run does, but
// with the system's clock. Values have 371 bytes, the size of a session with two permissions. It
// heeds the options NoRetention, NoLeases and Container.
func RunBenchmarks(b *testing.B, newStrategy func(b testing.TB) driver.Strategy, options ...Option) {
	c := newConfig(append(options, WallClock()))
	value := strings.Repeat("v", 371)
	run := func(name string, f func(b *testing.B, s *subject)) {
		b.Run(name, func(b *testing.B) {
			s := newSubject(b, newStrategy(b), c)
			s.ctx = b.Context()
			s.init()
			f(b, s)
		})
	}
	if !c.noRetention {
		run("GetHit", func(b *testing.B, s *subject) {
			s.set("key", value, time.Hour, "tag")
			key := s.physical("key")
			b.ReportAllocs()
			for b.Loop() {
				if _, found, err := s.strategy.Get(s.ctx, key); err != nil || !found {
					b.Fatalf("Get: found %t, error %v", found, err)
				}
			}
		})
	}
	run("GetMiss", func(b *testing.B, s *subject) {
		key := s.physical("missing")
		b.ReportAllocs()
		for b.Loop() {
			if _, found, err := s.strategy.Get(s.ctx, key); err != nil || found {
				b.Fatalf("Get: found %t, error %v", found, err)
			}
		}
	})
	run("Set", func(b *testing.B, s *subject) {
		keys, opts, bytes := s.physicals(numbered(1024)), s.opts(time.Hour, "tag1", "tag2"), []byte(value)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := s.strategy.Set(s.ctx, keys[i%len(keys)], bytes, opts); err != nil {
				b.Fatal(err)
			}
		}
	})
	if !c.noLeases && !c.noRetention {
		run("GetOrLeaseAndFill", func(b *testing.B, s *subject) {
			l, opts, bytes := s.leaser(), s.opts(time.Hour, "tag1", "tag2"), []byte(value)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, _, lease, err := l.GetOrLease(s.ctx, s.physical(fmt.Sprint("key", i)))
				if err != nil || lease == nil {
					b.Fatalf("GetOrLease: lease %t, error %v", lease != nil, err)
				}
				if _, err := l.Fill(s.ctx, lease, bytes, opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("Delete", func(b *testing.B, s *subject) {
		s.set("key", value, time.Hour, "tag")
		key := s.physical("key")
		b.ReportAllocs()
		for b.Loop() {
			if err := s.strategy.Delete(s.ctx, key); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, entries := range []int{10, 1000} {
		run(fmt.Sprintf("InvalidateTags/entries=%d", entries), func(b *testing.B, s *subject) {
			keys, rounds, spent := numbered(entries), 0, time.Duration(0)
			for ; b.Loop(); rounds++ {
				for _, key := range keys {
					s.set(key, "v", time.Hour, "tag")
				}
				begin := time.Now()
				s.invalidate("tag")
				spent += time.Since(begin)
			}
			// This replaces ns/op by the time of the invalidations alone. Stopping the timer during
			// the Sets instead would make the loop run for minutes.
			b.ReportMetric(float64(spent.Nanoseconds())/float64(rounds), "ns/op")
		})
	}
	run("ParallelMix", func(b *testing.B, s *subject) {
		// Nine reads for each write, and a revocation now and then.
		names := numbered(1024)
		keys, opts, bytes := s.physicals(names), s.opts(time.Hour, "tag"), []byte(value)
		for _, key := range names {
			s.set(key, value, time.Hour, "tag")
		}
		var worker atomic.Int64
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for i := int(worker.Add(1)) * 101; pb.Next(); i++ {
				key := keys[i*31%len(keys)]
				var err error
				switch {
				case i%1000 == 0:
					err = s.strategy.Delete(s.ctx, key)
				case i%10 == 0:
					err = s.strategy.Set(s.ctx, key, bytes, opts)
				default:
					_, _, err = s.strategy.Get(s.ctx, key)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("key", i)
	}
	return names
}
