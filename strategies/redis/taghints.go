package redis

import (
	"hash/maphash"
	"sync/atomic"
)

const (
	// learnedSlots is how many entries' tags are remembered, and learnedBytes how long key and tags may
	// be together: some 6 MB at the most.
	hintSlots = 1 << 14
	hintBytes = 256
)

// learned remembers which tags entries had when they were last read, so that the next read of one needs
// no script: an MGET of the entry and its nonces is enough. It is a guess, never an answer: an entry
// that has other tags by now is read again by the script. Of two keys that share a slot the later
// one is remembered.
type tagHints struct {
	seed  maphash.Seed
	slots [hintSlots]atomic.Pointer[tagHint]
}

// guess is what to fetch for one key: its entry, and the nonces of the tags that it had.
type tagHint struct {
	key  string
	keys []string // of Redis
}

func newTagHints() *tagHints { return &tagHints{seed: maphash.MakeSeed()} }

func (l *tagHints) slot(key string) *atomic.Pointer[tagHint] {
	return &l.slots[maphash.String(l.seed, key)%hintSlots]
}

// recall returns what to fetch for key; nil where that is not known.
func (l *tagHints) lookup(key string) []string {
	if g := l.slot(key).Load(); g != nil && g.key == key {
		return g.keys
	}
	return nil
}

// note remembers the tags of an entry that was found under key.
func (l *tagHints) remember(key string, r keyRef, e entry) {
	size := len(key)
	keys := []string{r.value()}
	_, ok := e.tags(func(name, _ []byte) bool {
		size += len(name)
		keys = append(keys, r.lane.nonceOf(string(name)))
		return size <= hintBytes
	})
	if ok {
		l.slot(key).Store(&tagHint{key, keys})
	}
}

// suspects are entries whose MGET ran into its deadline, perhaps because one of them is longer than any of ours.
// They are read by the script, which looks before it sends one, until it has answered. It is a guess: of many
// some are remembered.
type slowEntries [64]atomic.Uint64

func (s *slowEntries) slot(key string) (slot *atomic.Uint64, name uint64) {
	name = hash(key) | 1 // zero is nobody
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

// forget makes the next read of key ask the script.
func (l *tagHints) forget(key string) {
	if slot := l.slot(key); slot.Load() != nil {
		slot.Store(nil)
	}
}
