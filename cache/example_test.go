package cache_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"log"
	"time"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

type product struct {
	ID    int
	Name  string
	Cents int
}

// products stands for a table of a database.
type products map[string]product

func (p products) find(_ context.Context, id string) (product, error) {
	row, found := p[id]
	if !found {
		return product{}, cache.ErrNotFound
	}
	fmt.Println("SELECT", id)
	return row, nil
}

// open starts a Service over the embedded strategy. In an fx application, the module does this.
func open() *cache.Service {
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 16 * driver.MiB})
	if err != nil {
		log.Fatal(err)
	}
	service, err := cache.NewService(strategy, cache.Options{Namespace: "shop", StrategyName: bigcache.Name})
	if err != nil {
		log.Fatal(err)
	}
	if err := service.Start(context.Background(), nil); err != nil {
		log.Fatal(err)
	}
	return service
}

// A Service works without fx: choose a strategy, start, stop.
func ExampleNewService() {
	ctx := context.Background()
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 16 * driver.MiB})
	if err != nil {
		log.Fatal(err)
	}
	service, err := cache.NewService(strategy, cache.Options{Namespace: "shop", MaxTTL: 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	if err := service.Start(ctx, nil); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = service.Stop(ctx) }()

	err = service.Set(ctx, "visitors", 0, cache.SetOptions{TTL: time.Minute, Tags: []string{"statistics"}})
	if err != nil {
		log.Fatal(err)
	}
	visitors := -1
	found, err := service.Get(ctx, "visitors", &visitors)
	fmt.Println(visitors, found, err) // a zero is a hit like any other

	err = service.InvalidateTags(ctx, "statistics")
	fmt.Println(err)
	found, err = service.Get(ctx, "visitors", &visitors)
	fmt.Println(found, err)
	// Output:
	// 0 true <nil>
	// <nil>
	// false <nil>
}

// GetOrLoad asks the database once. ErrNotFound is not stored.
func ExampleCache_GetOrLoad() {
	ctx := context.Background()
	service := open()
	defer func() { _ = service.Stop(ctx) }()
	database := products{"1": {1, "chair", 9900}}

	c, err := cache.New(service, "products", cache.Policy[product]{TTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"1", "1", "2"} {
		found, err := c.GetOrLoad(ctx, id, func(ctx context.Context) (product, error) { return database.find(ctx, id) })
		fmt.Println(found.Name, err)
	}
	// Output:
	// SELECT 1
	// chair <nil>
	// chair <nil>
	//  cache: not found
}

// Update writes to the database and to the cache. A deletion in between would win.
func ExampleCache_Update() {
	ctx := context.Background()
	service := open()
	defer func() { _ = service.Stop(ctx) }()
	database := products{"1": {1, "chair", 9900}}

	c, err := cache.New(service, "products", cache.Policy[product]{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.Update(ctx, "1", func(context.Context) (product, error) {
		row := database["1"]
		row.Cents = 8900
		database["1"] = row // and commit
		return row, nil
	})
	fmt.Println(err)
	stored, found, err := c.Get(ctx, "1")
	fmt.Println(stored.Cents, found, err)
	// Output:
	// <nil>
	// 8900 true <nil>
}

// InvalidateTags invalidates many entries in one call. TagsOf adds tags that are known from the
// value only.
func ExampleCache_InvalidateTags() {
	ctx := context.Background()
	service := open()
	defer func() { _ = service.Stop(ctx) }()
	database := products{"1": {1, "chair", 9900}, "2": {2, "table", 29900}}

	c, err := cache.New(service, "products", cache.Policy[product]{
		Tags:   []string{"catalogue"},
		TagsOf: func(p product) []string { return []string{"name:" + p.Name} },
	})
	if err != nil {
		log.Fatal(err)
	}
	show := func(id string) {
		if _, err := c.GetOrLoad(ctx, id, func(ctx context.Context) (product, error) { return database.find(ctx, id) }); err != nil {
			log.Fatal(err)
		}
	}
	show("1")
	show("2")
	fmt.Println(c.InvalidateTags(ctx, "name:chair"))
	show("1") // again from the database
	show("2") // still cached
	// Output:
	// SELECT 1
	// SELECT 2
	// <nil>
	// SELECT 1
}

// A strategy resolves what it needs in Init. In an fx application the type must be exported.
func ExampleResolve() {
	container := dig.New()
	if err := container.Provide(func() *products { return &products{"1": {}} }); err != nil {
		log.Fatal(err)
	}
	database, err := driver.Resolve[*products](container)
	fmt.Println(len(*database), err)

	_, err = driver.Resolve[*product](container)
	fmt.Println(err != nil)
	// Output:
	// 1 <nil>
	// true
}

// xmlCodec stores values as XML.
type xmlCodec struct{}

func (xmlCodec) Name() string { return "xml" }

func (xmlCodec) Append(dst []byte, value any) ([]byte, error) {
	text, err := xml.Marshal(value)
	return append(dst, text...), err
}

func (xmlCodec) Unmarshal(data []byte, target any) error { return xml.Unmarshal(data, target) }

// An application can have a Codec of its own.
func ExampleCodec() {
	var codec cache.Codec = xmlCodec{}
	text, err := codec.Append(nil, product{1, "chair", 9900})
	fmt.Println(string(text), err)
	// Output:
	// <product><ID>1</ID><Name>chair</Name><Cents>9900</Cents></product> <nil>
}

func ExampleParseSize() {
	size, err := driver.ParseSize("64MiB")
	fmt.Println(int64(size), size, err)
	// Output:
	// 67108864 64MiB <nil>
}

func ExampleNewSecret() {
	password := cache.NewSecret("hunter2")
	fmt.Printf("%v %+v %q\n", password, password, password)
	fmt.Println(password.Reveal())
	// Output:
	// [redacted] [redacted] [redacted]
	// hunter2
}

// All keys that are missing are one call of the loader, and so one SELECT.
func ExampleCache_GetOrLoadMany() {
	ctx, service := context.Background(), open()
	defer func() { _ = service.Stop(ctx) }()
	table := products{"1": {1, "tea", 450}, "2": {2, "rice", 300}, "3": {3, "salt", 90}}
	c, err := cache.New(service, "product", cache.Policy[product]{})
	if err != nil {
		log.Fatal(err)
	}
	load := func(_ context.Context, missing []string) (map[string]product, error) {
		fmt.Println("SELECT … WHERE id IN", missing)
		rows := make(map[string]product)
		for _, id := range missing {
			if row, found := table[id]; found {
				rows[id] = row
			}
		}
		return rows, nil // what is left out does not exist
	}
	for _, ids := range [][]string{{"1", "2"}, {"1", "2", "3", "4"}} {
		found, err := c.GetOrLoadMany(ctx, ids, load)
		fmt.Println(len(found), "of", len(ids), err)
	}
	// Output:
	// SELECT … WHERE id IN [1 2]
	// 2 of 2 <nil>
	// SELECT … WHERE id IN [3 4]
	// 3 of 4 <nil>
}
