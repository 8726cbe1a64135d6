package shop

import (
	"context"
	"crypto/rand"
	"database/sql"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// outbox stores the cache's pending revocations in the database. For example, a user logs out while
// the cache is down. The next start applies the revocation, even if this process was killed.
//
// Instances that share the database keep their rows apart. If one instance has applied a
// revocation, the same one may be pending again in another. At its start an instance takes over all
// rows, because it cannot know which owners are dead. Applying a revocation twice is harmless. The
// cache ignores the rows of other storages.
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
func (o outbox) Add(ctx context.Context, pending []cache.Revocation) error {
	return o.store.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, r := range pending {
			_, err := tx.ExecContext(ctx, `INSERT INTO pending_revocations (owner, storage, key, tag, until) VALUES (?, ?, ?, ?, ?)
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
			_, err := tx.ExecContext(ctx, `DELETE FROM pending_revocations WHERE owner = ? AND storage = ? AND key = ? AND tag = ?`,
				o.owner, r.Storage, []byte(r.Key), []byte(r.Tag))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Pending implements cache.Outbox.
func (o outbox) Pending(ctx context.Context) (pending []cache.Revocation, err error) {
	err = o.store.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO pending_revocations (owner, storage, key, tag, until)
			SELECT ?, storage, key, tag, max(until) FROM pending_revocations WHERE owner <> ? GROUP BY storage, key, tag
			ON CONFLICT DO UPDATE SET until = max(until, excluded.until)`, o.owner, o.owner)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM pending_revocations WHERE owner <> ?`, o.owner)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	rows, err := o.store.db.QueryContext(ctx, `SELECT storage, key, tag, until FROM pending_revocations WHERE owner = ?`, o.owner)
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
		pending = append(pending, cache.Revocation{Key: string(key), Tag: string(tag), Storage: storage, Until: time.Unix(until, 0).UTC()})
	}
	return pending, rows.Err()
}
