package codec

import (
	"encoding/binary"
	"errors"
)

var errMalformed = errors.New("codec: malformed MessagePack")

// wellFormed checks that data is exactly one MessagePack value. The library trusts the lengths in
// the data, so a few damaged bytes could make it allocate gigabytes.
//
// Formats: https://github.com/msgpack/msgpack/blob/master/spec.md
func wellFormed(data []byte) error {
	left := []uint64{1} // how many values are still to come, at each level
	for len(left) > 0 {
		last := len(left) - 1
		if left[last] == 0 {
			left = left[:last]
			continue
		}
		left[last]--
		if len(data) == 0 {
			return errMalformed
		}
		head := data[0]
		data = data[1:]
		var size, values uint64
		switch {
		// small integers, nil, booleans
		case head <= 0x7f || head >= 0xe0 || head == 0xc0 || head == 0xc2 || head == 0xc3:
		case head <= 0x8f: // small map
			values = 2 * uint64(head&0x0f)
		case head <= 0x9f: // small array
			values = uint64(head & 0x0f)
		case head <= 0xbf: // small string
			size = uint64(head & 0x1f)
		case head >= 0xc4 && head <= 0xc6, head >= 0xd9 && head <= 0xdb: // binary, string
			size = announced(&data, 1<<((head-0xc4)%0x15))
		case head >= 0xc7 && head <= 0xc9: // extension, with its type
			size = announced(&data, 1<<(head-0xc7)) + 1
		case head == 0xca || head == 0xcb: // floats
			size = 4 << (head - 0xca)
		case head >= 0xcc && head <= 0xd3: // integers, unsigned and signed
			size = 1 << ((head - 0xcc) % 4)
		case head >= 0xd4 && head <= 0xd8: // extension of fixed size, with its type
			size = 1<<(head-0xd4) + 1
		case head == 0xdc || head == 0xdd:
			values = announced(&data, 2<<(head-0xdc))
		case head == 0xde || head == 0xdf:
			values = 2 * announced(&data, 2<<(head-0xde))
		default: // 0xc1 is never used
			return errMalformed
		}
		// Each value takes at least one byte.
		if size+values > uint64(len(data)) || len(left) == maxDepth {
			return errMalformed
		}
		data = data[size:]
		if values > 0 {
			left = append(left, values)
		}
	}
	if len(data) > 0 {
		return errMalformed
	}
	return nil
}

// announced reads a length of width bytes from the front of data. If data is too short, the length
// is larger than any data.
func announced(data *[]byte, width int) uint64 {
	var length [8]byte
	if len(*data) < width {
		return 1 << 62
	}
	copy(length[8-width:], (*data)[:width])
	*data = (*data)[width:]
	return binary.BigEndian.Uint64(length[:])
}
