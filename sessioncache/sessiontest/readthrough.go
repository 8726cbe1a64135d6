package sessiontest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// database is the source of a load: one session, or none.
type database struct {
	session *sessioncache.CachedSession
	loads   int
}

func (d *database) load(context.Context) (*sessioncache.CachedSession, error) {
	d.loads++
	return d.session.Clone(), nil
}

func (s suite) readThrough(t *testing.T) {
	// The life of a session as Vendure describes it. Login caches it, the next request finds it,
	// after the soft expiry it is read again, and after logout it is gone.
	t.Run("story", func(t *testing.T) {
		t.Parallel()
		u, sessions := s.sessions(t)
		db := &database{session: u.session("token")}
		if _, err := sessions.Update(t.Context(), "token", db.load); err != nil {
			t.Fatal(err)
		}
		steps := []struct {
			what  string
			do    func()
			loads int
		}{
			{"right after log-in", func() {}, 0},
			{"on the next request", func() {}, 0},
			{"after stale_after", func() { u.pass(5*time.Minute + time.Millisecond) }, 1},
			{"after that", func() {}, 0},
			{"after the cache was cleared", func() { must(t, sessions.Clear(t.Context())) }, 1},
		}
		if u.Clock == nil {
			steps = append(steps[:2], steps[3:]...) // waiting five minutes would take too long
		}
		for _, step := range steps {
			step.do()
			before := db.loads
			session, found, err := sessions.GetOrLoad(t.Context(), "token", db.load)
			if err != nil || !found || session.ID != db.session.ID || session.Token.Reveal() != "token" {
				t.Fatalf("%s: found %t, err %v", step.what, found, err)
			}
			if loads := db.loads - before; loads != step.loads && !s.noRetention {
				t.Errorf("%s: %d loads, want %d", step.what, loads, step.loads)
			}
		}
		db.session = nil // logged out
		must(t, sessions.Delete(t.Context(), "token"))
		if _, found, err := sessions.GetOrLoad(t.Context(), "token", db.load); found || err != nil {
			t.Errorf("after log-out: found %t, err %v", found, err)
		}
	})
	t.Run("not found", func(t *testing.T) {
		t.Parallel()
		u, sessions := s.sessions(t)
		missing := func(context.Context) (*sessioncache.CachedSession, error) { return nil, cache.ErrNotFound }
		never := func(context.Context) (*sessioncache.CachedSession, error) { panic("loaded the empty token") }
		over := u.session("token")
		over.Expires = u.now()
		for name, try := range map[string]struct {
			token string
			load  sessioncache.Load
		}{
			"nil": {"token", (&database{}).load}, "ErrNotFound": {"token", missing},
			"expired": {"token", (&database{session: over}).load}, "empty token": {"", never},
		} {
			if session, found, err := sessions.GetOrLoad(t.Context(), try.token, try.load); session != nil || found || err != nil {
				t.Errorf("%s: session %v, found %t, err %v", name, session, found, err)
			}
		}
	})
	t.Run("errors", func(t *testing.T) {
		t.Parallel()
		u, sessions := s.sessions(t)
		boom := errors.New("boom")
		fails := func(context.Context) (*sessioncache.CachedSession, error) { return nil, boom }
		if _, found, err := sessions.GetOrLoad(t.Context(), "token", fails); found || !errors.Is(err, boom) {
			t.Errorf("GetOrLoad: found %t, err %v, want boom", found, err)
		}
		if _, err := sessions.Update(t.Context(), "token", fails); !errors.Is(err, boom) {
			t.Errorf("Update: %v, want boom", err)
		}
		other := &database{session: u.session("of somebody else")}
		if _, found, err := sessions.GetOrLoad(t.Context(), "token", other.load); found || !errors.Is(err, sessioncache.ErrTokenMismatch) {
			t.Errorf("somebody else's session: found %t, err %v", found, err)
		}
		if _, err := sessions.Update(t.Context(), "token", other.load); !errors.Is(err, sessioncache.ErrTokenMismatch) {
			t.Errorf("Update with somebody else's session: %v", err)
		}
		u.wantFound(false, "token", "after nothing but errors")
	})
	t.Run("failed update", func(t *testing.T) {
		t.Parallel()
		u, sessions := s.sessions(t)
		u.set(u.session("token"))
		_, err := sessions.Update(t.Context(), "token", func(context.Context) (*sessioncache.CachedSession, error) {
			return nil, errors.New("the connection broke at COMMIT")
		})
		if err == nil {
			t.Error("the error of write is lost")
		}
		u.wantFound(false, "token", "after a write of which nobody knows whether it was done")
	})
	t.Run("stale and gone", func(t *testing.T) {
		t.Parallel()
		u, sessions := s.sessions(t)
		session := u.session("token")
		session.CacheExpiry = u.now().Add(100 * time.Millisecond)
		u.set(session)
		u.pass(100 * time.Millisecond)
		if _, found, err := sessions.GetOrLoad(t.Context(), "token", (&database{}).load); found || err != nil {
			t.Errorf("a stale session that the database has no longer: found %t, err %v", found, err)
		}
	})
}
