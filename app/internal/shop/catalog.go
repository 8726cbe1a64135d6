package shop

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
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

// ProductID is the ID of a product. It is a number, not the text that a client sent: "1" and "01"
// are the same row in the database, and must not become two entries in the cache. It is a type of
// its own so that another kind of ID cannot become the key of a product.
type ProductID int64

// String returns the ID as it appears in paths and in the cache's keys.
func (id ProductID) String() string { return strconv.FormatInt(int64(id), 10) }

// Tag returns the tag of every cached value that shows the product.
func (id ProductID) Tag() string { return "product:" + id.String() }

// Product is an article of the shop.
type Product struct {
	ID         ProductID `json:"id"`
	Name       string    `json:"name"`
	PriceCents int64     `json:"price_cents"`
}

// Product returns one product.
func (s *Store) Product(ctx context.Context, id ProductID) (Product, error) {
	return scanProduct(s.db.QueryRowContext(ctx, `SELECT id, name, price_cents FROM products WHERE id = ?`, id))
}

// UpdateProduct replaces the product with p's ID and returns the stored product.
func (s *Store) UpdateProduct(ctx context.Context, p Product) (updated Product, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		updated, err = scanProduct(tx.QueryRowContext(ctx,
			`UPDATE products SET name = ?, price_cents = ? WHERE id = ? RETURNING id, name, price_cents`, p.Name, p.PriceCents, p.ID))
		return err
	})
	return updated, err
}

func scanProduct(row *sql.Row) (Product, error) {
	var p Product
	err := row.Scan(&p.ID, &p.Name, &p.PriceCents)
	if errors.Is(err, sql.ErrNoRows) {
		return p, cache.ErrNotFound
	}
	return p, err
}
