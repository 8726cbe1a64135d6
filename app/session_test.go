package main

import (
	"net/http"
	"testing"
	"time"
)

// TestSessionsExpire: once a session has expired in the database, the cache does not serve it. The
// cache also serves no session longer than stale_after without asking the database.
func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	bob := visitor(t, o.url, "bob")
	o.Clock.Advance(5*time.Minute - time.Millisecond)
	bob.get(t, o.url+"/me").from(t, "cache")
	o.Clock.Advance(time.Millisecond)
	bob.get(t, o.url+"/me").from(t, "database")
	bob.get(t, o.url+"/me").from(t, "cache")

	o.exec(t, `UPDATE sessions SET expires = ?`, time.Now().UnixMilli())
	o.Clock.Advance(5 * time.Minute)
	bob.get(t, o.url+"/me").is(t, http.StatusUnauthorized)
	// The next login deletes expired sessions.
	bob.login(t, o.url, "bob@example.com", "bob")
	if n := o.count(t, sessionRows); n != 1 {
		t.Errorf("%d sessions in the database, want 1", n)
	}
}

// TestSessionsAreRenewed: sessions are renewed when half of their time is over, up to a limit.
func TestSessionsAreRenewed(t *testing.T) {
	t.Parallel()
	const hour = time.Hour / time.Millisecond
	for _, test := range []struct {
		name      string
		age, left time.Duration // in milliseconds, as in the database
		renewed   time.Duration // what is left after the renewal
	}{
		{"more than half is left", hour, 13 * hour, 13 * hour},
		{"less than half is left", hour, 11 * hour, 24 * hour},
		{"the limit is near", (30*24 - 14) * hour, 2 * hour, 14 * hour},
		{"the limit is there", (30*24 - 2) * hour, 2 * hour, 2 * hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := startShop(t)
			bob := visitor(t, o.url, "bob")
			now := time.Now().UnixMilli()
			o.exec(t, `UPDATE sessions SET created = ?, expires = ?`, now-int64(test.age), now+int64(test.left))
			if err := o.Sessions.Clear(t.Context()); err != nil {
				t.Fatal(err)
			}
			bob.get(t, o.url+"/me").from(t, "database")
			left := time.Duration(int64(o.count(t, `SELECT expires FROM sessions`)) - now)
			if slack := hour / 60; left < test.renewed-slack || left > test.renewed+slack {
				t.Errorf("%v ms are left, want %v", int64(left), int64(test.renewed))
			}
			bob.get(t, o.url+"/me").from(t, "cache")
		})
	}
}

// TestRenewalOfAnEndedSession: a session that is gone from the database is not renewed, and is
// removed from the cache.
func TestRenewalOfAnEndedSession(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	bob := visitor(t, o.url, "bob")
	// The session is cached one hour before its renewal is due, and is then deleted from the
	// database only.
	o.exec(t, `UPDATE sessions SET expires = ?`, time.Now().Add(13*time.Hour).UnixMilli())
	if err := o.Sessions.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	bob.get(t, o.url+"/me").from(t, "database")
	o.exec(t, `DELETE FROM sessions`)
	bob.get(t, o.url+"/me").from(t, "cache")
	o.Clock.Advance(2 * time.Hour)
	bob.get(t, o.url+"/me").is(t, http.StatusUnauthorized)
}
