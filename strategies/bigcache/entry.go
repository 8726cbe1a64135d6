package bigcache

import (
	"encoding/binary"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// An entry, as bigcache stores it: format (1 byte), number of tags (2), expiry in Unix milliseconds
// (8), sequence (8), the hashes of the tags (8 each), the value. Numbers are little-endian. The
// format byte only guards against a mistake of ours: the memory is never shared or kept.
const (
	entryFormat = 0x01
	headerBytes = 1 + 2 + 8 + 8
	tagBytes    = 8
)

func appendEntry(dst, value []byte, expiry int64, sequence uint64, tags []uint64) []byte {
	dst = append(dst, entryFormat)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(tags))) //nolint:gosec // Service allows 4096 at most, Set checks
	dst = binary.LittleEndian.AppendUint64(dst, uint64(expiry))    //nolint:gosec // read back as int64
	dst = binary.LittleEndian.AppendUint64(dst, sequence)
	for _, tag := range tags {
		dst = binary.LittleEndian.AppendUint64(dst, tag)
	}
	return append(dst, value...)
}

// entry is a stored entry. Its methods take it apart in place.
type entry []byte

func (e entry) valid() bool {
	return len(e) >= headerBytes && e[0] == entryFormat && len(e) >= e.header()
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
