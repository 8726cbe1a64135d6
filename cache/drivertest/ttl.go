package drivertest

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// long is a TTL that no check reaches. short is one that a check can wait for in real time.
const (
	long  = time.Hour
	short = 100 * time.Millisecond
)

const century = 100 * 365 * 24 * time.Hour

var invalidTTLs = []time.Duration{0, -1, -time.Millisecond, -1500 * time.Millisecond, math.MinInt64}

// ttls checks that entries live exactly as long as their TTL.
var ttls = []check{
	{"OneMillisecond", expiresAfter(time.Millisecond)},
	{"BelowAMillisecond", expiresAfter(time.Nanosecond)},
	// Vendure rounded to seconds and refused it
	{"SubSecond", expiresAfter(499 * time.Millisecond)},
	{"SecondsAndMilliseconds", expiresAfter(1001 * time.Millisecond)},
	{"Hour", expiresAfter(time.Hour)},
	{"Month", expiresAfter(720 * time.Hour)},
	{"Century", expiresAfter(century)},
	{"LongestDuration", func(s *subject) {
		// Added to the current time, this TTL overflows nanoseconds since 1970. The entry might
		// then expire at once, or never.
		s.set("key", "v", math.MaxInt64)
		s.hit("key", "v", "after Set with the longest TTL there is")
		s.elapse(short)
		s.hit("key", "v", "some time after Set with the longest TTL there is")
	}},
	{"MaxTTL", func(s *subject) { expiresAfter(s.options.WithDefaults().MaxTTL)(s) }},
	{"ResetShortens", func(s *subject) {
		s.set("key", "old", long)
		s.expires("new", short, func() { s.set("key", "new", short) })
	}},
	{"ResetProlongs", func(s *subject) {
		s.set("key", "old", short)
		s.set("key", "new", long)
		s.elapse(2*short + s.granularity)
		s.hit("key", "new", "after the TTL of the replaced entry, within its own")
	}},
	{"EntriesExpireSeparately", func(s *subject) {
		s.set("later", "2", long)
		s.set("sooner", "1", short)
		s.elapse(2*short + s.granularity)
		s.miss("sooner", "after its TTL")
		s.hit("later", "2", "after the TTL of another entry")
	}},
	{"ReadingDoesNotProlong", func(s *subject) {
		s.expires("v", short, func() {
			s.set("key", "v", short)
			s.hit("key", "v", "after Set")
		})
	}},
	{"InvalidTTL", func(s *subject) {
		for i, ttl := range invalidTTLs {
			when := fmt.Sprintf("after Set with TTL %v", ttl)
			for key, prepare := range map[string]func(key string){
				fmt.Sprint("fresh", i):  func(string) {},
				fmt.Sprint("stored", i): func(key string) { s.set(key, "old", time.Minute, "tag") },
			} {
				prepare(key)
				err := s.strategy.Set(s.ctx, s.physical(key), []byte("new"), s.opts(ttl))
				if !errors.Is(err, driver.ErrInvalidTTL) {
					s.Errorf("Set with TTL %v: %v, want cache.ErrInvalidTTL", ttl, err)
				}
				s.miss(key, when+", which stores nothing and hides what was there")
			}
		}
	}},
}

func expiresAfter(ttl time.Duration) func(s *subject) {
	return func(s *subject) {
		s.expires("v", ttl, func() { s.set("key", "v", ttl) })
		s.set("key", "again", time.Minute)
		s.hit("key", "again", "after expiry and Set")
	}
}

// expires checks that "key", which write stores with value and ttl, can be read for ttl and no
// longer. A positive TTL below a millisecond counts as one millisecond.
func (s *subject) expires(value string, ttl time.Duration, write func()) {
	s.Helper()
	ttl = max(ttl, time.Millisecond)
	if s.clock == nil {
		s.expiresForReal(value, ttl, write)
		return
	}
	write()
	if alive := ttl - s.granularity; alive >= 0 {
		s.clock.Advance(alive)
		s.hit("key", value, fmt.Sprintf("%v after Set with TTL %v", alive, ttl))
		s.clock.Advance(s.granularity)
	} else {
		s.clock.Advance(ttl)
	}
	s.clock.Advance(s.granularity - time.Millisecond)
	s.miss("key", fmt.Sprintf("%v after Set with that TTL", ttl))
}

// expiresForReal is expires in real time. It needs no tolerance for slow machines: it only checks
// what must be true at whatever moment between its start and its end each write and read took
// effect.
func (s *subject) expiresForReal(value string, ttl time.Duration, write func()) {
	s.Helper()
	begin := time.Now()
	write()
	end := time.Now()
	if ttl > s.patience/2 {
		s.hit("key", value, fmt.Sprintf("at once after Set with TTL %v", ttl))
		return
	}
	s.eventually("the entry to expire", func() bool {
		asked := time.Now()
		got, found := s.get("key")
		answered := time.Now()
		switch {
		case found && got != value:
			s.Fatalf("Get = %s, want %s", show(got), show(value))
		case found && asked.After(end.Add(ttl+s.granularity)):
			s.Fatalf("Get is a hit %v after Set with TTL %v", asked.Sub(end), ttl)
		case !found && answered.Before(begin.Add(ttl-s.granularity)):
			s.Fatalf("Get is a miss %v after Set with TTL %v", answered.Sub(begin), ttl)
		}
		return !found
	})
}
