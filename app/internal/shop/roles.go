package shop

import (
	"context"
	"database/sql"

	"github.com/fxcache/fxcache/cache"
)

// SetPermissions replaces the permissions of role.
func (s *Store) SetPermissions(ctx context.Context, role string, permissions []string) error {
	return s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var known bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM roles WHERE code = ?)`, role).Scan(&known); err != nil {
			return err
		}
		if !known {
			return cache.ErrNotFound
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM role_permissions WHERE role = ?`, role); err != nil {
			return err
		}
		for _, permission := range permissions {
			if _, err := tx.ExecContext(ctx, `INSERT INTO role_permissions (role, permission) VALUES (?, ?)`, role, permission); err != nil {
				return err
			}
		}
		return nil
	})
}
