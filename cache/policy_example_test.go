package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// While the database is down, stale values are still served, and a missing row is still known to be
// missing.
func ExamplePolicy_staleFor() {
	ctx := context.Background()
	service := open()
	defer func() { _ = service.Stop(ctx) }()
	cached, err := cache.New(service, "product", cache.Policy[product]{
		TTL:         time.Millisecond, // minutes, in a real application
		StaleFor:    time.Hour,
		NegativeTTL: time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	rows := products{"7": {7, "Keyboard", 4900}}
	get := func(id string, load func(context.Context, string) (product, error)) {
		p, err := cached.GetOrLoad(ctx, id, func(ctx context.Context) (product, error) { return load(ctx, id) })
		fmt.Println(p.Name, err)
	}
	get("7", rows.find)
	get("8", rows.find)
	for found := true; found; { // wait until the TTL has ended
		_, found, _ = cached.Get(ctx, "7")
	}
	down := func(context.Context, string) (product, error) { return product{}, errors.New("database is down") }
	get("7", down)
	get("8", down)
	// Output:
	// SELECT 7
	// Keyboard <nil>
	//  cache: not found
	// Keyboard <nil>
	//  cache: not found
}

// GetMany reads everything that a page needs in one round trip.
func ExampleCache_GetMany() {
	ctx := context.Background()
	service := open()
	defer func() { _ = service.Stop(ctx) }()
	cached, err := cache.New(service, "product", cache.Policy[product]{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	if err := cached.SetMany(ctx, map[string]product{"7": {7, "Keyboard", 4900}, "8": {8, "Mouse", 1900}}); err != nil {
		log.Fatal(err)
	}
	found, err := cached.GetMany(ctx, "7", "8", "9")
	var partial *cache.BatchError
	if errors.As(err, &partial) {
		log.Printf("%d keys could not be read", len(partial.Failed))
	}
	fmt.Println(len(found), found["7"].Name, found["8"].Name)
	// Output: 2 Keyboard Mouse
}
