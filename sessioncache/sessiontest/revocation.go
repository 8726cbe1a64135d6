package sessiontest

import (
	"testing"

	"github.com/fxcache/fxcache/sessioncache"
)

func (s suite) revocation(t *testing.T) {
	if s.noRetention {
		t.Skip("nothing is stored, so nothing can be revoked")
	}
	t.Run("delete", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		u.set(u.session("mine"))
		u.set(u.session("yours"))
		must(t, u.Strategy.Delete(t.Context(), "mine"))
		u.wantFound(false, "mine", "after Delete")
		u.wantFound(true, "yours", "although another session was deleted")
		u.set(u.session("mine"))
		u.wantFound(true, "mine", "after it was set again")
	})
	t.Run("clear", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		all := tokens(50)
		for _, token := range all {
			u.set(u.session(token))
		}
		must(t, u.Strategy.Clear(t.Context()))
		for _, token := range all {
			u.wantFound(false, token, "after Clear")
		}
		u.set(u.session("next"))
		u.wantFound(true, "next", "when set after Clear")
	})
	t.Run("user", func(t *testing.T) {
		t.Parallel()
		u, sessions := s.sessions(t)
		all := tokens(50)
		for i, token := range all {
			session := u.session(token)
			if i%2 == 1 {
				session.User.ID = "43"
			}
			u.set(session)
		}
		u.set(anonymous(u.session("anonymous")))
		must(t, sessions.DeleteUser(t.Context(), "42"))
		for i, token := range all {
			u.wantFound(i%2 == 1, token, "after DeleteUser of 42")
		}
		u.wantFound(true, "anonymous", "after DeleteUser of 42")
	})
	// V18: a role change drops the sessions of its holders, and no others.
	t.Run("tags", func(t *testing.T) {
		t.Parallel()
		u, sessions := s.sessions(t)
		for token, roles := range map[string][]string{"a": {"admin"}, "b": {"editor", "admin"}, "c": {"editor"}, "d": nil} {
			session := u.session(token)
			session.CustomFields = map[string]any{"roles": roles}
			u.set(session)
		}
		must(t, sessions.InvalidateTags(t.Context(), "role:admin"))
		for token, want := range map[string]bool{"a": false, "b": false, "c": true, "d": true} {
			u.wantFound(want, token, "after the role admin changed, as "+token)
		}
		// A session that is set again with other roles carries only their tags.
		session := u.session("c")
		session.CustomFields = map[string]any{"roles": []string{"customer"}}
		u.set(session)
		must(t, sessions.InvalidateTags(t.Context(), "role:editor"))
		u.wantFound(true, "c", "after a role changed that it has no longer")
	})
}

// sessions returns a subject that implements sessioncache.Sessions, or skips the test.
func (s suite) sessions(t testing.TB) (subject, sessioncache.Sessions) {
	t.Helper()
	u := s.subject(t)
	sessions, ok := u.Strategy.(sessioncache.Sessions)
	if !ok {
		t.Skipf("%T is not a sessioncache.Sessions", u.Strategy)
	}
	return u, sessions
}

func anonymous(session *sessioncache.CachedSession) *sessioncache.CachedSession {
	session.User = nil
	return session
}
