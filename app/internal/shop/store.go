// Package shop is the business of the example: accounts, roles, log-in sessions and products in a
// SQLite database, and the read-through cache of the products. It knows nothing of HTTP and of fx.
package shop

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver: SQLite in Go, so that the example needs no C compiler

	"github.com/fxcache/fxcache/cache"
)

//go:embed schema.sql
var schema string

// Open returns the database in the file at path, which is created on first use. Nothing is read yet.
func Open(path string) (*sql.DB, error) {
	options := url.Values{
		"_pragma": {
			"busy_timeout(5000)", // milliseconds that a writer waits for another, also for one in another process
			"journal_mode(WAL)",  // readers do not wait for writers
			"foreign_keys(1)",
		},
		// A transaction takes the write lock when it begins. One that read first, and wanted to
		// write then, would fail at once if another has written meanwhile.
		"_txlock": {"immediate"},
	}
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: options.Encode()}
	return sql.Open("sqlite", file.String())
}

// Store is the database of record. Each method that writes has committed when it returns nil; that
// is when its caller may touch the cache. Methods return cache.ErrNotFound where there is no such
// row, as loaders of the cache are to do. A Store is safe for concurrent use.
type Store struct {
	db        *sql.DB
	passwords *passwords
	seeded    []Account
	// writing has room for one: SQLite has one writer, and of many that wait for it some would wait for longer
	// than busy_timeout, because it keeps no order.
	writing chan struct{}
}

// New returns a Store on db, which stays the caller's.
func New(db *sql.DB) *Store {
	return &Store{db: db, passwords: newPasswords(), writing: make(chan struct{}, 1)}
}

// Prepare creates the tables that are missing, and seeds an empty database.
func (s *Store) Prepare(ctx context.Context) error {
	if err := s.transact(ctx, create); err != nil {
		return fmt.Errorf("the database cannot be opened: %w", err)
	}
	if err := s.seed(ctx); err != nil {
		return fmt.Errorf("the database cannot be seeded: %w", err)
	}
	return nil
}

// create creates the tables that are missing, and brings that of an earlier release up to date: what is owed
// there names no storage, and the cache takes it for its own; it ends after a month, longer than any entry lives.
func create(ctx context.Context, tx *sql.Tx) error {
	var columns, current int
	err := tx.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE name = 'storage') FROM pragma_table_info('owed_revocations')`).
		Scan(&columns, &current)
	old := columns > 0 && current == 0
	if err == nil && old {
		_, err = tx.ExecContext(ctx, `ALTER TABLE owed_revocations RENAME TO owed_revocations_before`)
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, schema)
	}
	if err == nil && old {
		_, err = tx.ExecContext(ctx, `INSERT INTO owed_revocations SELECT owner, '', key, tag, unixepoch() + 31 * 86400 FROM owed_revocations_before;
			DROP TABLE owed_revocations_before`)
	}
	return err
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// transact runs write in a transaction and commits it, or rolls it back when write fails or panics. What
// write asks a cache for with its context is read within the transaction, and not cached: others must not
// see what may be rolled back.
func (s *Store) transact(ctx context.Context, write func(context.Context, *sql.Tx) error) (err error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		// After a commit there is nothing to roll back, and Rollback says so.
		if failure := tx.Rollback(); !errors.Is(failure, sql.ErrTxDone) {
			err = errors.Join(err, failure)
		}
	}()
	if err := write(cache.ReadThrough(ctx), tx); err != nil {
		return err
	}
	return tx.Commit()
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
