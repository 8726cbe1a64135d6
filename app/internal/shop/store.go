// Package shop is the business logic of the example: accounts, roles, login sessions and products
// in a SQLite database, and the read-through cache of the products. It does not depend on HTTP or
// fx.
package shop

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver: SQLite in Go, which needs no C compiler

	"github.com/fxcache/fxcache/cache"
)

//go:embed schema.sql
var schema string

// Open returns the database in the file at path, which is created on first use. It reads nothing
// yet.
func Open(path string) (*sql.DB, error) {
	options := url.Values{
		"_pragma": {
			"busy_timeout(5000)", // milliseconds that a writer waits for another one, in any process
			"journal_mode(WAL)",  // readers do not wait for writers
			"foreign_keys(1)",
		},
		// A transaction takes the write lock when it begins. If it read first and wrote later, it
		// would fail at once if another transaction had written in between.
		"_txlock": {"immediate"},
	}
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: options.Encode()}
	return sql.Open("sqlite", file.String())
}

// Store is the database of record. A method that writes has committed when it returns nil. Only
// then may its caller change the cache. Methods return cache.ErrNotFound if there is no such row,
// as loaders of the cache must. A Store is safe for concurrent use.
type Store struct {
	db        *sql.DB
	passwords *passwords
	seeded    []Account
	// writing has room for one transaction, because SQLite allows one writer. Of many writers that
	// wait for SQLite's own lock, some would exceed busy_timeout, because it keeps no order.
	writing chan struct{}
}

// New returns a Store on db. The caller still owns db.
func New(db *sql.DB) *Store {
	return &Store{db: db, passwords: newPasswords(), writing: make(chan struct{}, 1)}
}

// Prepare creates the missing tables, and fills an empty database with initial data.
func (s *Store) Prepare(ctx context.Context) error {
	if err := s.transact(ctx, create); err != nil {
		return fmt.Errorf("the database cannot be opened: %w", err)
	}
	if err := s.seed(ctx); err != nil {
		return fmt.Errorf("the database cannot be seeded: %w", err)
	}
	return nil
}

// create creates the missing tables and migrates the table of pending revocations from an earlier
// release. The rows of that release name no storage, so the cache treats them as its own. They
// expire after 31 days, longer than any entry lives.
func create(ctx context.Context, tx *sql.Tx) error {
	var columns, current int
	err := tx.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE name = 'storage') FROM pragma_table_info('pending_revocations')`).
		Scan(&columns, &current)
	old := columns > 0 && current == 0
	if err == nil && old {
		_, err = tx.ExecContext(ctx, `ALTER TABLE pending_revocations RENAME TO pending_revocations_before`)
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, schema)
	}
	if err == nil && old {
		_, err = tx.ExecContext(ctx, `INSERT INTO pending_revocations SELECT owner, '', key, tag, unixepoch() + 31 * 86400 FROM pending_revocations_before;
			DROP TABLE pending_revocations_before`)
	}
	return err
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// transact runs write in a transaction and commits it. It rolls back if write fails or panics. If
// write uses a cache with its context, the cache reads within the transaction and stores nothing:
// others must not see data that may be rolled back.
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
		// After a commit, Rollback returns sql.ErrTxDone.
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

// The permissions that the shop checks. Roles may have others, which the shop ignores.
const (
	// ChangeRoles allows a user to change the permissions of roles.
	ChangeRoles = "roles.update"
	// ChangeProducts allows a user to change products.
	ChangeProducts = "products.update"
)

// AdminRole is the role that cannot lose ChangeRoles, because nobody could give it back.
const AdminRole = "admin"

// Account is a user in a new database. The password is public.
type Account struct {
	Identifier, Password, Role string
}

// Seeded returns the accounts that Prepare has made. It returns none if the database already had
// users.
func (s *Store) Seeded() []Account { return s.seeded }

func (s *Store) seed(ctx context.Context) error {
	accounts := []Account{
		{"admin@example.com", "admin", AdminRole},
		{"alice@example.com", "alice", "editor"},
		{"bob@example.com", "bob", "customer"},
	}
	hashes := make([]string, len(accounts))
	for i, account := range accounts {
		var err error
		if hashes[i], err = s.passwords.hash(ctx, account.Password); err != nil {
			return err
		}
	}
	return s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// Checked within the transaction: two instances may start on the same new file.
		var populated bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM users)`).Scan(&populated); err != nil || populated {
			return err
		}
		for _, statement := range []string{
			`INSERT INTO roles (code) VALUES ('admin'), ('editor'), ('customer')`,
			`INSERT INTO role_permissions (role, permission) VALUES
				('admin', 'products.update'), ('admin', 'roles.update'),
				('editor', 'products.update'),
				('customer', 'orders.create')`,
			`INSERT INTO products (name, price_cents) VALUES ('Lamp', 4900), ('Chair', 12900), ('Table', 34900)`,
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		for i, account := range accounts {
			if err := addUser(ctx, tx, account.Identifier, hashes[i], account.Role); err != nil {
				return err
			}
		}
		s.seeded = accounts
		return nil
	})
}
