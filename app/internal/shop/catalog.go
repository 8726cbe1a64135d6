package shop

import (
	"context"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// Catalog reads products through the cache. It is safe for concurrent use.
type Catalog struct {
	store    *Store
	products *cache.Cache[Product]
}

// NewCatalog returns the catalog of store.
func NewCatalog(store *Store, service *cache.Service) (*Catalog, error) {
	products, err := cache.New(service, "product", cache.Policy[Product]{
		// The TTL limits how long a change made outside this program goes unnoticed.
		TTL: 10 * time.Minute,
		// The tag "products" drops all products at once, for example after an import. The other tag
		// is the product's own. Entries of other caches that show the product can carry it too.
		Tags:   []string{"products"},
		TagsOf: func(p Product) []string { return []string{p.ID.Tag()} },
	})
	if err != nil {
		return nil, err
	}
	return &Catalog{store, products}, nil
}

// Get returns a product from the cache, or else from the database. If many requests miss the same
// product at the same time, the database is read once.
func (c *Catalog) Get(ctx context.Context, id ProductID) (Product, error) {
	return c.products.GetOrLoad(ctx, id.String(), func(ctx context.Context) (Product, error) {
		return c.store.Product(ctx, id)
	})
}

// Update changes a product, in the database and then in the cache.
//
// The order matters. The cache's Update stores the new product after UpdateProduct has committed,
// and only if nobody else has changed it since. If the cache were changed first, a reader in
// between would load the old product and cache it until its TTL ends. If a write does not produce a
// single cached value, use two steps: commit, then Delete or InvalidateTags.
//
// A *cache.Error together with a product means that the database has the change, but the cache may
// still serve the old product. Tell the caller to repeat the call.
func (c *Catalog) Update(ctx context.Context, p Product) (Product, error) {
	return c.products.Update(ctx, p.ID.String(), func(ctx context.Context) (Product, error) {
		return c.store.UpdateProduct(ctx, p)
	})
}
