package shop

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/fxcache/fxcache/cache"
)

// A cache lookup within a transaction is neither served from the cache nor stored: the transaction
// may be rolled back.
func TestTransactionsReadThrough(t *testing.T) {
	t.Parallel()
	db, err := Open(filepath.Join(t.TempDir(), "shop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	rolledBack := errors.New("rolled back")
	err = New(db).transact(t.Context(), func(ctx context.Context, _ *sql.Tx) error {
		if !cache.ReadsThrough(ctx) {
			t.Error("a cache would store what the transaction reads")
		}
		return rolledBack
	})
	if !errors.Is(err, rolledBack) {
		t.Errorf("transact: %v", err)
	}
}
