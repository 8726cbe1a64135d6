package shop

import (
	"context"
	"crypto/rand"
	"database/sql"

	"github.com/fxcache/fxcache/cache"
)

// outbox keeps what the cache owes in the database: a log-out that the cache could not be told of is made
// up for by the next start, even if this process is killed.
//
// Instances that share the database keep their rows apart: one must not forget what another owes again by
// now. Who starts takes over all rows, because it cannot tell whose owner is dead; a revocation that is
// applied twice does no harm.
type outbox struct {
	store *Store
	owner []byte
}

var _ cache.Outbox = outbox{}

// NewOutbox returns the cache's outbox in the database of store.
func NewOutbox(store *Store) cache.Outbox {
	owner := make([]byte, 16)
	_, _ = rand.Read(owner) // never fails: it ends the program instead
	return outbox{store, owner}
}

// Add implements cache.Outbox.
func (o outbox) Add(ctx context.Context, owed []cache.Revocation) error {
	return o.each(ctx, `INSERT OR IGNORE INTO owed_revocations (owner, key, tag) VALUES (?, ?, ?)`, owed)
}

// Remove implements cache.Outbox.
func (o outbox) Remove(ctx context.Context, applied []cache.Revocation) error {
	return o.each(ctx, `DELETE FROM owed_revocations WHERE owner = ? AND key = ? AND tag = ?`, applied)
}

func (o outbox) each(ctx context.Context, statement string, revocations []cache.Revocation) error {
	return o.store.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, r := range revocations {
			if _, err := tx.ExecContext(ctx, statement, o.owner, []byte(r.Key), []byte(r.Tag)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Owed implements cache.Outbox.
func (o outbox) Owed(ctx context.Context) (owed []cache.Revocation, err error) {
	if _, err := o.store.db.ExecContext(ctx, `UPDATE OR REPLACE owed_revocations SET owner = ?`, o.owner); err != nil {
		return nil, err
	}
	rows, err := o.store.db.QueryContext(ctx, `SELECT key, tag FROM owed_revocations WHERE owner = ?`, o.owner)
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
