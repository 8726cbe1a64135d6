package shop

import (
	"context"
	"crypto/rand"
	"database/sql"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// outbox keeps what the cache owes in the database: a log-out that the cache could not be told of is made
// up for by the next start, even if this process is killed.
//
// Instances that share the database keep their rows apart: one must not forget what another owes again by
// now. Who starts takes over all rows, because it cannot tell whose owner is dead; a revocation that is
// applied twice does no harm. The cache leaves those alone that are owed to another storage than its own.
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
	return o.store.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, r := range owed {
			_, err := tx.ExecContext(ctx, `INSERT INTO owed_revocations (owner, storage, key, tag, until) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT DO UPDATE SET until = max(until, excluded.until)`, o.owner, r.Storage, []byte(r.Key), []byte(r.Tag), r.Until.Unix())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Remove implements cache.Outbox.
func (o outbox) Remove(ctx context.Context, applied []cache.Revocation) error {
	return o.store.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, r := range applied {
			_, err := tx.ExecContext(ctx, `DELETE FROM owed_revocations WHERE owner = ? AND storage = ? AND key = ? AND tag = ?`,
				o.owner, r.Storage, []byte(r.Key), []byte(r.Tag))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Pending implements cache.Outbox.
func (o outbox) Pending(ctx context.Context) (owed []cache.Revocation, err error) {
	err = o.store.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO owed_revocations (owner, storage, key, tag, until)
			SELECT ?, storage, key, tag, max(until) FROM owed_revocations WHERE owner <> ? GROUP BY storage, key, tag
			ON CONFLICT DO UPDATE SET until = max(until, excluded.until)`, o.owner, o.owner)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM owed_revocations WHERE owner <> ?`, o.owner)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	rows, err := o.store.db.QueryContext(ctx, `SELECT storage, key, tag, until FROM owed_revocations WHERE owner = ?`, o.owner)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		var storage string
		var key, tag []byte
		var until int64
		if err := rows.Scan(&storage, &key, &tag, &until); err != nil {
			return nil, err
		}
		owed = append(owed, cache.Revocation{Key: string(key), Tag: string(tag), Storage: storage, Until: time.Unix(until, 0).UTC()})
	}
	return owed, rows.Err()
}
