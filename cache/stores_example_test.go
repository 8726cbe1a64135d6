package cache_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// Two stores, and what an operator says about caches: sessions have a store of their own, and
// prices are not cached for now. A tag reaches both stores. An fx application writes this in its
// configuration, as cache.stores and cache.caches.
func ExampleStore() {
	ctx := context.Background()
	strategies := make([]driver.Strategy, 2)
	for i := range strategies {
		var err error
		if strategies[i], err = bigcache.New(bigcache.Options{MaxSize: 16 * driver.MiB}); err != nil {
			log.Fatal(err)
		}
	}
	off := false
	service, err := cache.NewService(strategies[0], cache.Options{Namespace: "shop", StrategyName: "bigcache"},
		cache.Store{Name: "sessions", Strategy: strategies[1], Options: cache.Options{MaxTTL: 24 * time.Hour, StrategyName: "bigcache"}},
		cache.Caches{"session": {Store: "sessions"}, "price": {Enabled: &off}})
	if err != nil {
		log.Fatal(err)
	}
	if err := service.Start(ctx, nil); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = service.Stop(ctx) }()

	sessions, _ := cache.New(service, "session", cache.Policy[string]{Tags: []string{"bob"}})
	names, _ := cache.New(service, "name", cache.Policy[string]{Tags: []string{"bob"}})
	_ = sessions.Set(ctx, "token", "bob")
	_ = names.Set(ctx, "1", "Bob")
	for _, store := range service.Stores() {
		fmt.Println(store.Name, "sets:", store.Stats.Sets)
	}

	_ = service.InvalidateTags(ctx, "bob")
	_, inSessions, _ := sessions.Get(ctx, "token")
	_, inDefault, _ := names.Get(ctx, "1")
	fmt.Println("after the invalidation:", inSessions, inDefault)

	unused, _ := service.UnusedCaches()
	fmt.Println("nothing has made:", unused)
	// Output:
	// default sets: 1
	// sessions sets: 1
	// after the invalidation: false false
	// nothing has made: [price]
}

// A probe of the orchestrator asks Health, which never waits. A degraded Service goes on to get
// requests.
func ExampleService_Health() {
	service := open()
	fmt.Println(service.Health(context.Background()).Status)
	_ = service.Stop(context.Background())
	h := service.Health(context.Background())
	fmt.Println(h.Status, h.Reasons)
	// Output:
	// ready
	// down [the service has stopped]
}
