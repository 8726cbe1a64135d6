package shop

import (
	"context"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// Catalog is the products, read through the cache. It is safe for concurrent use.
type Catalog struct {
	store    *Store
	products *cache.Cache[Product]
}

// NewCatalog returns the catalog of store.
func NewCatalog(store *Store, service *cache.Service) (*Catalog, error) {
	products, err := cache.New(service, "product", cache.Policy[Product]{
		// How long a change goes unnoticed that somebody makes past this program.
		TTL: 10 * time.Minute,
		// "products" drops all of them at once, after an import for example. The other tag is for
		// entries of other caches that show a product: they can carry it too.
		Tags:   []string{"products"},
		TagsOf: func(p Product) []string { return []string{p.ID.Tag()} },
	})
	if err != nil {
		return nil, err
	}
	return &Catalog{store, products}, nil
}

// Get returns a product, from the cache or else from the database. However many requests miss the
// same product at the same time, the database is asked once.
func (c *Catalog) Get(ctx context.Context, id ProductID) (Product, error) {
	return c.products.GetOrLoad(ctx, id.String(), func(ctx context.Context) (Product, error) {
		return c.store.Product(ctx, id)
	})
}

// Update changes a product, in the database and then in the cache.
//
// The order is what matters: Update of the cache stores the new product once UpdateProduct has
// committed, and not if somebody else has changed it since. The other way round, a reader in
// between would load the old product and cache it for good. Where the write is not a single value
// that is cached, do the same in two steps: commit, then Delete or InvalidateTags.
//
// A *cache.Error beside a product means that the database has it, but that the cache may still
// serve the old one: say so, and let the caller repeat the call.
func (c *Catalog) Update(ctx context.Context, p Product) (Product, error) {
	return c.products.Update(ctx, p.ID.String(), func(ctx context.Context) (Product, error) {
		return c.store.UpdateProduct(ctx, p)
	})
}
