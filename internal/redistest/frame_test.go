package redistest_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

func TestFrames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		stream string
		want   any // the first value
		frames int // the end not counted
	}{
		{stream: "+OK\r\n:12\r\n", want: "OK", frames: 2},
		{stream: "-ERR no\r\n", want: redistest.ReplyError("ERR no"), frames: 1},
		{stream: "$4\r\na\r\nb\r\n$-1\r\n", want: "a\r\nb", frames: 2},
		{stream: "*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n", want: []any{"GET", "k"}, frames: 2},
		{stream: "*-1\r\n", want: nil, frames: 1},
		{stream: "%1\r\n+a\r\n_\r\n", want: []any{"a", nil}, frames: 1},
		{stream: "|1\r\n+ttl\r\n:3\r\n,1.5\r\n", want: "1.5", frames: 1},
		{stream: ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n#t\r\n", want: []any{"invalidate", []any{"k"}}, frames: 2},
		{stream: "!5\r\nERR x\r\n=7\r\ntxt:abc\r\n(123\r\n", want: redistest.ReplyError("ERR x"), frames: 3},
		{stream: "get  k\n+OK\r\n", want: []any{"get", "k"}, frames: 2},
		{stream: "\x16\x03\x01 $1\r\n", want: nil, frames: 1},
		{stream: "*x\r\n", want: nil, frames: 1},
		{stream: ":x\r\n", want: nil, frames: 1},
		{stream: "$1\r\nabc", want: nil, frames: 1},
	} {
		frames, values := redistest.Frames([]byte(test.stream))
		if len(frames)-1 != test.frames || !reflect.DeepEqual(values[0], test.want) || string(bytes.Join(frames, nil)) != test.stream {
			t.Errorf("%q: %q are %#v", test.stream, frames, values)
		}
	}
}

// FuzzFrames: whatever comes, the proxy neither loses nor adds a byte.
func FuzzFrames(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "*1\r\n$4\r\nPING\r\n", "%1\r\n+a\r\n_\r\n", "|1\r\n+a\r\n:1\r\n#t\r\n", "\x16\x03\x01", "$5\r\nab", "PING\r\n", ":\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		frames, _ := redistest.Frames(stream)
		if got := bytes.Join(frames, nil); !bytes.Equal(got, stream) {
			t.Errorf("%q came out as %q", stream, got)
		}
	})
}
