package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	const kind = "application/json"
	login := `{"identifier":"bob@example.com","password":"bob"}`
	for _, test := range []struct {
		name, method, path string
		body               string
		header             http.Header
		status             int
	}{
		{"unknown path", "GET", "/nope", "", nil, http.StatusNotFound},
		{"root", "GET", "/", "", nil, http.StatusNotFound},
		{"method", "GET", "/login", "", nil, http.StatusMethodNotAllowed},
		{"method of a product", "DELETE", "/products/1", "", nil, http.StatusMethodNotAllowed},
		{"no JSON", "POST", "/login", "identifier=bob", http.Header{"Content-Type": {kind}}, http.StatusBadRequest},
		{"no body", "POST", "/login", "", http.Header{"Content-Type": {kind}}, http.StatusBadRequest},
		{"half a body", "POST", "/login", login[:20], http.Header{"Content-Type": {kind}}, http.StatusBadRequest},
		{"two bodies", "POST", "/login", login + login, http.Header{"Content-Type": {kind}}, http.StatusBadRequest},
		{"unknown field", "POST", "/login", `{"identifier":"bob@example.com","password":"bob","admin":true}`, http.Header{"Content-Type": {kind}}, http.StatusBadRequest},
		{"wrong type", "POST", "/login", `{"identifier":1}`, http.Header{"Content-Type": {kind}}, http.StatusBadRequest},
		{"large body", "POST", "/login", `{"identifier":"` + strings.Repeat("x", 64<<10) + `"}`, http.Header{"Content-Type": {kind}}, http.StatusRequestEntityTooLarge},
		{"form", "POST", "/login", login, http.Header{"Content-Type": {"text/plain"}}, http.StatusUnsupportedMediaType},
		{"no content type", "POST", "/login", login, http.Header{}, http.StatusUnsupportedMediaType},
		{"another site", "POST", "/login", login, http.Header{"Content-Type": {kind}, "Origin": {"https://evil.example"}}, http.StatusForbidden},
		{"another site's log-out", "POST", "/logout", "", http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		{"no token", "GET", "/me", "", http.Header{"Authorization": {"Bearer "}}, http.StatusUnauthorized},
		{"another scheme", "GET", "/me", "", http.Header{"Authorization": {"Basic Ym9iOmJvYg=="}}, http.StatusUnauthorized},
		{"long token", "GET", "/me", "", http.Header{"Authorization": {"Bearer " + strings.Repeat("x", 8<<10)}}, http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			header := test.header
			if header == nil {
				header = http.Header{}
			}
			a := newClient(t).send(t, test.method, o.url+test.path, strings.NewReader(test.body), header).is(t, test.status)
			if text, _ := a.json["error"].(string); text == "" || len(a.json) != 1 {
				t.Errorf("the error is %s", a.text)
			}
			if allow := a.Header.Get("Allow"); (allow != "") != (test.status == http.StatusMethodNotAllowed) {
				t.Errorf("Allow is %q", allow)
			}
			if source := a.Header.Get("X-Session-Source"); source != "" || len(a.Cookies()) > 0 {
				t.Errorf("a refused request has a session source %q or cookies", source)
			}
		})
	}
}

// TestOwnPages: requests from the shop's own pages are accepted. A charset does not make another
// content type.
func TestOwnPages(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	bob := newClient(t)
	bob.send(t, "POST", o.url+"/login", strings.NewReader(`{"identifier":"bob@example.com","password":"bob"}`),
		http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Origin": {o.url}, "Sec-Fetch-Site": {"same-origin"}}).is(t, http.StatusOK)
	head := bob.do(t, http.MethodHead, o.url+"/healthz", nil)
	if head.StatusCode != http.StatusOK || head.text != "" {
		t.Errorf("HEAD: %d %s", head.StatusCode, head.text)
	}
	if got := bob.get(t, o.url+"/me").from(t, "cache").Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control of /me is %q", got)
	}
}

// TestCookieOverTLS: over TLS the cookie is Secure, so it is never sent in the clear.
func TestCookieOverTLS(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	server := httptest.NewTLSServer(o.api.Handler())
	t.Cleanup(server.Close)
	bob := newClient(t)
	bob.http.Transport = server.Client().Transport
	cookies := bob.login(t, server.URL, "bob@example.com", "bob").Cookies()
	if len(cookies) != 1 || !cookies[0].Secure {
		t.Errorf("the cookies are %v, want a secure one", cookies)
	}
	bob.get(t, server.URL+"/me").from(t, "cache")
}

// TestDatabaseDown: the shop reports that it is unhealthy, and serves what is cached.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	bob := visitor(t, o.url, "bob")
	bob.get(t, o.url+"/products/1").is(t, http.StatusOK)
	if err := o.db.Close(); err != nil {
		t.Fatal(err)
	}
	bob.get(t, o.url+"/healthz").is(t, http.StatusServiceUnavailable)
	bob.get(t, o.url+"/me").from(t, "cache")
	bob.get(t, o.url+"/products/1").is(t, http.StatusOK)
	bob.get(t, o.url+"/products/2").is(t, http.StatusInternalServerError)
	bob.post(t, o.url+"/logout", nil).is(t, http.StatusInternalServerError)
}
