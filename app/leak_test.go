package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/fxtest"
)

// TestLeaks: tokens and passwords stay out of logs, status pages, the database and the keys of the
// cache, both in normal operation and when everything fails.
func TestLeaks(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	const password, mistyped = "correct-horse-battery-staple", "correct-horse-battery-stable"
	if err := o.store.AddUser(t.Context(), "carol@example.com", password, "customer"); err != nil {
		t.Fatal(err)
	}
	carol := newClient(t)
	carol.post(t, o.url+"/login", map[string]any{"identifier": "carol@example.com", "password": mistyped}).is(t, http.StatusUnauthorized)
	carol.post(t, o.url+"/login", map[string]any{"password": password, "identity": mistyped}).is(t, http.StatusBadRequest)
	carol.login(t, o.url, "carol@example.com", password)
	carol.login(t, o.url, "carol@example.com", password)
	carol.get(t, o.url+"/me").from(t, "cache")
	carol.get(t, o.url+"/nope/"+carol.token()+"?token="+carol.token()).is(t, http.StatusNotFound)

	for _, operation := range []string{fxtest.OpGet, fxtest.OpGetOrLease, fxtest.OpLease, fxtest.OpDelete} {
		o.Strategy.FailNext(operation, 1, errOutage)
	}
	carol.get(t, o.url+"/me").from(t, "database")
	carol.post(t, o.url+"/logout", nil).is(t, http.StatusServiceUnavailable)
	o.refuse(t, "INSERT ON sessions")
	newClient(t).post(t, o.url+"/login", map[string]any{"identifier": "carol@example.com", "password": password}).is(t, http.StatusInternalServerError)

	log := o.log.String()
	for _, line := range []string{"logged in", "a request failed", "the disk is full", errOutage.Error()} {
		if !strings.Contains(log, line) {
			t.Errorf("the log does not have %q, so this test shows nothing:\n%s", line, log)
		}
	}
	var operations strings.Builder
	for _, operation := range o.Strategy.Operations() {
		operations.WriteString(strings.Join(append(operation.Keys, operation.Tags...), " "))
	}
	secrets := append([]string{password, mistyped}, carol.tokens...)
	noneOf(t, "log", log, append(secrets, "carol@example.com"))
	noneOf(t, "keys of the cache", operations.String(), secrets)
	noneOf(t, "/metrics", carol.get(t, o.url+"/metrics").text, secrets)
	noneOf(t, "/stats", carol.get(t, o.url+"/stats").text, secrets)
	noneOf(t, "database", files(t, o.directory), secrets)
}
