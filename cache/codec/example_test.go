package codec_test

import (
	"fmt"
	"strings"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
	"github.com/fxcache/fxcache/cache/driver"
)

func ExampleCompress() {
	compressing := codec.Compress(cache.JSON{}, 4*driver.KiB)
	text := strings.Repeat("the same again, ", 1000)

	plain, _ := cache.JSON{}.Append(nil, text)
	stored, err := compressing.Append(nil, text)
	if err != nil {
		fmt.Println(err)
		return
	}
	var back string
	err = compressing.Unmarshal(stored, &back)
	fmt.Println(compressing.Name(), len(plain), len(stored) < 100, back == text, err)
	// Output: json+zstd 16002 true true <nil>
}

func ExampleByName() {
	c, err := codec.ByName("msgpack+zstd")
	fmt.Println(c.Name(), err)
	_, err = codec.ByName("xml")
	fmt.Println(err != nil, codec.Names())
	// Output:
	// msgpack+zstd <nil>
	// true [cbor cbor+zstd json json+zstd msgpack msgpack+zstd]
}
