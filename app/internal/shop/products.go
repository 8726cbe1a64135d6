package shop

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/fxcache/fxcache/cache"
)

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
