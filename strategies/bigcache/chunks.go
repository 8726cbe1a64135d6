package bigcache

import (
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
)

// A value that is large for its shard would push out most of what is there. So it is divided into
// chunks, which are spread evenly over all shards. The entry under its key, the head, says which
// chunks they are. Their names are never used again: chunks of different writes cannot be mixed,
// and those that no head names are dead.

// chunkNames makes the names of chunks: a random number of this store, the id of the value, and the
// index of the chunk.
type chunkNames struct {
	secret [8]byte
}

const chunkNameBytes = 8 + 8 + 4

func newChunkNames() (n chunkNames) {
	_, _ = rand.Read(n.secret[:]) // never fails
	return n
}

func (n chunkNames) name(id uint64, index int) string {
	var b [chunkNameBytes]byte
	copy(b[:], n.secret[:])
	binary.LittleEndian.PutUint64(b[8:], id)
	binary.LittleEndian.PutUint32(b[16:], uint32(index)) //nolint:gosec // at most 5 for each shard
	return string(b[:])
}

// hasher is a seeded bigcache.Hasher. Nobody outside can choose keys that collide, which would
// evict one another. It spreads the chunks of a value evenly: bigcache takes the shard from the
// lowest bits.
type hasher struct {
	seed   maphash.Seed
	chunks chunkNames
	mask   uint64 // number of shards - 1
}

// Sum64 implements bigcache.Hasher.
func (h hasher) Sum64(key string) uint64 {
	sum := maphash.String(h.seed, key)
	if len(key) == chunkNameBytes && key[:8] == string(h.chunks.secret[:]) {
		tail := []byte(key[8:])
		turn := binary.LittleEndian.Uint64(tail) + uint64(binary.LittleEndian.Uint32(tail[8:]))
		sum = sum&^h.mask | turn&h.mask
	}
	if sum == 0 {
		return h.mask + 1 // bigcache marks deleted entries with 0
	}
	return sum
}

// chunkRoom is how many bytes of a value one chunk of a key holds.
func (l layout) chunkRoom(key int) int {
	return l.small - overheadBytes - chunkNameBytes - chunkHeaderBytes - key
}

// entryBytes is the memory that an entry takes.
func entryBytes(key, tags, value int) int {
	return overheadBytes + key + headerBytes + tagBytes*tags + value
}

// fits reports whether a value can be stored.
func (l layout) fits(key, tags, value int) bool {
	if entryBytes(key, tags, value) <= l.small {
		return true
	}
	room := l.chunkRoom(key)
	return room > 0 && entryBytes(key, tags, headValueBytes) <= l.small && (value+room-1)/room <= l.chunks
}

// divide stores the chunks of a value, and returns what its head must hold. The caller holds the
// key in the fence.
func (st *store) divide(key string, value []byte) ([]byte, error) {
	id, room := st.chunkID.Add(1), st.chunkRoom(len(key))
	buffer := st.buffers.Get().(*[]byte)
	defer st.buffers.Put(buffer)
	for index, rest := 0, value; len(rest) > 0; index++ {
		n := min(room, len(rest))
		*buffer = appendChunk((*buffer)[:0], key, id, rest[:n])
		if err := st.write(st.names.name(id, index), *buffer); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return appendHead(nil, id, len(value)), nil
}

// assemble reads a value by its head. A missing chunk is a miss.
func (st *store) assemble(head entry) ([]byte, bool, error) {
	value := make([]byte, 0, head.length())
	for index := 0; len(value) < head.length(); index++ {
		chunk, found, err := st.read(st.names.name(head.id(), index))
		if err != nil || !found {
			return nil, false, err
		}
		if !chunk.isChunk() || chunk.id() != head.id() || len(chunk.data()) == 0 || len(value)+len(chunk.data()) > head.length() {
			return nil, false, errDamaged
		}
		value = append(value, chunk.data()...)
	}
	return value, true, nil
}
