package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// batches checks that a driver.Batcher answers for many keys as Get and Set do for one after the
// other.
var batches = []check{
	{"NoKeys", func(s *subject) {
		b := s.batcher()
		if results := b.GetMany(s.ctx, nil, nil); len(results) != 0 {
			s.Errorf("GetMany of no key: %d results", len(results))
		}
		if failures := b.SetMany(s.ctx, nil); len(failures) != 0 {
			s.Errorf("SetMany of no item: %d errors", len(failures))
		}
	}},
	{"GetManyIsGet", func(s *subject) {
		s.set("hit", "1", long)
		s.set("empty", "", long)
		s.set("tagged", "2", long, "tag", "other")
		s.set("deleted", "3", long, "tag")
		s.set("invalidated", "4", long, "gone", "tag")
		s.set("replaced", "5", long, "gone")
		s.set("expired", "6", short)
		s.delete("deleted")
		s.invalidate("gone")
		s.set("replaced", "7", long, "tag")
		s.set("later", "8", long, "gone") // the tag is in use again
		s.elapse(short + s.granularity)
		s.agree("after all kinds of writes", "hit", "missing", "tagged", "deleted", "empty", "invalidated", "expired", "replaced", "later")
		s.invalidate("other")
		s.agree("after InvalidateTags of a tag of one of them", "hit", "tagged", "replaced")
	}},
	{"Duplicates", func(s *subject) {
		s.set("a", "1", time.Minute)
		s.agree("with keys twice", "a", "missing", "a", "b", "missing", "a")
		results := s.batcher().GetMany(s.ctx, s.physicals([]string{"a", "a"}), nil)
		if len(results) == 2 && len(results[0].Value) > 0 && len(results[1].Value) > 0 {
			results[0].Value[0] = 'x'
			if string(results[1].Value) != "1" {
				s.Errorf("two results share their bytes")
			}
		}
	}},
	{"ValuesBelongToTheCaller", func(s *subject) {
		value := []byte("value")
		tags := s.physicals([]string{"tag"})
		items := []driver.Item{{Key: s.physical("a"), Value: value, Options: driver.SetOptions{TTL: time.Minute, Tags: tags}}}
		s.setMany(items)
		copy(value, "xxxxx")
		tags[0] = s.physical("xxx")
		items[0].Key = s.physical("x")
		s.hit("a", "value", "after the caller changed what it gave to SetMany")
		for range 2 {
			for _, r := range s.batcher().GetMany(s.ctx, s.physicals([]string{"a"}), nil) {
				if string(r.Value) != "value" {
					s.Errorf("GetMany = %s after the caller changed an earlier result", show(string(r.Value)))
				}
				copy(r.Value, "xxxxx")
			}
		}
		s.invalidate("tag")
		s.miss("a", "after InvalidateTags of the tag that SetMany gave it")
	}},
	{"SetManyIsSet", func(s *subject) {
		s.set("replaced", "old", long, "before")
		s.setMany([]driver.Item{
			{Key: s.physical("replaced"), Value: []byte("new"), Options: s.opts(long, "after")},
			{Key: s.physical("plain"), Value: []byte("1"), Options: s.opts(long)},
			{Key: s.physical("short"), Value: []byte("2"), Options: s.opts(short, "after")},
			{Key: s.physical("nil"), Options: s.opts(long, "tag", "tag")},
		})
		s.invalidate("before")
		s.hit("replaced", "new", "after InvalidateTags of a tag that only the replaced entry had")
		s.hit("plain", "1", "after SetMany")
		if s.clock != nil { // or it may have expired
			s.hit("short", "2", "after SetMany")
		}
		s.hit("nil", "", "after SetMany of a nil value")
		s.agree("after SetMany", "replaced", "plain", "nil")
		s.elapse(short + s.granularity)
		s.miss("short", "after its TTL")
		s.hit("replaced", "new", "after the TTL of another item")
		s.invalidate("after")
		s.miss("replaced", "after InvalidateTags of a tag that SetMany gave it")
		s.hit("plain", "1", "after InvalidateTags of a tag that another item has")
		s.hit("nil", "", "after InvalidateTags of a tag that another item has")
	}},
	{"RefusedItems", func(s *subject) {
		for _, key := range []string{"zero", "negative", "good"} {
			s.set(key, "old", time.Minute)
		}
		failures := s.batcher().SetMany(s.ctx, []driver.Item{
			{Key: s.physical("zero"), Value: []byte("new"), Options: s.opts(0)},
			{Key: s.physical("good"), Value: []byte("new"), Options: s.opts(time.Minute)},
			{Key: s.physical("negative"), Value: []byte("new"), Options: s.opts(-time.Second)},
		})
		if len(failures) != 3 || !errors.Is(failures[0], driver.ErrInvalidTTL) || failures[1] != nil || !errors.Is(failures[2], driver.ErrInvalidTTL) {
			s.Errorf("SetMany with TTLs of 0, a minute and -1 s: %v, want cache.ErrInvalidTTL for the first and the last", failures)
		}
		s.hit("good", "new", "after SetMany, where others were refused")
		s.miss("zero", "after SetMany with a TTL of 0, which hides what was there")
		s.miss("negative", "after SetMany with a TTL of -1 s, which hides what was there")
	}},
	{"HugeItems", func(s *subject) {
		for i, size := range s.hugeSizes() {
			key, huge := fmt.Sprint("huge", i), strings.Repeat("h", int(size))
			s.set(key, "old", time.Minute)
			failures := s.batcher().SetMany(s.ctx, []driver.Item{{Key: s.physical(key), Value: []byte(huge), Options: s.opts(time.Minute)}})
			if len(failures) != 1 {
				s.Fatalf("SetMany of 1 item: %d errors", len(failures))
			}
			s.refusedOrStored(key, huge, fmt.Sprintf("after SetMany of %d bytes", size), failures[0])
			s.delete(key)
		}
	}},
	{"ManyKeys", func(s *subject) {
		const n = 1500
		items, keys := make([]driver.Item, n), make([]string, n)
		for i := range n {
			keys[i] = fmt.Sprint("key", i)
			items[i] = driver.Item{Key: s.physical(keys[i]), Value: []byte(fmt.Sprint("v", i)), Options: s.opts(time.Minute, "all", fmt.Sprint("own", i%10))}
		}
		s.setMany(items)
		s.invalidate("own3")
		results := s.batcher().GetMany(s.ctx, s.physicals(keys), s.physicals([]string{"all"}))
		if len(results) != n {
			s.Fatalf("GetMany of %d keys: %d results", n, len(results))
		}
		for i, r := range results {
			if want := i%10 != 3; r.Err != nil || r.Found != want || want && string(r.Value) != fmt.Sprint("v", i) {
				s.Fatalf("GetMany, key %d of %d: %s, found %t, error %v", i, n, show(string(r.Value)), r.Found, r.Err)
			}
		}
	}},
	{"SetManyEndsLeases", func(s *subject) {
		leaser := s.features.Leaser
		if b := s.batcher(); leaser == nil || b == nil {
			s.Skip("the strategy is not a cache.Leaser")
		}
		lease, err := leaser.Lease(s.ctx, s.physical("key"))
		if err != nil || lease == nil {
			s.Fatalf("Lease: %v, %v", lease, err)
		}
		s.setMany([]driver.Item{{Key: s.physical("key"), Value: []byte("new"), Options: s.opts(time.Minute)}})
		if stored, err := leaser.Fill(s.ctx, lease, []byte("old"), s.opts(time.Minute)); stored || err != nil {
			s.Errorf("Fill after SetMany of its key: stored %t, error %v", stored, err)
		}
		s.hit("key", "new", "after SetMany and a Fill under an older lease")
	}},
	{"EndedContext", func(s *subject) {
		b := s.batcher()
		s.set("a", "1", time.Minute)
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		// A strategy that never waits may answer all the same. Its answers must then be true.
		if results := b.GetMany(ctx, s.physicals([]string{"a", "missing"}), nil); len(results) != 2 {
			s.Errorf("GetMany of 2 keys with an ended context: %d results", len(results))
		} else if r := results[0]; r.Err == nil && (!r.Found || string(r.Value) != "1") {
			s.Errorf("GetMany with an ended context: a miss without an error")
		}
		failures := b.SetMany(ctx, []driver.Item{{Key: s.physical("b"), Value: []byte("2"), Options: s.opts(time.Minute)}})
		if len(failures) != 1 {
			s.Errorf("SetMany of 1 item with an ended context: %d errors", len(failures))
		} else if failures[0] == nil {
			s.hit("b", "2", "after SetMany, which returned no error")
		}
	}},
}

// batcher returns the strategy as a Batcher, and skips the check if it is not one.
func (s *subject) batcher() driver.Batcher {
	s.Helper()
	b := s.features.Batcher
	if b == nil {
		s.Skip("the strategy is not a cache.Batcher")
	}
	return b
}

func (s *subject) setMany(items []driver.Item) {
	s.Helper()
	failures := s.batcher().SetMany(s.ctx, items)
	if err := errors.Join(failures...); err != nil || len(failures) != len(items) {
		s.Fatalf("SetMany of %d items: %d errors: %v", len(items), len(failures), err)
	}
}

// agree checks that GetMany answers as Get does, with any hint, and also when it is asked again.
func (s *subject) agree(when string, keys ...string) {
	s.Helper()
	for i, hint := range [][]string{nil, nil, {}, {"tag", "other", "gone"}, {"unknown"}, nil} {
		if hint != nil {
			hint = slices.Clip(s.physicals(hint))
		}
		results := s.batcher().GetMany(s.ctx, s.physicals(keys), hint)
		if len(results) != len(keys) {
			s.Fatalf("%s: GetMany of %d keys: %d results", when, len(keys), len(results))
		}
		for j, r := range results {
			want, found := s.get(keys[j])
			if r.Err != nil || r.Found != found || string(r.Value) != want {
				s.Errorf("%s, hint %d: GetMany(%s) = %s, %t, %v; Get = %s, %t", when, i, show(keys[j]), show(string(r.Value)), r.Found, r.Err, show(want), found)
			}
		}
	}
}
