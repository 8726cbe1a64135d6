package cache

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// Every value that Service stores starts with six bytes: the format, a tag for how the rest is encoded, and
// the fingerprint of what is encoded. In caches that refresh their entries a stamp follows. What does not
// start like that was written by another release, for another type, under another codec, or by somebody
// else: it reads as a miss, and stays. Every cache reads every format, so that processes with
// different policies can share a storage.
const (
	envelopeBytes    = 2 + len(fingerprint{})
	envelopeFormat   = 0x06
	envelopeNil      = 0x07 // a nil pointer, where the codec is not asked
	envelopeTimed    = 0x08 // envelopeFormat with a stamp
	envelopeTimedNil = 0x09 // envelopeNil with a stamp
	envelopeAbsent   = 0x0a // no value: the loader found that there is nothing
	selfEncoded      = 0x00 // the tag of types that encode themselves
)

var errDamaged = errors.New("cache: the entry is damaged")

// stamp is what a cache with StaleFor or EarlyRefresh stores beside a value: 8 bytes of expiry and 4 of
// how long the load took, in microseconds, big-endian.
type stamp struct {
	expiry int64         // Unix milliseconds; the storage may keep the entry longer. 0: as long as that does
	took   time.Duration // to load the value; 0: unknown
}

const stampBytes = 8 + 4

// append appends the stamp.
func (s stamp) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.expiry)) //nolint:gosec // read back as int64
	const most = 1<<32 - 1                                     // over an hour
	return binary.BigEndian.AppendUint32(dst, uint32(min(max(0, s.took.Microseconds()), most)))
}

// readStamp reads what append wrote.
func readStamp(b []byte) stamp {
	return stamp{
		expiry: int64(binary.BigEndian.Uint64(b)), //nolint:gosec // written from int64
		took:   time.Duration(binary.BigEndian.Uint32(b[8:])) * time.Microsecond,
	}
}

// over reports whether the TTL has ended. Only clocks of entries with a stamp are looked at.
func (s stamp) over(clock driver.Clock) bool {
	return s.expiry != 0 && clock.Now().UnixMilli() >= s.expiry
}

// envelope is a stored value, opened but not decoded.
type envelope struct {
	stamp
	payload []byte
	null    bool // a nil pointer
	absent  bool // there is no value
}

// codecTag folds a codec's name into one byte other than selfEncoded.
func codecTag(name string) byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return byte(h.Sum32()%255) + 1
}

// open takes apart what was sealed for a value of the shape. The payload shares sealed's memory.
func (sh *shape) open(sealed []byte, limit driver.Size) (e envelope, err error) {
	switch {
	case len(sealed) == 0:
		return e, errDamaged
	case sealed[0] < envelopeFormat || sealed[0] > envelopeAbsent:
		return e, ErrForeign
	case len(sealed) < envelopeBytes:
		return e, errDamaged
	case sealed[1] != sh.tag || !sh.every && fingerprint(sealed[2:envelopeBytes]) != sh.fingerprint:
		return e, ErrForeign
	}
	format, rest := sealed[0], sealed[envelopeBytes:]
	if format == envelopeTimed || format == envelopeTimedNil {
		if len(rest) < stampBytes {
			return e, errDamaged
		}
		if e.stamp = readStamp(rest); e.expiry <= 0 {
			return envelope{}, errDamaged
		}
		rest = rest[stampBytes:]
	}
	switch format {
	case envelopeFormat, envelopeTimed:
		if driver.Size(len(rest)) <= limit {
			e.payload = rest
			return e, nil
		}
	case envelopeNil, envelopeTimedNil:
		if e.null = true; len(rest) == 0 && sh.pointed != nil && sh.self {
			return e, nil
		}
	case envelopeAbsent:
		if e.absent = true; len(rest) == 0 {
			return e, nil
		}
	}
	return envelope{}, errDamaged
}

// appendHeader appends what every entry of the shape starts with.
func (sh *shape) appendHeader(dst []byte, format byte) []byte {
	return append(append(dst, format, sh.tag), sh.fingerprint[:]...)
}

// sealAbsent is what is stored where there is nothing.
func (sh *shape) sealAbsent() []byte { return sh.appendHeader(nil, envelopeAbsent) }
