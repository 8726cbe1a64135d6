package bigcache_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// bigcache makes room for an entry that it cannot hold until the shard is empty, and only then says
// no. Ours is refused first: the neighbours, all in the one shard, stay.
func TestOversizeEvictsNothing(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB, Shards: 1}, cache.Options{})
	neighbours := map[string]string{}
	for i := range 100 {
		neighbours[fmt.Sprint("key", i)] = strings.Repeat("v", i)
	}
	for key, value := range neighbours {
		o.set(key, value)
	}
	for _, size := range []int{3 * int(driver.MiB) / 2, 2 * int(driver.MiB), 3 * int(driver.MiB), 5 * int(driver.MiB)} {
		o.set("huge", "small")
		o.refused(driver.ErrValueTooLarge, "huge", make([]byte, size))
		o.miss("huge") // nor the value that it was to replace
		o.set("huge", "small")
		stored, err := o.Fill(t.Context(), o.lease("huge"), make([]byte, size), driver.SetOptions{TTL: time.Hour})
		if stored || !errors.Is(err, driver.ErrValueTooLarge) {
			t.Errorf("Fill of %d bytes: stored %t, error %v", size, stored, err)
		}
		o.miss("huge")
	}
	for key, value := range neighbours {
		o.hit(key, value)
	}
}

// The largest entry that is accepted, found by trying, is stored each time, whatever was there
// before; one byte more is refused each time, and evicts nothing.
func TestLargestEntry(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 2} {
		o := start(t, bigcache.Options{MaxSize: 6 * driver.MiB, Shards: shards}, cache.Options{})
		fits := func(size int) bool {
			err := o.Set(t.Context(), "key", make([]byte, size), driver.SetOptions{TTL: time.Hour})
			return err == nil
		}
		low, high := int(driver.MiB), 8*int(driver.MiB) // low fits, high does not
		for high-low > 1 {
			if middle := (low + high) / 2; fits(middle) {
				low = middle
			} else {
				high = middle
			}
		}
		for i := range 50 {
			o.set(fmt.Sprint("k", i%7), strings.Repeat("x", i*1009))
			o.set("key", strings.Repeat("v", low))
			o.hit("key", strings.Repeat("v", low))
			o.set("small", "s")
			o.refused(driver.ErrValueTooLarge, "key", make([]byte, high))
			o.miss("key")
			o.hit("small", "s")
		}
	}
}

// The number of tags is kept in 16 bits. Service allows 4096 at most; the strategy must not rely on
// it.
func TestTagCount(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 8 * driver.MiB, Shards: 1}, cache.Options{})
	tags := make([]string, 1<<16+1)
	for i := range tags {
		tags[i] = fmt.Sprint("tag", i)
	}
	for _, n := range []int{0, 1, 8, 9, 64, 4096, 1<<16 - 1} {
		o.set("key", "v", tags[:n]...)
		o.hit("key", "v")
		o.invalidate("none of its tags")
		o.hit("key", "v")
		for _, last := range tags[max(n-1, 0):n] {
			o.invalidate(last)
			o.miss("key")
		}
	}
	for _, n := range []int{1 << 16, 1<<16 + 1} { // which would read as 0 and as 1
		o.set("key", "old")
		o.refused(driver.ErrTooManyTags, "key", []byte("v"), tags[:n]...)
		o.miss("key")
	}
}

// Nothing of what the caller handed over, or was handed, is shared with the store.
func TestBytesAreCopied(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	value := []byte("value")
	if err := o.Set(t.Context(), "key", value, driver.SetOptions{TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	copy(value, "#####")
	got, _, err := o.Get(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	_ = append(got[:0], "YYYYYYYYYYYYY"...)
	o.hit("key", "value")
	o.set("empty", "")
	o.hit("empty", "")
}
