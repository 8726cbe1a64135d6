package shop

import (
	"context"
	"database/sql"

	"github.com/fxcache/fxcache/cache"
)

// outbox keeps what the cache owes in the database: a log-out that the cache could not be told of is made
// up for by the next start, even if this process is killed. Instances that share the database share
// it too; a revocation that is applied twice does no harm.
type outbox struct{ store *Store }

var _ cache.Outbox = outbox{}

// NewOutbox returns the cache's outbox in the database of store.
func NewOutbox(store *Store) cache.Outbox { return outbox{store} }

// Add implements cache.Outbox.
func (o outbox) Add(ctx context.Context, owed []cache.Revocation) error {
	return o.each(ctx, `INSERT OR IGNORE INTO owed_revocations (key, tag) VALUES (?, ?)`, owed)
}

// Remove implements cache.Outbox.
func (o outbox) Remove(ctx context.Context, applied []cache.Revocation) error {
	return o.each(ctx, `DELETE FROM owed_revocations WHERE key = ? AND tag = ?`, applied)
}

func (o outbox) each(ctx context.Context, statement string, revocations []cache.Revocation) error {
	return o.store.transact(ctx, func(tx *sql.Tx) error {
		for _, r := range revocations {
			if _, err := tx.ExecContext(ctx, statement, []byte(r.Key), []byte(r.Tag)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Owed implements cache.Outbox.
func (o outbox) Owed(ctx context.Context) (owed []cache.Revocation, err error) {
	rows, err := o.store.db.QueryContext(ctx, `SELECT key, tag FROM owed_revocations`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		var key, tag []byte
		if err := rows.Scan(&key, &tag); err != nil {
			return nil, err
		}
		owed = append(owed, cache.Revocation{Key: string(key), Tag: string(tag)})
	}
	return owed, rows.Err()
}
