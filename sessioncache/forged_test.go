package sessioncache_test

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/fxcache/fxcache/sessioncache"
)

func TestUnknownVersion(t *testing.T) {
	t.Parallel()
	data := encode(t, goldenSession())
	for version := range 256 {
		data[0] = byte(version)
		_, err := sessioncache.Decode(data)
		if known := version == 2; errors.Is(err, sessioncache.ErrVersion) == known || known && err != nil {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

func TestTruncatedAndExtended(t *testing.T) {
	t.Parallel()
	for _, session := range []*sessioncache.CachedSession{{}, newSession(60), goldenSession()} {
		data := encode(t, session)
		for length := range data {
			if _, err := sessioncache.Decode(data[:length:length]); !errors.Is(err, sessioncache.ErrCorrupt) {
				t.Fatalf("%d of %d bytes: %v, want ErrCorrupt", length, len(data), err)
			}
		}
		if _, err := sessioncache.Decode(append(data, 0)); !errors.Is(err, sessioncache.ErrCorrupt) {
			t.Errorf("one byte too many: %v, want ErrCorrupt", err)
		}
	}
}

func TestChangedBytes(t *testing.T) {
	t.Parallel()
	data := encode(t, goldenSession())
	for i := range data {
		for bit := range 8 {
			forged := slices.Clone(data)
			forged[i] ^= 1 << bit
			checkForged(t, forged)
		}
		for _, value := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			forged := slices.Clone(data)
			forged[i] = value
			checkForged(t, forged)
		}
	}
}

// checkForged checks what holds for any input. The result is an error of this package, or a session
// whose encoding is no longer than the input. In both cases memory is proportional to the input.
func checkForged(t *testing.T, data []byte) {
	t.Helper()
	decoded, err := sessioncache.Decode(data)
	if err != nil {
		if !errors.Is(err, sessioncache.ErrCorrupt) && !errors.Is(err, sessioncache.ErrVersion) {
			t.Fatalf("%x: %v wraps neither ErrCorrupt nor ErrVersion", data, err)
		}
		return
	}
	first := encode(t, decoded)
	if len(first) > len(data) {
		t.Fatalf("%x encodes as %x, which is longer", data, first)
	}
	again, err := sessioncache.Decode(first)
	if err != nil {
		t.Fatalf("%x encodes as %x, which does not decode: %v", data, first, err)
	}
	if second := encode(t, again); !bytes.Equal(second, first) {
		t.Fatalf("%x encodes as %x and then as %x", data, first, second)
	}
}

// maxAmplification is how many bytes of memory one byte of input may cost. The worst input is a map
// of one pair: 336 bytes of memory for 4 bytes.
const maxAmplification = 128

// allocated returns how many bytes f allocates. It also counts allocations of other goroutines.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Not parallel: it measures memory. Each input announces far more than it holds, and must be
// refused before much memory is allocated. Two maps of 16,384 pairs cost most here.
func TestForgedCountsAllocateLittle(t *testing.T) {
	header := func(flags byte) []byte { return append([]byte{2, flags}, make([]byte, 16+4)...) }
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x7f}
	padding := make([]byte, 1<<16)
	nested := func(kind byte) []byte {
		data := append(header(4), 2, 0)
		for range 15 {
			data = append(data, kind, 0x80, 0x80, 0x01) // 16,384 elements in each
			if kind == 12 {
				data = append(data, 0)
			}
		}
		return append(data, padding...)
	}
	cases := map[string][]byte{
		"long text":        append(append([]byte{2, 0}, make([]byte, 16)...), huge...),
		"channels":         slices.Concat(header(1), []byte{0, 0}, huge, []byte{0}, padding),
		"channels in full": slices.Concat(header(1), []byte{0, 0}, []byte{0x80, 0x80, 0x04}, []byte{0}, padding),
		"permissions":      slices.Concat(header(1), []byte{0, 0, 1}, huge, padding),
		"custom fields":    slices.Concat(header(4), huge, padding),
		"list":             slices.Concat(header(4), []byte{2, 0, 10}, huge, padding),
		"strings":          slices.Concat(header(4), []byte{2, 0, 11}, huge, padding),
		"map":              slices.Concat(header(4), []byte{2, 0, 12}, huge, padding),
		"bytes":            slices.Concat(header(4), []byte{2, 0, 8}, huge, padding),
		"int64s":           slices.Concat(header(4), []byte{2, 0, 23, 4}, huge, padding),
		"times":            slices.Concat(header(4), []byte{2, 0, 23, 9}, huge, padding),
		"arrays":           slices.Concat(header(4), []byte{2, 0, 23, 22, 64, 0x80, 0x80, 0x03}, padding), // 49,151 of 64 bytes
		"tables":           slices.Concat(header(4), []byte{2, 0, 24, 7, 7}, huge, padding),
		"tables by array":  slices.Concat(header(4), []byte{2, 0, 24, 22, 64, 7, 0x80, 0x80, 0x02}, padding), // 32,767
		"lists in lists":   nested(10),
		"maps in maps":     nested(12),
	}
	for name, data := range cases {
		var err error
		used := allocated(func() { _, err = sessioncache.Decode(data) })
		if !errors.Is(err, sessioncache.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		if limit := uint64(48*len(data) + 1<<14); used > limit {
			t.Errorf("%s: %d bytes of input made it allocate %d, more than %d", name, len(data), used, limit)
		}
	}
}

// Each input differs from a valid encoding in one thing only. For example, the two counts of
// permissions disagree, or a channel takes a text of the next one.
func TestForgedNumbers(t *testing.T) {
	t.Parallel()
	user := append([]byte{2, 1}, make([]byte, 16+4+2)...)
	channel := func(permissions ...byte) []byte { return append([]byte{0, 1, 't', 0}, permissions...) }
	text := func(length ...byte) []byte { // of an anonymous session's id, the other three being empty
		return slices.Concat([]byte{2, 0}, make([]byte, 16), length, make([]byte, 3))
	}
	cases := map[string][]byte{
		"more than announced":           slices.Concat(user, []byte{1, 1}, channel(2, 0, 0)),
		"more in the first of two":      slices.Concat(user, []byte{2, 1}, channel(2, 0, 0), channel(0)),
		"fewer than announced":          slices.Concat(user, []byte{1, 2}, channel(1, 0), []byte{0}),
		"none of those announced":       slices.Concat(user, []byte{1, 4}, channel(0)),
		"announced without a channel":   slices.Concat([]byte{2, 1 | 4}, user[2:], []byte{0, 1}, []byte{1}),
		"count that overflows":          slices.Concat(user, []byte{1, 1}, channel(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), []byte{0}),
		"verified without a user":       append([]byte{2, 2}, make([]byte, 16+4)...),
		"unknown flag":                  append([]byte{2, 16}, make([]byte, 16+4)...),
		"number of more than 64 bits":   text(slices.Concat(bytes.Repeat([]byte{0x80}, 9), []byte{2})...),
		"number of more than ten bytes": text(slices.Concat(bytes.Repeat([]byte{0x80}, 10), []byte{0})...),
	}
	for name, data := range cases {
		if _, err := sessioncache.Decode(data); !errors.Is(err, sessioncache.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	for _, data := range [][]byte{slices.Concat(user, []byte{2, 1}, channel(1, 0), channel(0)), text(0)} {
		if _, err := sessioncache.Decode(data); err != nil {
			t.Errorf("the cases are wrong, a good one is refused: %v", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, session := range []*sessioncache.CachedSession{{}, newSession(0), newSession(2), newSession(60), goldenSession()} {
		f.Add(encode(f, session))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		used := allocated(func() { _, _ = sessioncache.Decode(data) })
		if limit := uint64(maxAmplification*len(data) + 1<<18); used > limit {
			t.Fatalf("%d bytes of input made it allocate %d, more than %d", len(data), used, limit)
		}
		checkForged(t, data)
	})
}
