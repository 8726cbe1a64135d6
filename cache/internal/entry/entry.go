package entry

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// An entry starts with six bytes: the format, a tag for how the value is encoded, and the
// fingerprint of its type. In caches that refresh their entries a stamp follows. An entry that
// starts otherwise was written by another release, for another type, with another codec, or by
// somebody else. It reads as a miss, and stays. Every cache reads every format, so that processes
// with different policies can share a storage.
const (
	headerBytes    = 2 + len(fingerprint{})
	formatPlain    = 0x06
	formatNil      = 0x07 // a nil pointer, if the codec is not asked
	formatTimed    = 0x08 // formatPlain with a stamp
	formatTimedNil = 0x09 // formatNil with a stamp
	formatAbsent   = 0x0a // no value: the loader returned ErrNotFound
	selfEncoded    = 0x00 // the tag of types that encode themselves
)

// Why an entry, or a value, cannot be used.
var (
	// ErrDamaged: an entry is not what was written.
	ErrDamaged = errors.New("cache: the entry is damaged")
	// ErrForeign: an entry is whole, but was written by another release, for another type, or with
	// another codec.
	ErrForeign = errors.New("cache: the entry is of another release, type or codec")
	// ErrEncoding: a value could not be encoded.
	ErrEncoding = errors.New("cache: value cannot be encoded")
)

// Stamp is what a cache with StaleFor or EarlyRefresh stores beside a value: 8 bytes of expiry and
// 4 bytes of how long the load took, in microseconds, big-endian.
type Stamp struct {
	// Unix milliseconds; the storage may keep the entry longer. 0: as long as the storage does
	Expiry int64
	Took   time.Duration // to load the value; 0: unknown
}

const stampBytes = 8 + 4

func (s Stamp) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Expiry)) //nolint:gosec // read back as int64
	const most = 1<<32 - 1                                     // over an hour
	return binary.BigEndian.AppendUint32(dst, uint32(min(max(0, s.Took.Microseconds()), most)))
}

func readStamp(b []byte) Stamp {
	return Stamp{
		Expiry: int64(binary.BigEndian.Uint64(b)), //nolint:gosec // written from int64
		Took:   time.Duration(binary.BigEndian.Uint32(b[8:])) * time.Microsecond,
	}
}

// Expired reports whether the TTL has ended. It reads the clock only if the entry has a stamp.
func (s Stamp) Expired(clock driver.Clock) bool {
	return s.Expiry != 0 && clock.Now().UnixMilli() >= s.Expiry
}

// Entry is a stored entry whose header was read. Its value is not decoded yet.
type Entry struct {
	Stamp
	// Absent: there is no value, because the loader returned ErrNotFound.
	Absent bool

	payload []byte
	null    bool // a nil pointer
}

// codecTag folds a codec's name into one byte other than selfEncoded.
func codecTag(name string) byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return byte(h.Sum32()%255) + 1
}

// Parse reads the header of an entry of the type. The Entry shares the memory of encoded.
func (t *Type) Parse(encoded []byte) (e Entry, err error) {
	switch {
	case len(encoded) == 0:
		return e, ErrDamaged
	case encoded[0] < formatPlain || encoded[0] > formatAbsent:
		return e, ErrForeign
	case len(encoded) < headerBytes:
		return e, ErrDamaged
	case encoded[1] != t.tag || !t.every && fingerprint(encoded[2:headerBytes]) != t.fingerprint:
		return e, ErrForeign
	}
	format, rest := encoded[0], encoded[headerBytes:]
	if format == formatTimed || format == formatTimedNil {
		if len(rest) < stampBytes {
			return e, ErrDamaged
		}
		if e.Stamp = readStamp(rest); e.Expiry <= 0 {
			return Entry{}, ErrDamaged
		}
		rest = rest[stampBytes:]
	}
	switch format {
	case formatPlain, formatTimed:
		if int64(len(rest)) <= t.codec.limit.Load() {
			e.payload = rest
			return e, nil
		}
	case formatNil, formatTimedNil:
		if e.null = true; len(rest) == 0 && t.pointed != nil && t.self {
			return e, nil
		}
	case formatAbsent:
		if e.Absent = true; len(rest) == 0 {
			return e, nil
		}
	}
	return Entry{}, ErrDamaged
}

// appendHeader appends what every entry of the type starts with.
func (t *Type) appendHeader(dst []byte, format byte) []byte {
	return append(append(dst, format, t.tag), t.fingerprint[:]...)
}

// EncodeAbsent returns the entry that says that there is no value.
func (t *Type) EncodeAbsent() []byte { return t.appendHeader(nil, formatAbsent) }
