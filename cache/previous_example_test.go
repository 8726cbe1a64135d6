package cache_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// A page is fetched again only if it has another ETag. The check is cheap, and the entry's time
// starts anew.
func ExamplePrevious() {
	type page struct{ ETag, Text string }
	fetch := func(ifNoneMatch string) (p page, modified bool) { // stands for an HTTP request
		if ifNoneMatch == `"v1"` {
			fmt.Println("304 Not Modified")
			return page{}, false
		}
		fmt.Println("200 OK")
		return page{`"v1"`, "Hello"}, true
	}

	ctx := context.Background()
	service := open()
	defer func() { _ = service.Stop(ctx) }()
	pages, err := cache.New(service, "page", cache.Policy[page]{
		TTL:        time.Millisecond, // minutes, in a real application
		StaleFor:   time.Hour,
		StaleAfter: 10 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	get := func() {
		p, err := pages.GetOrLoad(ctx, "/", func(ctx context.Context) (page, error) {
			previous, ok := cache.Previous[page](ctx)
			fresh, modified := fetch(previous.ETag)
			if ok && !modified {
				return page{}, cache.ErrNotModified
			}
			return fresh, nil
		})
		fmt.Println(p.Text, err)
	}
	get()
	for found := true; found; { // wait until the TTL has ended
		_, found, _ = pages.Get(ctx, "/")
	}
	get()
	fmt.Println(service.Stats().NotModified)
	// Output:
	// 200 OK
	// Hello <nil>
	// 304 Not Modified
	// Hello <nil>
	// 1
}
