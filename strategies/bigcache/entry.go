package bigcache

import (
	"encoding/binary"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// An entry, as bigcache stores it: format (1 byte), number of tags (2), expiry in Unix milliseconds
// (8), sequence (8), the hashes of the tags (8 each), the value. The value of a head is the id of
// its chunks (8) and their length together (8). A chunk is its format (1), the length of its key
// (2), its id (8), the key of the head, and a part of the value. Numbers are little-endian. The
// format byte only guards against a mistake of ours: the memory is never shared or kept.
const (
	entryFormat = 0x01
	headFormat  = 0x02
	chunkFormat = 0x03

	headerBytes      = 1 + 2 + 8 + 8
	tagBytes         = 8
	headValueBytes   = 8 + 8
	chunkHeaderBytes = 1 + 2 + 8
)

func appendEntry(dst []byte, format byte, value []byte, expiry int64, sequence uint64, tags []uint64) []byte {
	dst = append(dst, format)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(tags))) //nolint:gosec // Service allows 4096 at most, Set checks
	dst = binary.LittleEndian.AppendUint64(dst, uint64(expiry))    //nolint:gosec // read back as int64
	dst = binary.LittleEndian.AppendUint64(dst, sequence)
	for _, tag := range tags {
		dst = binary.LittleEndian.AppendUint64(dst, tag)
	}
	return append(dst, value...)
}

func appendHead(dst []byte, id uint64, length int) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, id)
	return binary.LittleEndian.AppendUint64(dst, uint64(length)) //nolint:gosec // not negative
}

func appendChunk(dst []byte, key string, id uint64, data []byte) []byte {
	dst = append(dst, chunkFormat)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(key))) //nolint:gosec // at most maxKeyBytes
	dst = binary.LittleEndian.AppendUint64(dst, id)
	return append(append(dst, key...), data...)
}

// entry is a stored entry. Its methods take it apart in place.
type entry []byte

// valid reports whether an entry is a value or a head.
func (e entry) valid() bool {
	if len(e) < headerBytes || len(e) < e.header() {
		return false
	}
	return e[0] == entryFormat || e.isHead() && len(e.value()) == headValueBytes
}

func (e entry) isHead() bool { return len(e) > 0 && e[0] == headFormat }

func (e entry) isChunk() bool {
	return len(e) >= chunkHeaderBytes && e[0] == chunkFormat && len(e) >= e.dataStart()
}

func (e entry) dataStart() int  { return chunkHeaderBytes + int(binary.LittleEndian.Uint16(e[1:])) }
func (e entry) chunkOf() string { return string(e[chunkHeaderBytes:e.dataStart()]) }
func (e entry) data() []byte    { return e[e.dataStart():] }
func (e entry) length() int     { return int(binary.LittleEndian.Uint64(e.value()[8:])) } //nolint:gosec // written from int

// id is the id of the chunks, in a head and in a chunk.
func (e entry) id() uint64 {
	if e.isHead() {
		return binary.LittleEndian.Uint64(e.value())
	}
	return binary.LittleEndian.Uint64(e[3:])
}

func (e entry) tagCount() int    { return int(binary.LittleEndian.Uint16(e[1:])) }
func (e entry) expiry() int64    { return int64(binary.LittleEndian.Uint64(e[3:])) } //nolint:gosec // written from int64
func (e entry) sequence() uint64 { return binary.LittleEndian.Uint64(e[11:]) }
func (e entry) header() int      { return headerBytes + tagBytes*e.tagCount() }
func (e entry) value() []byte    { return e[e.header():] }

// appendTags appends the hashes of the tags to dst.
func (e entry) appendTags(dst []uint64) []uint64 {
	for i := range e.tagCount() {
		dst = append(dst, binary.LittleEndian.Uint64(e[headerBytes+tagBytes*i:]))
	}
	return dst
}

// expiry returns when an entry that is stored now expires, rounded up to the millisecond. An entry
// is valid while the clock's millisecond is below that.
func expiry(now time.Time, ttl time.Duration) (int64, error) {
	if ttl <= 0 {
		return 0, driver.ErrInvalidTTL
	}
	ms := ttl.Milliseconds()
	if ttl%time.Millisecond != 0 {
		ms++
	}
	return now.UnixMilli() + ms, nil
}
