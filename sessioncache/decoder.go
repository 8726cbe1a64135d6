package sessioncache

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The minimum number of bytes that one element of a list takes in the encoding.
const (
	minByteBytes    = 1
	minTextBytes    = 1 // its length
	minChannelBytes = 4 // three texts and a count
	minFieldBytes   = 1 // its kind
	minPairBytes    = 2 // a text and a field
)

// decoder reads what appendSession wrote. After the first error every further read returns zero, so
// callers need to check err only once, at the end. Nearly all lengths take one byte, so these have
// a fast path.
type decoder struct {
	in      string
	at      int
	claimed int // the bytes that all counts so far need at least
	err     error
}

// fail records the first error and moves to the end, where nothing can be read.
func (d *decoder) fail(problem string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s near byte %d of %d", ErrCorrupt, problem, d.at, len(d.in))
	}
	d.at = len(d.in)
}

func (d *decoder) text() string {
	at := d.at
	if at < len(d.in) {
		length := int(d.in[at])
		if end := at + 1 + length; length < 0x80 && end <= len(d.in) {
			d.at = end
			return d.in[at+1 : end]
		}
	}
	return d.longText()
}

// texts fills list. It keeps the position in a register, because a user may have hundreds of
// permissions.
func (d *decoder) texts(list []string) {
	in, at := d.in, d.at
	for i := range list {
		if at < len(in) {
			length := int(in[at])
			if end := at + 1 + length; length < 0x80 && end <= len(in) {
				list[i] = in[at+1 : end]
				at = end
				continue
			}
		}
		d.at = at
		list[i] = d.longText()
		at = d.at
	}
	d.at = at
}

func (d *decoder) longText() string {
	length := d.count(minTextBytes)
	at := d.at
	d.at += length
	return d.in[at:d.at]
}

// count reads the number of elements that follow, of at least size bytes each. It refuses a number
// for which the input is too short. Otherwise a few bytes of a forged entry could ask for gigabytes
// of memory. The sum over all lists, d.claimed, does the same for lists within lists.
func (d *decoder) count(size int) int { return d.room(d.uvarint(), size) }

// length is count for a slice or map that may be nil, which is not the same as empty.
func (d *decoder) length(size int) (count int, null bool) {
	length := d.uvarint()
	if length == 0 || d.err != nil {
		return 0, true
	}
	count = d.room(length-1, size)
	return count, d.err != nil
}

func (d *decoder) room(count uint64, size int) int {
	if count > uint64(len(d.in)-d.at) { // so the product below cannot overflow
		d.fail("a length beyond the end")
		return 0
	}
	d.claimed += int(count) * size
	if d.claimed > len(d.in) {
		d.fail("more elements than there is room for")
		return 0
	}
	return int(count)
}

func (d *decoder) uvarint() uint64 {
	if at := d.at; at < len(d.in) && d.in[at] < 0x80 {
		d.at = at + 1
		return uint64(d.in[at])
	}
	return d.longUvarint()
}

func (d *decoder) longUvarint() uint64 {
	var value uint64
	for i := range binary.MaxVarintLen64 {
		if d.at+i >= len(d.in) {
			break
		}
		b := d.in[d.at+i]
		if b < 0x80 {
			if i == binary.MaxVarintLen64-1 && b > 1 {
				break // more than 64 bits
			}
			d.at += i + 1
			return value | uint64(b)<<(7*i)
		}
		value |= uint64(b&0x7f) << (7 * i)
	}
	d.fail("an unreadable number")
	return 0
}

func (d *decoder) varint() int64 {
	value := d.uvarint()
	return int64(value>>1) ^ -int64(value&1)
}

func (d *decoder) fixed64() uint64 {
	if len(d.in)-d.at < 8 {
		d.fail("a truncated number")
		return 0
	}
	b := d.in[d.at : d.at+8]
	d.at += 8
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func (d *decoder) fixed32() uint32 {
	if len(d.in)-d.at < 4 {
		d.fail("a truncated number")
		return 0
	}
	b := d.in[d.at : d.at+4]
	d.at += 4
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func (d *decoder) time() time.Time { return time.UnixMilli(int64(d.fixed64())).UTC() }

func (d *decoder) byte() byte {
	if d.at >= len(d.in) {
		d.fail("a missing byte")
		return 0
	}
	d.at++
	return d.in[d.at-1]
}

// list reads a list of texts.
func (d *decoder) list() []string {
	count, null := d.length(minTextBytes)
	if null {
		return nil
	}
	texts := make([]string, count)
	d.texts(texts)
	return texts
}
