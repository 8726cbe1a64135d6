package shop

import (
	"context"
	"database/sql"
)

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
