package drivertest

import (
	"fmt"
	"strings"
	"time"
)

// adversarial are names that a strategy with a naive layout confuses with one another, or with its
// own.
var adversarial = append([]string{
	"a", "A", "aa", "b", "a:", ":a", "a:a", ":", "::", "a:b", "0", "00", "1", "-1", "null", "x",
	// prefixes of a layout
	"tag:x", "tag:a", "tags:a", "key:a", "v:0:a", "l:0:a", "t:0:a", "g:0", "ns:a",
	// hash tags, globs, quotes
	"{}", "{a}", "{a}b", "{a}{b}", "*", "a*", "?", "[a]", "\\", "a\\", "'", "\"",
	"%", "%3A", "a%3Aa", "%25", "a/b", "../a", "a,b", "a|b", // escapes and separators
	"\x00", "a\x00", "\x00a", "a\x00b", "\x01", "\x7f", "\xff\xfe", // bytes
	" ", "a ", " a", "a b", "\t", "\n", "\r\n", "a\r\nDEL b", // white space and protocol
	"é", "e\u0301", "日本語", "🔑", "\u200b", "ſ", "İ", // UTF-8, with and without a normal form
}, long1024...)

// long1024 are names around the default limit that differ only in their last byte or in their
// length.
var long1024 = []string{
	strings.Repeat("k", 1022), strings.Repeat("k", 1023), strings.Repeat("k", 1024),
	strings.Repeat("k", 1023) + "l", "l" + strings.Repeat("k", 1023),
	strings.Repeat("k", 255), strings.Repeat("k", 256), strings.Repeat("k", 257),
}

// names checks that different keys are different entries, and different tags are different groups,
// whatever bytes they hold.
var names = []check{
	{"KeysKeepApart", func(s *subject) {
		for i, name := range adversarial {
			s.set(name, fmt.Sprint("v", i), time.Minute)
		}
		for i, name := range adversarial {
			s.hit(name, fmt.Sprint("v", i), "after Set of many odd keys")
		}
		for i, name := range adversarial {
			s.delete(name)
			s.miss(name, "after Delete")
			if i+1 < len(adversarial) {
				s.hit(adversarial[i+1], fmt.Sprint("v", i+1), "after Delete of other odd keys")
			}
			s.hit(adversarial[len(adversarial)-1-i/2], fmt.Sprint("v", len(adversarial)-1-i/2), "after Delete of other odd keys")
			s.set(name, fmt.Sprint("v", i), time.Minute)
		}
	}},
	{"TagsKeepApart", func(s *subject) {
		for i, name := range adversarial {
			s.set(fmt.Sprint("key", i), "v", time.Minute, name)
		}
		for i, name := range adversarial {
			s.hit(fmt.Sprint("key", i), "v", "after InvalidateTags of other odd tags")
			s.invalidate(name)
			s.miss(fmt.Sprint("key", i), "after InvalidateTags of its tag "+show(name))
		}
	}},
	{"KeysAndTagsKeepApart", func(s *subject) {
		for i, name := range adversarial {
			s.set(name, fmt.Sprint("v", i), time.Minute, "tag:x")
			s.set("tagged", "t", time.Minute, name)
			s.hit(name, fmt.Sprint("v", i), "after Set of another key with a tag of this name")
			s.delete(name)
			s.hit("tagged", "t", "after Delete of a key named as its tag, "+show(name))
			s.set(name, fmt.Sprint("v", i), time.Minute)
			s.invalidate(name)
			s.miss("tagged", "after InvalidateTags of its tag "+show(name))
			s.hit(name, fmt.Sprint("v", i), "after InvalidateTags of a tag named as the key")
		}
	}},
	{"AKeyTaggedByItsOwnName", func(s *subject) {
		for i, name := range adversarial {
			s.set(name, fmt.Sprint("v", i), time.Minute, name)
			s.hit(name, fmt.Sprint("v", i), "after Set with a tag of the same name")
			s.invalidate(name)
			s.miss(name, "after InvalidateTags of its own name")
		}
	}},
	{"JoinedTags", func(s *subject) {
		s.set("key", "v", time.Minute, "a", "b")
		for _, separator := range []string{"", " ", ",", ":", ";", "|", "\x00", "\n"} {
			s.invalidate("a" + separator + "b")
		}
		s.hit("key", "v", `after InvalidateTags of "a" and "b" joined to one name`)
		s.set("joined", "v", time.Minute, "a,b", "c d", "e\x00f")
		s.invalidate("a", "b", "c", "d", "e", "f")
		s.hit("joined", "v", "after InvalidateTags of the parts of its tags")
	}},
	{"LongestKeyWithManyTags", func(s *subject) {
		key := long1024[2]
		var tags []string
		for i := range s.options.WithDefaults().MaxTags {
			tags = append(tags, fmt.Sprintf("%01024d", i))
		}
		for _, tag := range []string{tags[0], tags[len(tags)/2], tags[len(tags)-1]} {
			s.set(key, "v", time.Minute, tags...)
			s.hit(key, "v", "after Set with as many tags as Options.MaxTags allows")
			s.invalidate(tag)
			s.miss(key, "after InvalidateTags of one of its tags")
		}
	}},
}
