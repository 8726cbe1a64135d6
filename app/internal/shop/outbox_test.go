package shop_test

import (
	"path/filepath"
	"testing"

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
	owed := []cache.Revocation{{Key: "\x00any\xff"}, {Tag: "t"}, {}}
	here, there := shop.NewOutbox(store), shop.NewOutbox(store)
	must(here.Add(t.Context(), owed))
	must(there.Add(t.Context(), owed))
	must(there.Add(t.Context(), owed)) // twice is fine
	must(here.Remove(t.Context(), owed))
	heir := shop.NewOutbox(store)
	got, err := heir.Owed(t.Context())
	must(err)
	if len(got) != len(owed) {
		t.Errorf("%q are owed, want %q", got, owed)
	}
	must(heir.Remove(t.Context(), got))
	if left, err := shop.NewOutbox(store).Owed(t.Context()); len(left) > 0 || err != nil {
		t.Errorf("%q are left, %v", left, err)
	}
}
