package cache_test

import (
	"math"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache/driver"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]driver.Size{
		"0": 0, "1": 1, "1048576": driver.MiB, "1B": 1, "1KiB": driver.KiB, "64MiB": 64 * driver.MiB, "512 KiB": 512 * driver.KiB,
		" 2GiB ": 2 * driver.GiB, "1TiB": driver.TiB, "1kB": 1000, "1KB": 1000, "3MB": 3e6, "1GB": 1e9, "2TB": 2e12, "-1": -1, "-1KiB": -1024,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64, "007": 7, "8388607TiB": 8388607 * driver.TiB,
	} {
		if got, err := driver.ParseSize(text); got != want || err != nil {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
		var size driver.Size
		if err := size.UnmarshalText([]byte(text)); size != want || err != nil {
			t.Errorf("UnmarshalText(%q) = %d, %v", text, size, err)
		}
	}
	for _, text := range []string{
		"", " ", "B", "MiB", "+1", "1.5MiB", "1e3", "0x10", "1_000", "1 M", "1mib", "1MiBB", "MiB1", "1 Mi B", "--1", "1KiBMiB",
		"9223372036854775808", "8388608TiB", "-8388609TiB", "1\x00", "１KiB",
	} {
		if got, err := driver.ParseSize(text); err == nil || got != 0 || !strings.Contains(err.Error(), "size") {
			t.Errorf("ParseSize(%q) = %d, %v", text, got, err)
		}
		size := driver.Size(7)
		if err := size.UnmarshalText([]byte(text)); err == nil || size != 7 {
			t.Errorf("UnmarshalText(%q) = %d, %v", text, size, err)
		}
	}
}

func TestSizeString(t *testing.T) {
	t.Parallel()
	for size, want := range map[driver.Size]string{
		0: "0B", 1: "1B", 1000: "1000B", 1024: "1KiB", 1536: "1536B", driver.MiB: "1MiB", 3 * driver.GiB: "3GiB", 1025 * driver.TiB: "1025TiB",
		-1024: "-1KiB", math.MaxInt64: "9223372036854775807B", math.MinInt64: "-8388608TiB",
	} {
		if got := size.String(); got != want {
			t.Errorf("%d is %q, want %q", int64(size), got, want)
		}
		if text, err := size.MarshalText(); string(text) != want || err != nil {
			t.Errorf("MarshalText(%d) = %q, %v", int64(size), text, err)
		}
	}
}

// ParseSize never panics, and reads back what String writes.
func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"", "64MiB", "-8388608TiB", "512 KiB", "9223372036854775807", "9223372036854775808kB", "+1", "1.5GiB", "B"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := driver.ParseSize(text)
		if err != nil {
			return
		}
		if again, err := driver.ParseSize(size.String()); again != size || err != nil {
			t.Errorf("%q is %d, written as %q, read as %d, %v", text, int64(size), size, int64(again), err)
		}
	})
}
