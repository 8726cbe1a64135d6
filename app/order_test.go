package main

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fxcache/fxcache/fxtest"
)

// TestCacheChangesAfterTheCommit reads the database at the moment when the cache is changed. The
// database must already have the change.
func TestCacheChangesAfterTheCommit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		// operation is the operation on the cache.
		operation string
		change    func(t *testing.T, o *testShop, bob, admin *client)
		// committed counts rows. The result is want once the change has been committed.
		committed string
		want      int
	}{
		{"log in", fxtest.OpFill, func(t *testing.T, o *testShop, _, _ *client) {
			visitor(t, o.url, "alice")
		}, `SELECT count(*) FROM sessions JOIN users u ON u.id = user WHERE identifier = 'alice@example.com'`, 1},
		{"log in again", fxtest.OpDelete, func(t *testing.T, o *testShop, bob, _ *client) {
			bob.login(t, o.url, "bob@example.com", "bob")
		}, `SELECT count(*) FROM sessions WHERE id = 1`, 0},
		{"log out", fxtest.OpDelete, func(t *testing.T, o *testShop, bob, _ *client) {
			bob.post(t, o.url+"/logout", nil).is(t, http.StatusNoContent)
		}, `SELECT count(*) FROM sessions WHERE id = 1`, 0},
		{"log out everywhere", fxtest.OpInvalidate, func(t *testing.T, o *testShop, bob, _ *client) {
			bob.post(t, o.url+"/logout-everywhere", nil).is(t, http.StatusNoContent)
		}, `SELECT count(*) FROM sessions WHERE id = 1`, 0},
		{"change a role", fxtest.OpInvalidate, func(t *testing.T, o *testShop, _, admin *client) {
			admin.put(t, o.url+"/roles/customer", map[string]any{"permissions": []string{"new"}}).is(t, http.StatusOK)
		}, `SELECT count(*) FROM role_permissions WHERE permission = 'new'`, 1},
		{"change a product", fxtest.OpFill, func(t *testing.T, o *testShop, _, admin *client) {
			admin.put(t, o.url+"/products/1", map[string]any{"name": "New", "price_cents": 1}).is(t, http.StatusOK)
		}, `SELECT count(*) FROM products WHERE name = 'New'`, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := startShop(t)
			bob, admin := visitor(t, o.url, "bob"), visitor(t, o.url, "admin")
			var seen atomic.Int32
			o.Strategy.Before(test.operation, func(context.Context, string) {
				seen.Add(1)
				if got := o.count(t, test.committed); got != test.want {
					t.Errorf("the cache is told before the commit: %d rows, want %d", got, test.want)
				}
			})
			test.change(t, o, bob, admin)
			o.Strategy.Before(test.operation, nil)
			if seen.Load() != 1 {
				t.Errorf("the cache was told %d times, want once", seen.Load())
			}
		})
	}
}

// TestFailedWriteLeavesTheCacheAlone: if the database refuses a write, the cache does not change.
func TestFailedWriteLeavesTheCacheAlone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, refused string
		change        func(o *testShop, bob, admin *client) (*client, string, string, any)
	}{
		{"log out", "DELETE ON sessions", func(_ *testShop, bob, _ *client) (*client, string, string, any) {
			return bob, http.MethodPost, "/logout", nil
		}},
		{"log in again", "DELETE ON sessions", func(_ *testShop, bob, _ *client) (*client, string, string, any) {
			return bob, http.MethodPost, "/login", map[string]any{"identifier": "bob@example.com", "password": "bob"}
		}},
		{"log out everywhere", "DELETE ON sessions", func(_ *testShop, bob, _ *client) (*client, string, string, any) {
			return bob, http.MethodPost, "/logout-everywhere", nil
		}},
		// The first statement of the transaction succeeds and is rolled back.
		{"change a role", "INSERT ON role_permissions", func(_ *testShop, _, admin *client) (*client, string, string, any) {
			return admin, http.MethodPut, "/roles/customer", map[string]any{"permissions": []string{"new"}}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := startShop(t)
			bob, admin := visitor(t, o.url, "bob"), visitor(t, o.url, "admin")
			o.refuse(t, test.refused)
			o.Strategy.Reset()
			who, method, path, body := test.change(o, bob, admin)
			who.do(t, method, o.url+path, body).is(t, http.StatusInternalServerError)
			for _, operation := range o.Strategy.Operations() {
				switch operation.Name {
				case fxtest.OpGet, fxtest.OpGetOrLease, fxtest.OpLease, fxtest.OpRelease:
				default:
					t.Errorf("the cache saw %s", operation.Name)
				}
			}
			bob.get(t, o.url+"/me").from(t, "cache").has(t, "permissions", `["orders.create"]`)
		})
	}
}

// TestFailedUpdateStoresNothing: if the write fails, the cache's Update may delete the entry,
// because it cannot know how far the write came. It never stores one.
func TestFailedUpdateStoresNothing(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	admin := visitor(t, o.url, "admin")
	admin.get(t, o.url+"/products/1").is(t, http.StatusOK).has(t, "name", `"Lamp"`)
	o.refuse(t, "UPDATE ON products")
	o.Strategy.Reset()
	admin.put(t, o.url+"/products/1", map[string]any{"name": "New", "price_cents": 1}).is(t, http.StatusInternalServerError)
	if n := o.Strategy.Count(fxtest.OpFill) + o.Strategy.Count(fxtest.OpSet) + o.Strategy.Count(fxtest.OpInvalidate); n > 0 {
		t.Errorf("the cache saw %v", o.Strategy.Operations())
	}
	admin.get(t, o.url+"/products/1").is(t, http.StatusOK).has(t, "name", `"Lamp"`)
}

// TestRoleChangeWhileASessionLoads: the loader reads the old permissions, then the role changes.
// The loader's result must not be cached.
func TestRoleChangeWhileASessionLoads(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	bob, admin := visitor(t, o.url, "bob"), visitor(t, o.url, "admin")
	if err := o.Sessions.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin.get(t, o.url+"/me").from(t, "database")
	var once sync.Once
	o.Strategy.Before(fxtest.OpFill, func(context.Context, string) {
		once.Do(func() {
			admin.put(t, o.url+"/roles/customer", map[string]any{"permissions": []string{"new"}}).is(t, http.StatusOK)
		})
	})
	// The request began before the change, so it may have either answer. The next request may not.
	bob.get(t, o.url+"/me").from(t, "database")
	if refused := o.Cache.Stats().Refused; refused != 1 {
		t.Errorf("%d values were refused, want that of the load", refused)
	}
	bob.get(t, o.url+"/me").from(t, "database").has(t, "permissions", `["new"]`)
	bob.get(t, o.url+"/me").from(t, "cache").has(t, "permissions", `["new"]`)
}
