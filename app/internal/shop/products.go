package shop

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/fxcache/fxcache/cache"
)

// ProductID is the id of a product. It is a number, and not the text that a client sent: "1" and "01"
// are one row of the database, and must not be two entries of the cache. It is a type of its own so
// that the id of something else cannot become the key of a product.
type ProductID int64

// String returns the id as it stands in paths, and as the key in the cache.
func (id ProductID) String() string { return strconv.FormatInt(int64(id), 10) }

// Tag returns the tag of everything cached that shows the product.
func (id ProductID) Tag() string { return "product:" + id.String() }

// Product is what the shop sells.
type Product struct {
	ID         ProductID `json:"id"`
	Name       string    `json:"name"`
	PriceCents int64     `json:"price_cents"`
}

// Product returns one product.
func (s *Store) Product(ctx context.Context, id ProductID) (Product, error) {
	return scanProduct(s.db.QueryRowContext(ctx, `SELECT id, name, price_cents FROM products WHERE id = ?`, id))
}

// UpdateProduct replaces the product with p's id and returns it as it is now.
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
