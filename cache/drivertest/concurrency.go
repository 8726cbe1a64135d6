package drivertest

import (
	"fmt"
	"hash/crc32"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// concurrency checks that no value is torn, mixed up or lost while many goroutines use the
// strategy.
var concurrency = []check{
	{"SameKey", func(s *subject) {
		var work sync.WaitGroup
		for i := range 8 {
			s.work(&work, func(s *subject) {
				for round := range s.count(500) {
					s.set("key", marked("key", i, round), time.Minute, "tag")
					runtime.Gosched()
					s.intact("key")
					if round%10 == i {
						s.delete("key")
					}
				}
			})
		}
		work.Wait()
		s.set("key", "last", time.Minute)
		s.hit("key", "last", "after many concurrent writes")
	}},
	{"DifferentKeys", func(s *subject) {
		var work sync.WaitGroup
		for i := range 8 {
			s.work(&work, func(s *subject) {
				for round := range s.count(500) {
					key := fmt.Sprint("key", i, "-", round%20)
					value := marked(key, i, round)
					s.set(key, value, time.Minute, fmt.Sprint("tag", i))
					s.hit(key, value, "after Set by the only writer of this key")
					switch round % 10 {
					case 3:
						s.delete(key)
						s.miss(key, "after Delete by the only writer of this key")
					case 7:
						s.invalidate(fmt.Sprint("tag", i))
						s.miss(key, "after InvalidateTags by the only writer with this tag")
					}
					if s.Failed() {
						return
					}
				}
			})
		}
		work.Wait()
	}},
	{"EverythingAtOnce", func(s *subject) {
		var work sync.WaitGroup
		l := s.features.Leaser
		for i := range 8 {
			s.work(&work, func(s *subject) {
				for round := range s.count(500) {
					key, tag := fmt.Sprint("key", (i+round)%16), fmt.Sprint("tag", round%4)
					switch (i + round/3) % 6 {
					case 0:
						s.set(key, marked(key, i, round), time.Minute, tag)
					case 1:
						s.delete(key, fmt.Sprint("key", round%16))
					case 2:
						s.invalidate(tag)
					case 3:
						if l != nil {
							s.fillMarked(l, key, i, round)
						}
					default:
						s.intact(key)
					}
					if s.clock != nil && round%50 == 0 {
						s.clock.Advance(time.Millisecond)
					}
				}
			})
		}
		work.Wait()
		for i := range 16 {
			s.intact(fmt.Sprint("key", i))
		}
	}},
}

// fillMarked fills key with a value that intact can check, if nobody else has the lease.
func (s *subject) fillMarked(l driver.Leaser, key string, writer, round int) {
	s.Helper()
	_, _, lease, err := l.GetOrLease(s.ctx, s.physical(key))
	if err != nil {
		s.Fatalf("GetOrLease: %v", err)
	}
	if lease == nil {
		return
	}
	if _, err := l.Fill(s.ctx, lease, []byte(marked(key, writer, round)), s.opts(time.Minute, "tag0")); err != nil {
		s.Fatalf("Fill: %v", err)
	}
}

// marked returns a value of varying length. The value shows which key it belongs to, and whether it
// is whole.
func marked(key string, writer, round int) string {
	body := fmt.Sprintf("%s|%d|%d|%s", key, writer, round, strings.Repeat("*", round%97))
	return fmt.Sprintf("%s|%08x", body, crc32.ChecksumIEEE([]byte(body)))
}

// intact checks that key is missing, or holds a value that marked made for it.
func (s *subject) intact(key string) {
	s.Helper()
	value, found := s.get(key)
	if !found {
		return
	}
	end := max(strings.LastIndexByte(value, '|'), 0)
	body := value[:end]
	if !strings.HasPrefix(body, key+"|") || value[end:] != fmt.Sprintf("|%08x", crc32.ChecksumIEEE([]byte(body))) {
		s.Fatalf("Get(%s) = %s, which is not a value that was ever stored under it", show(key), show(value))
	}
}
