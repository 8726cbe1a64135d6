package sessiontest

import (
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/sessioncache"
)

// life is how long a session is good that is about to end. Storing it may take a while, on a busy
// machine and with a strategy that waits for other nodes.
const life = 2 * time.Second

// A session has two expiries: after the soft one it is read from the database again, and after the
// hard one it has ended.
func (s suite) expiry(t *testing.T) {
	if s.noRetention {
		t.Skip("nothing is stored, so nothing can expire")
	}
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		session := u.session("token")
		session.Expires = u.now().Add(life)
		u.set(session)
		u.wantFound(true, "token", "before Expires")
		u.pass(life)
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
		u.set(session.Clone())
		session.Expires = time.Time{}
		if err := u.Strategy.Set(t.Context(), session); err != nil && !errors.Is(err, sessioncache.ErrNoExpires) {
			t.Errorf("Set = %v, want nil or ErrNoExpires", err)
		}
		u.wantFound(false, "token", "although the session has no end")
	})
	t.Run("stale", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		session := u.session("token")
		session.CacheExpiry = u.now().Add(life)
		u.set(session)
		u.wantFound(true, "token", "before CacheExpiry")
		u.pass(life)
		u.wantFound(false, "token", "at CacheExpiry: the database must be asked")
	})
	// The reader's stale_after decides how old a session may be, not the writer's.
	t.Run("lowered stale_after", func(t *testing.T) {
		t.Parallel()
		u := s.shared(t)
		u.set(u.session("token"))
		reader := subject{t, Subject{Strategy: u.Peer(time.Minute, 0)}}
		reader.wantFound(false, "token", "although it was stored for longer than this reader's stale_after")
		reader.set(reader.session("token"))
		reader.wantFound(true, "token", "when this reader has stored it")
		u.wantFound(true, "token", "when somebody with a shorter stale_after has stored it")
		u.pass(time.Minute)
		u.wantFound(false, "token", "although whoever stored it has a shorter stale_after")
	})
	for name, ahead := range map[string]time.Duration{"fast": time.Hour, "slow": -time.Hour} {
		t.Run(name+" clock of the writer", func(t *testing.T) {
			t.Parallel()
			u := s.shared(t)
			session := u.session("token")
			session.Expires = u.now().Add(24 * time.Hour)
			must(t, u.Peer(5*time.Minute, ahead).Set(t.Context(), session))
			u.wantFound(false, "token", "although the writer's clock differs by an hour")
			for range 24 {
				u.pass(5 * time.Minute)
				u.wantFound(false, "token", "long after it was stored, by a clock that differs by an hour")
			}
		})
	}
}

// shared returns a subject whose storage is shared with other processes, or skips the test.
func (s suite) shared(t testing.TB) subject {
	t.Helper()
	u := s.subject(t)
	if u.Peer == nil || u.Clock == nil {
		t.Skip("no other process shares the storage, or the clock cannot be moved")
	}
	return u
}
