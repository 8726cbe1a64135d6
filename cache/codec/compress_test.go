package codec_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
	"github.com/fxcache/fxcache/cache/driver"
)

// The library of MessagePack has a goroutine for each type, which makes values in advance.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/vmihailenco/msgpack/v5.cachedValue.func1"))
}

// octets is a codec for []byte that adds nothing, so that a test knows what is compressed. seen is
// called with what is decoded.
type octets struct{ seen func([]byte) }

func (octets) Name() string { return "octets" }

func (octets) Append(dst []byte, value any) ([]byte, error) {
	return append(dst, value.([]byte)...), nil
}

func (o octets) Unmarshal(data []byte, target any) error {
	if o.seen != nil {
		o.seen(data)
	}
	*target.(*[]byte) = bytes.Clone(data)
	return nil
}

// noise returns bytes that no codec makes smaller.
func noise(n int) []byte {
	random, out := rand.New(rand.NewPCG(1, 2)), make([]byte, n)
	for i := range out {
		out[i] = byte(random.Uint32())
	}
	return out
}

// text returns n bytes that compress about as well as JSON does.
func text(n int) []byte {
	var out []byte
	for i := 0; len(out) < n; i++ {
		out = strconv.AppendInt(append(out, `{"id":`...), int64(i*7919), 10)
		out = append(out, `,"name":"a customer"},`...)
	}
	return out[:n]
}

// contents are what a codec may have to compress, of all sizes around what matters: nothing, the
// thresholds, the smallest window, a block, the window.
func contents() map[string][]byte {
	all := map[string][]byte{}
	for _, n := range []int{0, 1, 2, 63, 64, 65, 255, 256, 257, 1023, 1024, 1025, 4096, 1 << 17, 1<<17 + 1, 300_000, 1<<20 - 1, 1 << 20, 3 << 20} {
		all["text of "+strconv.Itoa(n)] = text(n)
		all["noise of "+strconv.Itoa(n)] = noise(n)
		all["zeros, "+strconv.Itoa(n)] = make([]byte, n)
	}
	return all
}

func limited(t testing.TB, c cache.Codec) cache.LimitedCodec {
	t.Helper()
	l, ok := c.(cache.LimitedCodec)
	if !ok {
		t.Fatalf("%s has no limit", c.Name())
	}
	return l
}

const roomy = 16 * driver.MiB

// What is stored takes no more than a byte in addition to what the inner codec makes of it, and it
// comes back.
func TestCompressNeverGrows(t *testing.T) {
	t.Parallel()
	for name, content := range contents() {
		for _, threshold := range []driver.Size{-1, 0, 1, 64, 1 << 30} {
			var seen int
			c := limited(t, codec.Compress(octets{func(data []byte) { seen = len(data) }}, threshold))
			data, err := c.AppendLimited([]byte("before"), content, roomy)
			if err != nil || !bytes.HasPrefix(data, []byte("before")) {
				t.Fatalf("%s: %v", name, err)
			}
			data = data[len("before"):]
			if len(data) > len(content)+1 {
				t.Errorf("%s, threshold %d: became %d bytes", name, threshold, len(data))
			}
			small := driver.Size(len(content)) < threshold || threshold <= 0 && len(content) < 1024
			if small && (len(data) != len(content)+1 || !bytes.Equal(data[1:], content)) {
				t.Errorf("%s, threshold %d: is compressed", name, threshold)
			}
			if !small && !strings.HasPrefix(name, "noise") && len(content) > 255 && len(data) > len(content)/2 {
				t.Errorf("%s, threshold %d: is not compressed: %d bytes", name, threshold, len(data))
			}
			var got []byte
			if err := c.UnmarshalLimited(data, &got, roomy); err != nil || !bytes.Equal(got, content) || seen != len(content) {
				t.Errorf("%s, threshold %d: comes back as %d bytes, %v", name, threshold, len(got), err)
			}
		}
	}
}

// Every codec brings its values back in compression, and Unmarshal keeps no reference to data.
func TestCompressRoundTrip(t *testing.T) {
	t.Parallel()
	long := example()
	long.Name, long.Photo = strings.Repeat(long.Name, 1000), noise(5000)
	for _, inner := range []cache.Codec{cache.JSON{}, codec.CBOR{}, codec.MessagePack{}, codec.Compress(cache.JSON{}, 1)} {
		for _, threshold := range []driver.Size{0, 1, 1 << 30} {
			c := codec.Compress(inner, threshold)
			if c.Name() != inner.Name()+"+zstd" {
				t.Errorf("%s is called %s", inner.Name(), c.Name())
			}
			for _, want := range []customer{{}, example(), long} {
				data, err := c.Append([]byte("before"), want)
				if err != nil {
					t.Fatal(err)
				}
				data = data[len("before"):]
				var got customer
				if err := c.Unmarshal(data, &got); err != nil {
					t.Fatalf("%s, %d: %v", c.Name(), threshold, err)
				}
				clear(data)
				if !got.Created.Equal(want.Created) {
					t.Errorf("%s: %v, want %v", c.Name(), got.Created, want.Created)
				}
				got.Created = want.Created
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s, %d: got %+v\nwant %+v", c.Name(), threshold, got, want)
				}
			}
		}
	}
	if name := codec.Compress(nil, 0).Name(); name != "json+zstd" {
		t.Errorf("nil is %s", name)
	}
}

// Codecs that differ in the threshold only read each other's values.
func TestThresholdsAreCompatible(t *testing.T) {
	t.Parallel()
	for _, writer := range []driver.Size{1, 1 << 30} {
		data, err := codec.Compress(octets{}, writer).Append(nil, text(5000))
		if err != nil {
			t.Fatal(err)
		}
		for _, reader := range []driver.Size{1, 1 << 30} {
			var got []byte
			if err := codec.Compress(octets{}, reader).Unmarshal(data, &got); err != nil || !bytes.Equal(got, text(5000)) {
				t.Errorf("written with %d, read with %d: %v", writer, reader, err)
			}
		}
	}
}

// The limit is about the value before compression, in both directions.
func TestCompressLimit(t *testing.T) {
	t.Parallel()
	const size = 5000
	for _, content := range [][]byte{text(size), noise(size), make([]byte, size)} {
		for _, inner := range []cache.Codec{octets{}, codec.Compress(octets{}, 1<<30)} {
			for _, threshold := range []driver.Size{1, 1 << 30} {
				c := limited(t, codec.Compress(inner, threshold))
				if data, err := c.AppendLimited(nil, content, size-1); !errors.Is(err, driver.ErrValueTooLarge) || data != nil {
					t.Errorf("a byte more than the limit: %d bytes, %v", len(data), err)
				}
				data, err := c.AppendLimited(nil, content, size+1) // the format of an inner compression counts
				if err != nil {
					t.Fatal(err)
				}
				for limit, want := range map[driver.Size]bool{size + 1: true, size - 1: false, 1: false, 0: false, -1: false} {
					var got []byte
					if err := c.UnmarshalLimited(data, &got, limit); (err == nil) != want {
						t.Errorf("%d bytes within %d: %v", size, limit, err)
					}
				}
			}
		}
	}
	c := codec.Compress(octets{}, 1)
	if _, err := c.Append(nil, make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	if _, err := c.Append(nil, make([]byte, 1<<20+1)); !errors.Is(err, driver.ErrValueTooLarge) {
		t.Errorf("Append without a limit: %v", err)
	}
	data, err := limited(t, c).AppendLimited(nil, make([]byte, 1<<20+1), roomy)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Unmarshal(data, new([]byte)); err == nil {
		t.Error("Unmarshal without a limit takes more than 1 MiB")
	}
}

// max_value_bytes of the Service is the limit, before and after compression.
func TestCompressWithinTheService(t *testing.T) {
	t.Parallel()
	service := start(t, codec.Compress(cache.JSON{}, 0)) // 1 MiB
	for n, want := range map[int]error{1<<20 - 2: nil, 1<<20 - 1: cache.ErrValueTooLarge, 8 << 20: cache.ErrValueTooLarge} {
		value := strings.Repeat("x", n)
		err := service.Set(t.Context(), "k", value, cache.SetOptions{})
		if !errors.Is(err, want) || errors.Is(err, cache.ErrEncoding) || err != nil && !strings.Contains(err.Error(), "max_value_bytes") {
			t.Errorf("%d bytes in quotes: %v", n, err)
		}
		var got string
		if found, err := service.Get(t.Context(), "k", &got); found != (want == nil) || err != nil || found && got != value {
			t.Errorf("%d bytes in quotes: %v, %v", n, found, err)
		}
	}
	if stats := service.Stats(); stats.Corrupt != 0 {
		t.Errorf("%+v", stats)
	}
}

// A codec of a later release may have other formats. Its entries stay.
func TestUnknownFormatIsForeign(t *testing.T) {
	t.Parallel()
	for format := 2; format < 256; format++ {
		if err := codec.Compress(octets{}, 0).Unmarshal([]byte{byte(format), 1, 2, 3}, new([]byte)); !errors.Is(err, cache.ErrForeign) {
			t.Errorf("format %d: %v", format, err)
		}
	}
}

// Parts of frames of zstd, RFC 8878, section 3.1.1.
const (
	magic    = "\x28\xb5\x2f\xfd"
	checksum = "sum!"
	// the header of a frame of a single segment with a checksum and a size of 8 bytes
	sized = magic + "\xe4"
	// the same without a checksum
	unsummed = magic + "\xe0"
	// with a checksum and a window of 1 KiB, without a size
	unsized = magic + "\x04\x00"
	// with a window of 3.75 TiB and a size of 8 bytes
	widest    = magic + "\xc4\xff"
	skippable = "\x50\x2a\x4d\x18\x04\x00\x00\x00skip"
)

// repeated is a block of 128 KiB that takes 4 bytes.
func repeated(last bool) string {
	head := uint32(1<<17)<<3 | 1<<1
	if last {
		head |= 1
	}
	return string(binary.LittleEndian.AppendUint32(nil, head)[:3]) + "\x00"
}

func eight(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

// frameOf is what a plain encoder makes of content.
func frameOf(t testing.TB, content []byte, options ...zstd.EOption) string {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = encoder.Close() }()
	return string(encoder.EncodeAll(content, nil))
}

// streamed is a frame without a size.
func streamed(t testing.TB, content []byte) string {
	t.Helper()
	var out bytes.Buffer
	encoder, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for part := content; len(part) > 0; part = part[min(len(part), 1000):] {
		if _, err := encoder.Write(part[:min(len(part), 1000)]); err != nil {
			t.Fatal(err)
		}
	}
	if err := encoder.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// hostile are frames that nobody may decompress within 1 MiB.
func hostile(t testing.TB) map[string]string {
	t.Helper()
	small, many := frameOf(t, text(2000)), strings.Repeat(repeated(false), 10_000)+repeated(true)
	flipped := []byte(small)
	flipped[len(flipped)-1] ^= 1
	return map[string]string{
		"a byte more than the limit":                   frameOf(t, make([]byte, 1<<20+1)),
		"64 MiB":                                       frameOf(t, make([]byte, 64<<20)),
		"64 MiB without a size":                        streamed(t, make([]byte, 64<<20)),
		"a gibibyte that is declared and not there":    sized + eight(1<<30) + repeated(true) + checksum,
		"an exbibyte that is declared":                 sized + eight(1<<60) + repeated(true) + checksum,
		"all sizes there are":                          sized + eight(1<<64-1) + repeated(true) + checksum,
		"a negative size":                              sized + eight(1<<63) + repeated(true) + checksum,
		"the limit that is declared, and less there":   sized + eight(1<<20) + repeated(true) + checksum,
		"1.2 GiB with a size of 100":                   sized + eight(100) + many + checksum,
		"1.2 GiB with a size of the limit":             sized + eight(1<<20) + many + checksum,
		"1.2 GiB without a size":                       unsized + many + checksum,
		"1.2 GiB without a checksum":                   unsummed + eight(1<<20) + many,
		"a window of 3.75 TiB":                         widest + eight(1<<17) + repeated(true) + checksum,
		"nothing, without a size":                      unsized + "\x01\x00\x00" + "\x99\xe9\xd8\x51", // with its checksum
		"no checksum, and four bytes":                  frameOf(t, text(2000), zstd.WithEncoderCRC(false)) + checksum,
		"no checksum":                                  frameOf(t, text(2000), zstd.WithEncoderCRC(false)),
		"another checksum":                             string(flipped),
		"two frames":                                   small + small,
		"1,000 frames of 1 MiB":                        strings.Repeat(frameOf(t, make([]byte, 1<<20)), 1000),
		"100,000 empty frames":                         strings.Repeat(frameOf(t, nil, zstd.WithZeroFrames(true)), 100_000),
		"a frame, and something that is skipped":       small + skippable,
		"something that is skipped, and a frame":       skippable + small,
		"only something that is skipped":               skippable,
		"something that is skipped, of 4 GiB":          "\x50\x2a\x4d\x18\xff\xff\xff\xff",
		"a frame, and a byte":                          small + "\x00",
		"a dictionary that nobody has":                 magic + "\x25\x07\x64" + repeated(true) + checksum,
		"a block that is longer than the data":         sized + eight(100) + "\x01\xff\xff",
		"a block of a reserved type":                   sized + eight(100) + "\x07\x00\x00" + checksum,
		"no block":                                     sized + eight(100),
		"half a header":                                magic + "\xe4\x00\x00",
		"the magic number":                             magic,
		"nothing":                                      "",
		"no zstd":                                      strings.Repeat("x", 100),
		"zstd of a release before the format was made": "\x27\xb5\x2f\xfd" + small[4:],
	}
}

// What would become larger than the limit is an error, and takes no memory.
func TestBombs(t *testing.T) { // not parallel: it measures
	seen := 0
	c := codec.Compress(octets{func(data []byte) { seen = max(seen, len(data)) }}, 1)
	if data, err := c.Append(nil, text(2000)); err != nil || c.Unmarshal(data, new([]byte)) != nil { // makes a decoder
		t.Fatal(err)
	}
	for name, frame := range hostile(t) {
		data := append([]byte{1}, frame...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := c.Unmarshal(data, new([]byte))
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; err == nil || errors.Is(err, cache.ErrForeign) || grown > 4<<20 {
			t.Errorf("%s: %v, and %d MiB", name, err, grown>>20)
		}
	}
	if seen > 2000 {
		t.Errorf("the codec was given %d bytes", seen)
	}
	if err := c.Unmarshal(nil, new([]byte)); err == nil {
		t.Error("no data at all decodes")
	}
}

// A frame is damaged if it is shorter, longer or another one.
func TestDamagedFrames(t *testing.T) {
	t.Parallel()
	c := codec.Compress(octets{}, 1)
	data, err := c.Append(nil, text(700))
	if err != nil || data[0] != 1 {
		t.Fatalf("% x, %v", data, err)
	}
	for n := range data {
		if err := c.Unmarshal(data[:n:n], new([]byte)); err == nil {
			t.Errorf("the first %d of %d bytes decode", n, len(data))
		}
	}
	for i := 1; i < len(data); i++ {
		for bit := range 8 {
			flipped := bytes.Clone(data)
			flipped[i] ^= 1 << bit
			var got []byte
			if err := c.Unmarshal(flipped, &got); err == nil && !bytes.Equal(got, text(700)) {
				t.Errorf("bit %d of byte %d: another value is read", bit, i)
			}
		}
	}
}

// Many goroutines share the encoders and decoders.
func TestCompressConcurrently(t *testing.T) {
	t.Parallel()
	c := codec.Compress(cache.JSON{}, 64)
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for n := range 50 {
				want := strings.Repeat(strconv.Itoa(i*1000+n)+",", 10+n*37)
				data, err := c.Append(nil, want)
				var got string
				if err == nil && n%5 == 0 {
					_ = c.Unmarshal(append(data[:len(data):len(data)], 0), new(string)) // an error must not spoil the pool
				}
				if err == nil {
					err = c.Unmarshal(data, &got)
				}
				if err != nil || got != want {
					t.Errorf("%d bytes for %d, %v", len(got), len(want), err)
				}
			}
		})
	}
	group.Wait()
}

// Of a codec that tells which types it cannot bring back, the compressing one tells it as well.
func TestCompressChecksTypes(t *testing.T) {
	t.Parallel()
	checker, ok := codec.Compress(cache.JSON{}, 0).(cache.TypeChecker)
	if !ok || len(checker.CheckType(reflect.TypeFor[mixed]())) == 0 || len(checker.CheckType(reflect.TypeFor[plain]())) != 0 {
		t.Errorf("%v", ok)
	}
	if checker, ok := codec.Compress(octets{}, 0).(cache.TypeChecker); ok && len(checker.CheckType(reflect.TypeFor[mixed]())) != 0 {
		t.Error("of a codec that knows no types")
	}
	if _, err := codec.Compress(cache.JSON{}, 0).Append(nil, make(chan int)); err == nil {
		t.Error("a channel encodes")
	}
}

// Whatever the bytes are, a value has no more than the limit, and they take no more memory than a
// few times that.
func FuzzDecompress(f *testing.F) {
	const limit = 64 * driver.KiB
	for _, frame := range hostile(f) {
		if len(frame) < 1<<17 {
			f.Add(append([]byte{1}, frame...))
		}
	}
	for _, content := range [][]byte{nil, text(300), text(5000), noise(300), make([]byte, limit), make([]byte, limit+1)} {
		f.Add(append([]byte{0}, content...))
		f.Add(append([]byte{1}, frameOf(f, content)...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		seen := 0
		c := limited(t, codec.Compress(octets{func(data []byte) { seen = len(data) }}, 1))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var got []byte
		err := c.UnmarshalLimited(data, &got, limit)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 || seen > int(limit) {
			t.Fatalf("%d bytes take %d KiB, and become %d", len(data), grown>>10, seen)
		}
		if err != nil {
			return
		}
		again, err := c.AppendLimited(nil, got, limit)
		if err != nil || len(again) > len(got)+1 {
			t.Fatalf("%d bytes for %d, %v", len(again), len(got), err)
		}
		var second []byte
		if err := c.UnmarshalLimited(again, &second, limit); err != nil || !bytes.Equal(second, got) {
			t.Fatalf("decodes, but not what it encodes to: %v", err)
		}
	})
}

func BenchmarkCompress(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		for name, content := range map[string][]byte{"text": text(size), "noise": noise(size)} {
			c := codec.Compress(octets{}, 1)
			data, err := c.Append(nil, content)
			if err != nil {
				b.Fatal(err)
			}
			prefix := "content=" + name + "/bytes=" + strconv.Itoa(size)
			b.Run(prefix+"/op=append", func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				buffer := make([]byte, 0, size+1024)
				for b.Loop() {
					if _, err := c.Append(buffer, content); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(data))/float64(size), "stored/byte")
			})
			b.Run(prefix+"/op=unmarshal", func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				var got []byte
				for b.Loop() {
					if err := c.Unmarshal(data, &got); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
