package main

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/fxtest"
)

const (
	sessionRows = `SELECT count(*) FROM sessions`
	pendingRows = `SELECT count(*) FROM pending_revocations`
)

// TestShopWorksWithoutCache: reads and logins need only the database.
func TestShopWorksWithoutCache(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	for _, operation := range []string{
		fxtest.OpGet, fxtest.OpGetOrLease, fxtest.OpLease, fxtest.OpFill, fxtest.OpSet, fxtest.OpRelease,
	} {
		o.Strategy.FailNext(operation, 1000, errOutage)
	}
	o.Strategy.FailNext(fxtest.OpDelete, 10, errOutage) // pending revocations must be applied before the application stops
	bob := visitor(t, o.url, "bob")
	bob.get(t, o.url+"/me").from(t, "database").has(t, "identifier", `"bob@example.com"`)
	bob.get(t, o.url+"/me").from(t, "database")
	bob.get(t, o.url+"/products/1").is(t, http.StatusOK).has(t, "name", `"Lamp"`)
	program(t, shop.NewToken()).get(t, o.url+"/me").is(t, http.StatusUnauthorized)
	if errors, ok := bob.get(t, o.url+"/stats").is(t, http.StatusOK).json["errors"].(float64); !ok || errors < 4 {
		t.Errorf("/stats counts %v errors", errors)
	}
	if warnings := strings.Count(o.log.String(), "level=WARN"); warnings == 0 || warnings > 3 {
		t.Errorf("%d warnings, want one of each kind:\n%s", warnings, &o.log)
	}
}

// TestLogOutDuringOutage: the client learns that other instances may still serve the session, and
// can repeat the request. Whether or not it does, this instance applies the revocation before it
// serves a session again.
func TestLogOutDuringOutage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, path, operation string
	}{
		{"log out", "/logout", fxtest.OpDelete},
		{"log out everywhere", "/logout-everywhere", fxtest.OpInvalidate},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := startShop(t)
			patient, impatient := visitor(t, o.url, "bob"), visitor(t, o.url, "alice")
			for rows, c := range []*client{impatient, patient} {
				o.Strategy.FailNext(test.operation, 1, errOutage)
				// The next retry waits until the test has looked.
				looked, tries := make(chan struct{}), atomic.Int32{}
				o.Strategy.Before(test.operation, func(ctx context.Context, _ string) {
					if tries.Add(1) > 1 {
						select {
						case <-looked:
						case <-ctx.Done():
						}
					}
				})
				a := c.post(t, o.url+test.path, nil).is(t, http.StatusServiceUnavailable)
				if len(a.Cookies()) > 0 || !strings.Contains(a.text, "repeat") {
					t.Errorf("the client is not asked to repeat, or cannot: %v %s", a.Cookies(), a.text)
				}
				if got := o.count(t, sessionRows); got != 1-rows {
					t.Errorf("%d sessions in the database, want %d", got, 1-rows)
				}
				if n := o.count(t, pendingRows); n != 1 {
					t.Errorf("%d pending revocations in the database, want 1", n)
				}
				close(looked)
				if c == patient && test.path == "/logout" {
					c.post(t, o.url+test.path, nil).is(t, http.StatusNoContent)
				}
				c.get(t, o.url+"/me").is(t, http.StatusUnauthorized)
				// The database is updated in the background.
				tick := time.NewTicker(10 * time.Millisecond)
				for deadline := time.Now().Add(patience); o.count(t, pendingRows) > 0; <-tick.C {
					if time.Now().After(deadline) {
						t.Fatal("pending revocations are left in the database")
					}
				}
				tick.Stop()
			}
		})
	}
}

// TestChangesDuringOutage tests the same for roles and products.
func TestChangesDuringOutage(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	admin := visitor(t, o.url, "admin")
	role, product := map[string]any{"permissions": []string{"new"}}, map[string]any{"name": "New", "price_cents": 1}

	o.Strategy.FailNext(fxtest.OpInvalidate, 1, errOutage)
	admin.put(t, o.url+"/roles/customer", role).is(t, http.StatusServiceUnavailable)
	admin.put(t, o.url+"/roles/customer", role).is(t, http.StatusOK)

	o.Strategy.FailNext(fxtest.OpFill, 1, errOutage)
	o.Strategy.FailNext(fxtest.OpDelete, 1, errOutage)
	admin.put(t, o.url+"/products/1", product).is(t, http.StatusServiceUnavailable)
	admin.put(t, o.url+"/products/1", product).is(t, http.StatusOK)
	if n := o.count(t, `SELECT count(*) FROM products WHERE name = 'New'`); n != 1 {
		t.Error("the product has not changed")
	}
}
