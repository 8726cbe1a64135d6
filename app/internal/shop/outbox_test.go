package shop_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/cache"
)

// An instance deletes only its own rows: a revocation that it has applied may be pending again in
// another instance. An instance that starts takes over all rows.
func TestOutboxesAreApart(t *testing.T) {
	t.Parallel()
	db, err := shop.Open(filepath.Join(t.TempDir(), "shop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store := shop.New(db)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(store.Prepare(t.Context()))
	until := time.Unix(1_800_000_000, 0).UTC()
	pending := []cache.Revocation{{Key: "\x00any\xff", Storage: "here", Until: until}, {Key: "\x00any\xff", Storage: "there", Until: until}, {Tag: "t", Until: until}, {Until: until}}
	here, there := shop.NewOutbox(store), shop.NewOutbox(store)
	must(here.Add(t.Context(), pending))
	must(there.Add(t.Context(), pending))
	earlier := slices.Clone(pending)
	for i := range earlier {
		earlier[i].Until = until.Add(-time.Hour)
	}
	must(there.Add(t.Context(), earlier)) // adding twice is allowed, and never shortens Until
	must(here.Remove(t.Context(), pending))
	heir := shop.NewOutbox(store)
	got, err := heir.Pending(t.Context())
	must(err)
	for _, row := range pending {
		if !slices.Contains(got, row) {
			t.Errorf("%+v is not pending", row)
		}
	}
	if len(got) != len(pending) {
		t.Errorf("%q are pending, want %q", got, pending)
	}
	must(heir.Remove(t.Context(), got))
	if left, err := shop.NewOutbox(store).Pending(t.Context()); len(left) > 0 || err != nil {
		t.Errorf("%q are left, %v", left, err)
	}
}

// The table of an earlier release is migrated. Its pending revocations name no storage.
func TestOutboxOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	db, err := shop.Open(filepath.Join(t.TempDir(), "shop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE pending_revocations (owner BLOB NOT NULL, key BLOB NOT NULL, tag BLOB NOT NULL,
		PRIMARY KEY (owner, key, tag)) STRICT; INSERT INTO pending_revocations VALUES (x'01', x'6b', x''), (x'02', x'6b', x''), (x'01', x'', x'74')`); err != nil {
		t.Fatal(err)
	}
	store := shop.New(db)
	for range 2 { // the second time nothing is left to migrate
		if err := store.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := shop.NewOutbox(store).Pending(t.Context())
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, row := range got {
		if month := time.Until(row.Until); row.Storage != "" || row.Key+row.Tag != "k" && row.Key+row.Tag != "t" || month < 30*24*time.Hour || month > 32*24*time.Hour {
			t.Errorf("%+v", row)
		}
	}
}
