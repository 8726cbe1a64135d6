package entry_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/entry"
)

type product struct{ Name string }

// A cache may have a codec of its own. What one codec has stored is foreign to every other, and the
// limit is the same.
func TestWith(t *testing.T) {
	t.Parallel()
	service := entry.NewCodec(cache.JSON{}, 100)
	if service.With(nil) != service {
		t.Error("without a codec, With does not return the Codec itself")
	}
	all := map[string]*entry.Codec{}
	for _, name := range codec.Names() {
		c, err := codec.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = service.With(c)
	}
	all["json of the service"] = service
	for writer, from := range all {
		typ := from.TypeOf(reflect.TypeFor[product](), "", nil)
		encoded, err := typ.Encode(product{"book"}, entry.Stamp{})
		if err != nil {
			t.Fatal(err)
		}
		for reader, to := range all {
			got, _, err := entry.DecodeAs[product](to.TypeOf(reflect.TypeFor[product](), "", nil), encoded)
			same := strings.TrimSuffix(writer, " of the service") == strings.TrimSuffix(reader, " of the service")
			if same && (err != nil || got.Name != "book") || !same && !errors.Is(err, entry.ErrForeign) {
				t.Errorf("written with %s, read with %s: %v, %v", writer, reader, got, err)
			}
		}
		if _, err := typ.Encode(product{strings.Repeat("x", 100)}, entry.Stamp{}); !errors.Is(err, driver.ErrValueTooLarge) {
			t.Errorf("%s, more than the limit: %v", writer, err)
		}
	}
}

// A codec that compresses is told the limit, and may say that a value is too large.
func TestLimitedCodec(t *testing.T) {
	t.Parallel()
	compressing := codec.Compress(cache.JSON{}, 1)
	long := product{strings.Repeat("x", 5000)}
	of := func(limit driver.Size) *entry.Type {
		return entry.NewCodec(compressing, limit).TypeOf(reflect.TypeFor[product](), "", nil)
	}
	encoded, err := of(6000).Encode(long, entry.Stamp{})
	if err != nil || len(encoded) > 200 {
		t.Fatalf("%d bytes, %v", len(encoded), err)
	}
	if got, _, err := entry.DecodeAs[product](of(6000), encoded); err != nil || got != long {
		t.Errorf("%v", err)
	}
	if _, _, err := entry.DecodeAs[product](of(4000), encoded); !errors.Is(err, entry.ErrDamaged) || !strings.Contains(err.Error(), "max_value_bytes") {
		t.Errorf("read with a smaller limit: %v", err)
	}
	_, err = of(4000).Encode(long, entry.Stamp{})
	if !errors.Is(err, driver.ErrValueTooLarge) || errors.Is(err, entry.ErrEncoding) || !strings.Contains(err.Error(), "4000") {
		t.Errorf("written with a smaller limit: %v", err)
	}
	if _, err := of(4000).Encode(make(chan int), entry.Stamp{}); !errors.Is(err, entry.ErrEncoding) {
		t.Errorf("a channel: %v", err)
	}
}
