package redis

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// The sizes of tagHints. A word has 8 bytes.
const (
	// wordsPerHint is for how many words there is room for each entry that is to have a hint.
	wordsPerHint = 16
	// hintBytes is how long the tags of one entry may be together, with two bytes for each.
	hintBytes = 504
	// maxTagHints is for how many entries there may be room: 16 GB.
	maxTagHints = 100_000_000
	// The ring and the index are made of chunks, when they are first needed.
	hintChunkWords  = 4096
	indexChunkWords = 512
	// hintBucket is among how many places of the index a hint has its own: one line of a CPU's
	// cache. There are at least two places for each entry that is to have a hint.
	hintBucket = 8
)

// A place in the index is 0, or has where a record begins, how many bytes its tags have, and some
// bits of the hash.
const (
	hintCheckBits = 12
	hintSizeBits  = 12
	hintAtBits    = 64 - hintSizeBits - hintCheckBits
)

// tagHints remembers which tags each entry had when it was last read. The next read then needs no
// script: an MGET of the entry and its nonces is enough. A hint is a guess and never an answer: an
// entry that has other tags by now is read again by the script.
//
// A hint is a record in a ring: a hash of the key, then the tags. The newest record overwrites the
// oldest ones. There are no pointers for the garbage collector to follow, and the size is bounded:
// 128 bytes in the ring and 32 in the index for each entry that is to have a hint.
//
// lookup takes no lock. Beside a remember it may read a record that is half overwritten, which is
// another wrong guess.
type tagHints struct {
	seed   maphash.Seed
	places uint64 // of the index
	index  []atomic.Pointer[indexChunk]
	ring   []atomic.Pointer[hintChunk]

	mu   sync.Mutex
	next uint64 // where the next record begins, if the ring were a line
}

type (
	hintChunk  [hintChunkWords]atomic.Uint64
	indexChunk [indexChunkWords]atomic.Uint64
)

// newTagHints returns tagHints for so many entries.
func newTagHints(entries int) *tagHints {
	places := hintBucket
	for places < 2*entries {
		places *= 2
	}
	return &tagHints{
		seed: maphash.MakeSeed(), places: uint64(places), next: 1,
		index: make([]atomic.Pointer[indexChunk], 1+(places-1)/indexChunkWords),
		ring:  make([]atomic.Pointer[hintChunk], 1+entries*wordsPerHint/hintChunkWords),
	}
}

// record returns the words of the ring from at on.
func (h *tagHints) record(at uint64) []atomic.Uint64 {
	chunk := h.ring[at/hintChunkWords%uint64(len(h.ring))].Load()
	return chunk[at%hintChunkWords:]
}

// find returns the record of a key, and its place in the index. It also returns how many bytes the
// tags have. There is no record if place is nil.
func (h *tagHints) find(hash uint64) (place *atomic.Uint64, record []atomic.Uint64, size int) {
	bucket := h.bucket(hash)
	for i := range bucket {
		was := bucket[i].Load()
		if was == 0 || was%(1<<hintCheckBits) != hash>>(64-hintCheckBits) {
			continue
		}
		record = h.record(was >> (hintSizeBits + hintCheckBits))
		size = int(was >> hintCheckBits % (1 << hintSizeBits))
		if record[0].Load() == hash && wordsOf(size) <= len(record) {
			return &bucket[i], record, size
		}
	}
	return nil, nil, 0
}

// bucket returns the places that a hash may have. There are none yet if nothing near them was
// remembered.
func (h *tagHints) bucket(hash uint64) []atomic.Uint64 {
	first := hash * hintBucket % h.places
	chunk := h.index[first/indexChunkWords].Load()
	if chunk == nil {
		return nil
	}
	return chunk[first%indexChunkWords:][:hintBucket]
}

// wordsOf is how many words a record has.
func wordsOf(size int) int { return 1 + (size+7)/8 }

// lookup returns the Redis keys to read for key, the entry first, or nil if there is no hint.
func (h *tagHints) lookup(key string, k keyRef) []string {
	_, record, size := h.find(h.hash(key))
	if record == nil {
		return nil
	}
	var tags [hintBytes]byte
	for i := range wordsOf(size) - 1 {
		binary.LittleEndian.PutUint64(tags[8*i:], record[1+i].Load())
	}
	return k.wanted(tags[:size])
}

// remember remembers the tags of an entry that was found under key.
func (h *tagHints) remember(key string, e entry) {
	tags := make([]byte, 0, hintBytes)
	_, ok := e.tags(func(name, _ []byte) bool {
		if string(name) == generation {
			return true // every read asks for it
		}
		if len(tags)+2+len(name) > hintBytes {
			return false
		}
		tags = append(binary.BigEndian.AppendUint16(tags, uint16(len(name))), name...) //nolint:gosec // below hintBytes
		return true
	})
	if !ok {
		return
	}
	words := make([]uint64, wordsOf(len(tags)))
	words[0] = h.hash(key)
	for i := range words[1:] {
		words[1+i] = binary.LittleEndian.Uint64(tags[8*i : 8*i+8 : hintBytes])
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	place, record, size := h.find(words[0])
	if place != nil && size == len(tags) && same(record, words) {
		return // several readers have shared one run of the script
	}
	if place == nil {
		place = h.oldest(words[0])
	}
	at := h.write(words)
	place.Store(at<<(hintSizeBits+hintCheckBits) | uint64(len(tags))<<hintCheckBits | words[0]>>(64-hintCheckBits))
}

// same reports whether record begins with words.
func same(record []atomic.Uint64, words []uint64) bool {
	for i, word := range words {
		if record[i].Load() != word {
			return false
		}
	}
	return true
}

// oldest returns which place of a bucket is used next: a free one, or that of the oldest record.
func (h *tagHints) oldest(hash uint64) *atomic.Uint64 {
	if chunk := &h.index[hash*hintBucket%h.places/indexChunkWords]; chunk.Load() == nil {
		chunk.Store(new(indexChunk))
	}
	bucket := h.bucket(hash)
	oldest, most := 0, uint64(0)
	for i := range bucket {
		was := bucket[i].Load()
		if was == 0 {
			return &bucket[i]
		}
		if age := (h.next - was>>(hintSizeBits+hintCheckBits)) % (1 << hintAtBits); age >= most {
			oldest, most = i, age
		}
	}
	return &bucket[oldest]
}

// write appends a record to the ring, and returns where it begins. A record lies within one chunk.
func (h *tagHints) write(words []uint64) (at uint64) {
	if left := hintChunkWords - h.next%hintChunkWords; left < uint64(len(words)) {
		h.next += left
	}
	at = h.next % (1 << hintAtBits)
	h.next = at + uint64(len(words))
	if chunk := &h.ring[at/hintChunkWords%uint64(len(h.ring))]; chunk.Load() == nil {
		chunk.Store(new(hintChunk))
	}
	record := h.record(at)
	for i, word := range words {
		record[i].Store(word)
	}
	return at
}

// forget makes the next read of key use the script.
func (h *tagHints) forget(key string) {
	if place, _, _ := h.find(h.hash(key)); place != nil {
		place.Store(0)
	}
}

func (h *tagHints) hash(key string) uint64 { return maphash.String(h.seed, key) }

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
