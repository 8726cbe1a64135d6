package main

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

// story is a day in the shop, over HTTP alone. It works on any configuration and leaves the shop as
// it was.
type story struct {
	// here and there are two instances of the shop with one database and one cache, or the same
	// instance twice.
	here, there string
	// cached is the source of sessions that need not be read from the database: "cache", or
	// "database" if nothing is cached.
	cached string
}

func (s story) tell(t *testing.T) {
	for _, chapter := range []struct {
		name string
		tell func(*testing.T)
	}{
		{"log in", s.logIn},
		{"a new log-in ends the old session", s.logInAgain},
		{"change a product", s.changeProduct},
		{"change a role", s.changeRole},
		{"log out", s.logOut},
		{"log out everywhere", s.logOutEverywhere},
		{"look after it", s.lookAfter},
	} {
		t.Run(chapter.name, chapter.tell)
	}
}

func (s story) logIn(t *testing.T) {
	bob := newClient(t)
	wrong := bob.post(t, s.here+"/login", map[string]any{"identifier": "bob@example.com", "password": "wrong"}).is(t, http.StatusUnauthorized)
	unknown := bob.post(t, s.here+"/login", map[string]any{"identifier": "eve@example.com", "password": "wrong"}).is(t, http.StatusUnauthorized)
	if wrong.text != unknown.text || len(wrong.Cookies())+len(unknown.Cookies()) > 0 {
		t.Errorf("a wrong password (%s) and an unknown user (%s) differ, or have cookies", wrong.text, unknown.text)
	}
	bob.get(t, s.here+"/me").is(t, http.StatusUnauthorized)

	welcome := bob.login(t, s.here, "bob@example.com", "bob")
	if bits, err := base64.RawURLEncoding.DecodeString(bob.token()); err != nil || len(bits) != 32 {
		t.Errorf("the token has %d bytes (%v), want 32", len(bits), err)
	}
	if cookies := welcome.Cookies(); len(cookies) != 1 {
		t.Errorf("%d cookies, want 1", len(cookies))
	} else if c := cookies[0]; c.Value != bob.token() || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure || c.Path != "/" || c.MaxAge <= 0 || c.Domain != "" {
		t.Errorf("the cookie of a shop without TLS is %v", c)
	}

	// The login has already cached the session.
	bob.get(t, s.here+"/me").from(t, s.cached).
		has(t, "identifier", `"bob@example.com"`).has(t, "roles", `["customer"]`).has(t, "permissions", `["orders.create"]`)
	bob.get(t, s.there+"/me").from(t, s.cached).has(t, "identifier", `"bob@example.com"`)
	program(t, bob.token()).get(t, s.there+"/me").from(t, s.cached).has(t, "identifier", `"bob@example.com"`)
	program(t, bob.token()+"x").get(t, s.here+"/me").is(t, http.StatusUnauthorized)
}

func (s story) logInAgain(t *testing.T) {
	bob := visitor(t, s.here, "bob")
	bob.get(t, s.there+"/me").from(t, s.cached)
	bob.login(t, s.here, "bob@example.com", "bob")
	if bob.tokens[0] == bob.tokens[1] {
		t.Error("the token is the old one")
	}
	program(t, bob.tokens[0]).get(t, s.here+"/me").is(t, http.StatusUnauthorized)
	program(t, bob.tokens[0]).get(t, s.there+"/me").is(t, http.StatusUnauthorized)
	bob.get(t, s.there+"/me").from(t, s.cached)
}

func (s story) changeProduct(t *testing.T) {
	anybody, alice, bob := newClient(t), visitor(t, s.here, "alice"), visitor(t, s.here, "bob")
	lamp := map[string]any{"name": "Lamp", "price_cents": 4900}
	change := map[string]any{"name": "Bright lamp", "price_cents": 5900}
	for _, shop := range []string{s.here, s.there, s.here} {
		anybody.get(t, shop+"/products/1").is(t, http.StatusOK).has(t, "name", `"Lamp"`)
	}
	anybody.put(t, s.here+"/products/1", change).is(t, http.StatusUnauthorized)
	bob.put(t, s.here+"/products/1", change).is(t, http.StatusForbidden)

	alice.put(t, s.here+"/products/1", change).from(t, s.cached).has(t, "price_cents", "5900")
	anybody.get(t, s.here+"/products/1").is(t, http.StatusOK).has(t, "name", `"Bright lamp"`)
	anybody.get(t, s.there+"/products/1").is(t, http.StatusOK).has(t, "price_cents", "5900")
	// Another spelling of 1 must not become another entry in the cache.
	anybody.get(t, s.here+"/products/01").is(t, http.StatusOK)
	alice.put(t, s.there+"/products/1", lamp).from(t, s.cached)
	anybody.get(t, s.here+"/products/01").is(t, http.StatusOK).has(t, "name", `"Lamp"`)

	anybody.get(t, s.here+"/products/999").is(t, http.StatusNotFound)
	anybody.get(t, s.here+"/products/lamp").is(t, http.StatusNotFound)
	alice.put(t, s.here+"/products/999", change).is(t, http.StatusNotFound)
	alice.put(t, s.here+"/products/1", map[string]any{"name": "Gift"}).is(t, http.StatusBadRequest)
}

func (s story) changeRole(t *testing.T) {
	admin, alice, bob := visitor(t, s.here, "admin"), visitor(t, s.here, "alice"), visitor(t, s.there, "bob")
	lamp := map[string]any{"name": "Lamp", "price_cents": 4900}
	alice.put(t, s.there+"/products/1", lamp).from(t, s.cached)
	bob.get(t, s.there+"/me").from(t, s.cached)

	bob.put(t, s.here+"/roles/customer", map[string]any{"permissions": []string{"roles.update"}}).is(t, http.StatusForbidden)
	admin.put(t, s.here+"/roles/nobody", map[string]any{"permissions": []string{}}).is(t, http.StatusNotFound)
	admin.put(t, s.here+"/roles/admin", map[string]any{"permissions": []string{}}).is(t, http.StatusConflict)
	admin.put(t, s.here+"/roles/editor", map[string]any{}).is(t, http.StatusBadRequest)
	alice.get(t, s.there+"/me").from(t, s.cached)

	admin.put(t, s.here+"/roles/editor", map[string]any{"permissions": []string{"reviews.update", "reviews.update"}}).
		from(t, s.cached).has(t, "permissions", `["reviews.update"]`)
	// The change applies to the next request of the users with this role …
	alice.get(t, s.there+"/me").from(t, "database").has(t, "permissions", `["reviews.update"]`)
	alice.get(t, s.here+"/me").from(t, s.cached).has(t, "permissions", `["reviews.update"]`)
	alice.put(t, s.there+"/products/1", lamp).is(t, http.StatusForbidden)
	// … and does not affect the sessions of other users.
	bob.get(t, s.there+"/me").from(t, s.cached)
	admin.get(t, s.there+"/me").from(t, s.cached)

	admin.put(t, s.there+"/roles/editor", map[string]any{"permissions": []string{"products.update"}}).from(t, s.cached)
	alice.put(t, s.here+"/products/1", lamp).from(t, "database")
}

func (s story) logOut(t *testing.T) {
	bob, elsewhere := visitor(t, s.here, "bob"), visitor(t, s.there, "bob")
	bob.get(t, s.there+"/me").from(t, s.cached)
	farewell := bob.post(t, s.here+"/logout", nil).is(t, http.StatusNoContent)
	if cookies := farewell.Cookies(); len(cookies) != 1 || cookies[0].Value != "" || cookies[0].MaxAge >= 0 {
		t.Errorf("the cookies after the log-out are %v", cookies)
	}
	for _, shop := range []string{s.here, s.there} {
		bob.get(t, shop+"/me").is(t, http.StatusUnauthorized)
		program(t, bob.token()).get(t, shop+"/me").is(t, http.StatusUnauthorized)
		elsewhere.get(t, shop+"/me").from(t, s.cached)
	}
	// A client without an answer repeats the request.
	program(t, bob.token()).post(t, s.here+"/logout", nil).is(t, http.StatusNoContent)
	newClient(t).post(t, s.here+"/logout", nil).is(t, http.StatusUnauthorized)
}

func (s story) logOutEverywhere(t *testing.T) {
	phone, laptop, bob := visitor(t, s.here, "alice"), visitor(t, s.there, "alice"), visitor(t, s.here, "bob")
	for _, c := range []*client{phone, laptop, bob} {
		c.get(t, s.there+"/me").from(t, s.cached)
	}
	phone.post(t, s.here+"/logout-everywhere", nil).is(t, http.StatusNoContent)
	for _, shop := range []string{s.here, s.there} {
		program(t, phone.token()).get(t, shop+"/me").is(t, http.StatusUnauthorized)
		laptop.get(t, shop+"/me").is(t, http.StatusUnauthorized)
		bob.get(t, shop+"/me").from(t, s.cached)
	}
	phone.post(t, s.here+"/logout-everywhere", nil).is(t, http.StatusUnauthorized)
	phone.login(t, s.here, "alice@example.com", "alice")
	phone.get(t, s.there+"/me").from(t, s.cached)
}

func (s story) lookAfter(t *testing.T) {
	operator := newClient(t)
	operator.get(t, s.here+"/healthz").is(t, http.StatusOK).has(t, "status", `"ok"`)
	hits, ok := operator.get(t, s.here+"/stats").is(t, http.StatusOK).json["hits"].(float64)
	if cached := s.cached == "cache"; !ok || cached != (hits > 0) {
		t.Errorf("%v hits in a shop whose sessions come from the %s", hits, s.cached)
	}
	metrics := operator.get(t, s.here+"/metrics").is(t, http.StatusOK).text
	for _, name := range []string{
		"fxcache_reads_total", "fxcache_loads_total", "fxcache_short_circuits_total", "fxcache_fills_total",
		"fxcache_sets_total", "fxcache_revocations_total", "fxcache_pending_revocations",
	} {
		if !strings.Contains(metrics, "\n"+name+"{") {
			t.Errorf("/metrics has no %s", name)
		}
	}
}
