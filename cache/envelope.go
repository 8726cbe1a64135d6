package cache

import (
	"errors"
	"hash/fnv"
)

// Every value that Service stores starts with two bytes: the format, and a tag for how the rest is
// encoded. What does not start like that was written by somebody else, by a future version, or under
// another codec, and reads as a miss.
const (
	envelopeBytes  = 2
	envelopeFormat = 0x01
	envelopeNil    = 0x02 // a nil pointer, where the codec is not asked
	selfEncoded    = 0x00 // the tag of types that encode themselves
)

var errForeign = errors.New("cache: the entry cannot be read: it is damaged, or of another version, type or codec")

// codecTag folds a codec's name into one byte other than selfEncoded.
func codecTag(name string) byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return byte(h.Sum32()%255) + 1
}

// openEnvelope returns what was sealed. The result shares value's memory.
func openEnvelope(value []byte, tag byte, limit Size) ([]byte, error) {
	if len(value) < envelopeBytes || value[0] != envelopeFormat || value[1] != tag ||
		Size(len(value)-envelopeBytes) > limit {
		return nil, errForeign
	}
	return value[envelopeBytes:], nil
}
