package redis

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// sessionTags are the tags of a session whose user has a UUID.
func sessionTags(i int) []string {
	return []string{"session:all", fmt.Sprintf("session:user:550e8400-e29b-41d4-a716-%012d", i), "session:role:customer"}
}

// wantedOf is what lookup should return.
func wantedOf(k keyRef, tags ...string) []string {
	keys := []string{k.value()}
	for _, tag := range tags {
		keys = append(keys, k.lane.nonceOf(tag))
	}
	return keys
}

// There is room for as many sessions as tag_hints says, each with a tag of its own. They take no
// more memory than the documentation says, however long the tags are.
func TestTagHintsHaveRoom(t *testing.T) {
	t.Parallel()
	const entries = 20_000
	h, keys := newTagHints(entries), newKeyspace("n:", 64)
	long := strings.Repeat("t", 200)
	for i := range entries / 3 { // enough to fill the ring
		h.remember(fmt.Sprint("n:before", i), sample("", fmt.Sprint(long, i), long))
	}
	for i := range entries {
		h.remember(fmt.Sprint("n:", i), sample("value", sessionTags(i)...))
	}
	known := 0
	for i := range entries {
		key := fmt.Sprint("n:", i)
		switch got := h.lookup(key, keys.of(key)); {
		case got == nil:
		case slices.Equal(got, wantedOf(keys.of(key), sessionTags(i)...)):
			known++
		default:
			t.Fatalf("%s: %q", key, got)
		}
	}
	if known < entries*99/100 {
		t.Errorf("the tags of %d of %d entries are known", known, entries)
	}
	size := 0
	for i := range h.index {
		if h.index[i].Load() != nil {
			size += 8 * indexChunkWords
		}
	}
	for i := range h.ring {
		if h.ring[i].Load() != nil {
			size += 8 * hintChunkWords
		}
	}
	if most := 160*entries + 8*hintChunkWords; size > most {
		t.Errorf("%d bytes for %d entries, at most %d", size, entries, most)
	}
}

// The newest is known, whatever was there before. What has too many tags is not.
func TestTagHints(t *testing.T) {
	t.Parallel()
	h, keys := newTagHints(100), newKeyspace("n:", 1)
	for i := range 10_000 {
		key := fmt.Sprint("n:", i)
		h.remember(key, sample("", sessionTags(i)...))
		if got := h.lookup(key, keys.of(key)); !slices.Equal(got, wantedOf(keys.of(key), sessionTags(i)...)) {
			t.Fatalf("%s: %q", key, got)
		}
	}
	k := keys.of("n:k")
	for _, test := range []struct {
		tags []string
		kept bool
	}{
		{nil, true},
		{[]string{generation}, true},
		{[]string{generation, "a", "bcdefgh"}, true},
		{[]string{strings.Repeat("t", hintBytes-2)}, true},
		{[]string{strings.Repeat("t", hintBytes-1)}, false},
		{[]string{"t", strings.Repeat("t", hintBytes-4)}, false},
	} {
		h.forget("n:k")
		if got := h.lookup("n:k", k); got != nil {
			t.Errorf("forgotten: %q", got)
		}
		h.remember("n:k", sample("value", test.tags...))
		if got := h.lookup("n:k", k); test.kept != slices.Equal(got, wantedOf(k, slices.DeleteFunc(test.tags, func(tag string) bool { return tag == generation })...)) || test.kept == (got == nil) {
			t.Errorf("the tags %.20q: %.40q", test.tags, got)
		}
	}
	at := h.next
	for range 3 {
		h.remember("n:same", sample("", "t"))
	}
	if h.next-at > hintChunkWords/2 {
		t.Error("what was known took room again")
	}
	h.next = 1<<hintAtBits - 1 // where positions begin anew
	for i := range 1000 {
		key := fmt.Sprint("n:", i)
		h.remember(key, sample("", "t"))
		if got := h.lookup(key, keys.of(key)); len(got) != 2 {
			t.Fatalf("%s, after the last position: %q", key, got)
		}
	}
}

// Beside others that write, a hint may be wrong. But it is one for the key.
func TestTagHintsBesideWrites(t *testing.T) {
	t.Parallel()
	h, keys := newTagHints(1), newKeyspace("n:", 4)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 2000 {
				key := fmt.Sprint("n:", random.IntN(12))
				switch random.IntN(8) {
				case 0, 1, 2:
					h.remember(key, sample("", strings.Repeat("t", random.IntN(hintBytes)), "u"))
				case 3:
					h.forget(key)
				default:
					k := keys.of(key)
					for i, got := range h.lookup(key, k) {
						if i == 0 && got != k.value() || i > 0 && !strings.HasPrefix(got, k.lane.nonce) {
							t.Errorf("%s: %q", key, got)
						}
					}
				}
			}
		})
	}
	all.Wait()
}

func FuzzWanted(f *testing.F) {
	f.Add([]byte("\x00\x01a\x00\x00\x00\x02bc"))
	k := newKeyspace("n:", 1).of("n:k")
	f.Fuzz(func(t *testing.T, tags []byte) {
		var again []byte
		keys := k.wanted(tags)
		for i, key := range keys {
			if i > 0 {
				name := strings.TrimPrefix(key, k.lane.nonce)
				again = append(binary.BigEndian.AppendUint16(again, uint16(len(name))), name...)
			}
		}
		if keys != nil && (keys[0] != k.value() || string(again) != string(tags)) {
			t.Errorf("%q: %q", tags, keys)
		}
	})
}
