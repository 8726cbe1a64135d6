package redis_test

import (
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// A strategy remembers the tags of what it has read. When another node gives the entry other tags,
// they count at once, and the old ones no longer.
func TestLearnedTagsAreAGuess(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	reader, writer := start(t, server, redis.Options{}), start(t, server, redis.Options{})
	read := func(when string, want bool) {
		t.Helper()
		if found := reader.found("n:k"); found != want {
			t.Errorf("%s: found %t, want %t", when, found, want)
		}
	}
	invalidate := func(tag string) {
		t.Helper()
		writer.must(writer.InvalidateTags(t.Context(), tag))
	}
	for _, tags := range [][]string{{"n:a", "n:b"}, {"n:b"}, {}, {"n:c"}, {"n:c", "n:d", "n:e"}} {
		writer.set("n:k", time.Minute, tags...)
		for range 3 { // the first learns
			read("stored", true)
		}
		for _, tag := range []string{"n:a", "n:b", "n:c", "n:d", "n:e"} {
			carried := false
			for _, t := range tags {
				carried = carried || t == tag
			}
			invalidate(tag)
			read("invalidated "+tag, !carried)
			writer.set("n:k", time.Minute, tags...)
			read("stored again", true)
		}
		writer.must(writer.Delete(t.Context(), "n:k"))
		read("deleted", false)
	}
	writer.must(writer.Set(t.Context(), "n:k", nil, driver.SetOptions{TTL: time.Minute, Tags: []string{"n:a"}}))
	if value, found, err := reader.Get(t.Context(), "n:k"); len(value) != 0 || !found || err != nil {
		t.Errorf("an empty value: %q, %t, %v", value, found, err)
	}
}
