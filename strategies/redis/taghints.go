package redis

import (
	"hash/maphash"
	"sync/atomic"
)

const (
	// hintSlots is how many entries have hints. hintBytes is how long a key and its tags may be
	// together. That makes about 6 MB at the most.
	hintSlots = 1 << 14
	hintBytes = 256
)

// tagHints remembers which tags each entry had when it was last read. The next read then needs no
// script: an MGET of the entry and its nonces is enough. A hint is a guess and never an answer: an
// entry that has other tags by now is read again by the script. If two keys share a slot, only the
// later one has a hint.
type tagHints struct {
	seed  maphash.Seed
	slots [hintSlots]atomic.Pointer[tagHint]
}

// tagHint is what to read for one key: its entry, and the nonces of the tags that it had.
type tagHint struct {
	key  string
	keys []string // of Redis
}

func newTagHints() *tagHints { return &tagHints{seed: maphash.MakeSeed()} }

func (h *tagHints) slot(key string) *atomic.Pointer[tagHint] {
	return &h.slots[maphash.String(h.seed, key)%hintSlots]
}

// lookup returns the Redis keys to read for key, the entry first, or nil if there is no hint.
func (h *tagHints) lookup(key string) []string {
	if hint := h.slot(key).Load(); hint != nil && hint.key == key {
		return hint.keys
	}
	return nil
}

// remember remembers the tags of an entry that was found under key.
func (h *tagHints) remember(key string, k keyRef, e entry) {
	size := len(key)
	keys := []string{k.value()}
	_, ok := e.tags(func(name, _ []byte) bool {
		size += len(name)
		keys = append(keys, k.lane.nonceOf(string(name)))
		return size <= hintBytes
	})
	if ok {
		h.slot(key).Store(&tagHint{key, keys})
	}
}

// forget makes the next read of key use the script.
func (h *tagHints) forget(key string) {
	if slot := h.slot(key); slot.Load() != nil {
		slot.Store(nil)
	}
}

// slowEntries are entries whose MGET ran into its deadline, perhaps because one of them is too
// long. The script, which looks at the length before it sends an entry, reads them until it has
// answered. This is a guess too: if there are many, only some are remembered.
type slowEntries [64]atomic.Uint64

func (s *slowEntries) slot(key string) (slot *atomic.Uint64, name uint64) {
	name = hash(key) | 1 // zero means none
	return &s[name>>32%uint64(len(s))], name
}

func (s *slowEntries) add(key string) {
	slot, name := s.slot(key)
	slot.Store(name)
}

func (s *slowEntries) has(key string) bool {
	slot, name := s.slot(key)
	return slot.Load() == name
}

func (s *slowEntries) remove(key string) {
	slot, name := s.slot(key)
	slot.CompareAndSwap(name, 0)
}
