package redistest

import (
	"bufio"
	"bytes"
)

// Frames splits a stream as a Proxy does, up to its end.
func Frames(stream []byte) (frames [][]byte, values []any) {
	r := frameReader{Reader: bufio.NewReader(bytes.NewReader(stream))}
	for {
		value, raw, err := r.frame()
		frames, values = append(frames, raw), append(values, value)
		if err != nil {
			return frames, values
		}
	}
}
