package fxcache_test

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
)

type Product struct{ Name string }

func NewProducts(service *cache.Service) (*cache.Cache[Product], error) {
	return cache.New(service, "products", cache.Policy[Product]{TTL: time.Minute})
}

func Show(lc fx.Lifecycle, products *cache.Cache[Product]) {
	lc.Append(fx.StartHook(func(ctx context.Context) error {
		for range 2 {
			product, err := products.GetOrLoad(ctx, "1", func(context.Context) (Product, error) {
				fmt.Println("reading the database")
				return Product{Name: "Lamp"}, nil
			})
			if err != nil {
				return err
			}
			fmt.Println(product.Name)
		}
		return nil
	}))
}

// One option brings the cache into an application. With fxcache.ConfigFile("fxcache.yaml") beside it,
// the storage strategy is the operator's choice.
func Example() {
	app := fx.New(
		fxcache.Module,
		fx.Provide(NewProducts),
		fx.Invoke(Show),
		fx.NopLogger,
	)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
	}
	_ = app.Stop(context.Background())
	// Output:
	// reading the database
	// Lamp
	// Lamp
}
