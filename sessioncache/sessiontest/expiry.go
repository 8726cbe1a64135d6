package sessiontest

import (
	"testing"
	"time"
)

// Two clocks: the soft one sends the reader to the database, the hard one ends the session.
func (s suite) expiry(t *testing.T) {
	if s.noRetention {
		t.Skip("nothing is stored, so nothing can expire")
	}
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		session := u.session("token")
		session.Expires = u.now().Add(300 * time.Millisecond)
		u.set(session)
		u.wantFound(true, "token", "before Expires")
		u.pass(300 * time.Millisecond)
		u.wantFound(false, "token", "at Expires")
	})
	t.Run("set when expired", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		u.set(u.session("token"))
		over := u.session("token")
		over.Expires = u.now().Add(-time.Second)
		u.set(over)
		u.wantFound(false, "token", "after an expired session was set in its place")
	})
	t.Run("no Expires", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		session := u.session("token")
		session.Expires = time.Time{}
		u.set(session)
		u.wantFound(false, "token", "although the session has no end")
	})
	t.Run("stale", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		session := u.session("token")
		session.CacheExpiry = u.now().Add(300 * time.Millisecond)
		u.set(session)
		u.wantFound(true, "token", "before CacheExpiry")
		u.pass(300 * time.Millisecond)
		u.wantFound(false, "token", "at CacheExpiry: the database must be asked")
	})
}
