package shop_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/cache"
)

// What one instance has applied, another may owe again by now: it forgets only its own rows. Who starts
// takes over what is there.
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
	owed := []cache.Revocation{{Key: "\x00any\xff", Storage: "here", Until: until}, {Key: "\x00any\xff", Storage: "there", Until: until}, {Tag: "t", Until: until}, {Until: until}}
	here, there := shop.NewOutbox(store), shop.NewOutbox(store)
	must(here.Add(t.Context(), owed))
	must(there.Add(t.Context(), owed))
	earlier := slices.Clone(owed)
	for i := range earlier {
		earlier[i].Until = until.Add(-time.Hour)
	}
	must(there.Add(t.Context(), earlier)) // twice is fine, and shortens nothing
	must(here.Remove(t.Context(), owed))
	heir := shop.NewOutbox(store)
	got, err := heir.Pending(t.Context())
	must(err)
	for _, row := range owed {
		if !slices.Contains(got, row) {
			t.Errorf("%+v is not owed", row)
		}
	}
	if len(got) != len(owed) {
		t.Errorf("%q are owed, want %q", got, owed)
	}
	must(heir.Remove(t.Context(), got))
	if left, err := shop.NewOutbox(store).Pending(t.Context()); len(left) > 0 || err != nil {
		t.Errorf("%q are left, %v", left, err)
	}
}

// The table of an earlier release is taken over: what is owed there names no storage.
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
	for range 2 { // the second time there is nothing to do
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
