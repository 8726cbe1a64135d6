package drivertest

import (
	"fmt"
	"slices"
	"time"
)

// tagging checks that InvalidateTags hides every entry with any of the tags that was written
// before, and no other entry.
var tagging = []check{
	{"OneTag", func(s *subject) {
		s.set("a", "1", time.Minute, "red")
		s.set("b", "2", time.Minute, "blue")
		s.set("c", "3", time.Minute)
		s.invalidate("red")
		s.miss("a", "after InvalidateTags of its tag")
		s.hit("b", "2", "after InvalidateTags of a tag that it does not have")
		s.hit("c", "3", "after InvalidateTags, with no tag at all")
	}},
	{"SeveralTags", func(s *subject) {
		s.set("red", "1", time.Minute, "red")
		s.set("blue", "2", time.Minute, "blue")
		s.set("both", "3", time.Minute, "red", "blue")
		s.set("green", "4", time.Minute, "green")
		s.invalidate("red", "blue", "unknown")
		for _, key := range []string{"red", "blue", "both"} {
			s.miss(key, "after InvalidateTags of red, blue and an unknown tag")
		}
		s.hit("green", "4", "after InvalidateTags of red and blue")
	}},
	{"AnyTagOfAnEntry", func(s *subject) {
		all := []string{"one", "two", "three", "four"}
		for _, tag := range all {
			s.set("key", tag, time.Minute, all...)
			s.hit("key", tag, "after Set with four tags")
			s.invalidate(tag)
			s.miss("key", "after InvalidateTags of its tag "+tag)
		}
	}},
	{"HundredKeys", func(s *subject) { s.invalidatesAll(100) }},
	// Vendure's SQL strategy skipped every key after the first batch of 1,000.
	{"FiveThousandKeys", func(s *subject) { s.invalidatesAll(5_000) }},
	{"ResetReplacesTags", func(s *subject) {
		s.set("key", "old", time.Minute, "before", "always")
		s.set("key", "new", time.Minute, "always", "after")
		s.invalidate("before")
		s.hit("key", "new", "after InvalidateTags of a tag that only the replaced entry had")
		s.invalidate("after")
		s.miss("key", "after InvalidateTags of a tag that the second Set gave it")
	}},
	{"ResetWithoutTags", func(s *subject) {
		s.set("key", "old", time.Minute, "tag")
		s.set("key", "new", time.Minute)
		s.invalidate("tag")
		s.hit("key", "new", "after InvalidateTags of a tag that only the replaced entry had")
	}},
	{"ResetAddsTags", func(s *subject) {
		s.set("key", "old", time.Minute)
		s.set("key", "new", time.Minute, "tag")
		s.invalidate("tag")
		s.miss("key", "after InvalidateTags of a tag that the second Set gave it")
	}},
	{"NothingToInvalidate", func(s *subject) {
		s.set("key", "v", time.Minute, "tag")
		s.invalidate()
		s.invalidate("unknown")
		s.hit("key", "v", "after InvalidateTags of no tag and of an unknown one")
	}},
	{"Duplicates", func(s *subject) {
		s.set("twice", "v", time.Minute, "tag", "tag", "other", "tag")
		s.hit("twice", "v", "after Set with the same tag twice")
		s.invalidate("tag", "tag")
		s.miss("twice", "after InvalidateTags with the same tag twice")
	}},
	{"SetAfterInvalidation", func(s *subject) {
		s.invalidate("tag") // before any entry had it
		for i := range 100 {
			value := fmt.Sprint("v", i)
			s.set("key", value, time.Minute, "tag")
			s.hit("key", value, "after Set with a tag that was invalidated before")
			s.invalidate("tag")
			s.miss("key", "after InvalidateTags of its tag")
		}
	}},
	{"SetAfterDelete", func(s *subject) {
		s.set("key", "old", time.Minute, "tag")
		s.invalidate("tag")
		s.delete("key")
		s.set("key", "new", time.Minute, "tag")
		s.hit("key", "new", "after InvalidateTags, Delete and Set")
		s.delete("key")
		s.set("key", "newer", time.Minute)
		s.invalidate("tag")
		s.hit("key", "newer", "after Delete, Set without tags and InvalidateTags of a former tag")
	}},
	{"InvalidatedForGood", func(s *subject) {
		s.set("key", "old", time.Minute, "tag")
		s.invalidate("tag")
		s.set("other", "1", time.Minute, "tag")
		s.invalidate("unknown")
		s.miss("key", "after InvalidateTags, and another Set with the same tag")
		s.hit("other", "1", "after Set with a tag that was invalidated before")
	}},
	{"ExpiryDoesNotRevive", func(s *subject) {
		// Metadata of a tag must live as long as the entry with the longest TTL.
		s.set("long", "1", long, "tag")
		s.set("short", "2", short, "tag")
		s.elapse(2*short + s.granularity)
		s.hit("long", "1", "after another entry of its tag expired")
		s.invalidate("tag")
		s.set("short", "3", short, "tag")
		s.elapse(2*short + s.granularity)
		s.miss("long", "after InvalidateTags, and a short-lived Set with the same tag")
	}},
	{"ManyInvalidatedTags", func(s *subject) {
		s.set("invalid", "1", long, "early")
		s.set("deleted", "2", long, "tag0")
		s.set("survivor", "3", long, "late")
		s.invalidate("early")
		s.delete("deleted")
		s.invalidateMany()
		s.miss("invalid", "after InvalidateTags of its tag, and of very many others")
		s.miss("deleted", "after Delete, and InvalidateTags of very many tags")
		// To limit what it remembers of tags, a strategy may forget survivor, but it must not
		// corrupt it.
		if got, found := s.get("survivor"); found && got != "3" {
			s.Errorf("after InvalidateTags of very many tags: Get = %s, want %q or a miss", show(got), "3")
		}
		s.set("fresh", "4", long, "early", "tag0", "late")
		s.hit("fresh", "4", "after Set with tags that were invalidated before")
		s.invalidate("late")
		s.miss("fresh", "after InvalidateTags of its tag")
		s.miss("survivor", "after InvalidateTags of its tag")
	}},
}

// invalidatesAll checks that one call hides n entries, and no others.
func (s *subject) invalidatesAll(n int) {
	s.Helper()
	for i := range n {
		s.set(fmt.Sprint("key", i), "v", time.Minute, "all", fmt.Sprint("own", i))
		if i%10 == 0 {
			s.set(fmt.Sprint("neighbour", i), "n", time.Minute, fmt.Sprint("own", i))
		}
	}
	for _, i := range []int{0, n / 2, n - 1} {
		s.hit(fmt.Sprint("key", i), "v", fmt.Sprintf("after Set of %d entries", n))
	}
	s.invalidate("all")
	left := 0
	for i := range n {
		if _, found := s.get(fmt.Sprint("key", i)); found {
			left++
		}
		if i%10 == 0 {
			s.hit(fmt.Sprint("neighbour", i), "n", "after InvalidateTags of a tag that it does not have")
		}
	}
	if left > 0 {
		s.Errorf("after InvalidateTags of the tag of %d entries, %d can still be read", n, left)
	}
}

// invalidateMany invalidates 300,000 tags that no entry has, in batches: more than any strategy is
// likely to remember.
func (s *subject) invalidateMany() {
	s.Helper()
	all := make([]string, s.count(300_000))
	for i := range all {
		all[i] = fmt.Sprint("flood", i)
	}
	for batch := range slices.Chunk(all, 1000) {
		s.invalidate(batch...)
	}
}
