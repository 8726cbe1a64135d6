package sessiontest

import (
	"reflect"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

func (s suite) basics(t *testing.T) {
	t.Run("unknown", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		u.wantFound(false, "never set", "for an unknown token")
		u.wantFound(false, "", "for the empty token")
		must(t, u.Strategy.Delete(t.Context(), "never set"))
		must(t, u.Strategy.Clear(t.Context()))
	})
	t.Run("round trip", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		full := u.full("token")
		u.set(full)
		got, found := u.get("token")
		if s.noRetention {
			if found {
				t.Error("the strategy is declared to store nothing, but found the session")
			}
			return
		}
		if !found {
			t.Fatal("the session that was set is not found")
		}
		if got.CacheExpiry.IsZero() || got.CacheExpiry.After(got.Expires) {
			t.Errorf("CacheExpiry %v, want one before Expires %v", got.CacheExpiry, got.Expires)
		}
		got.CacheExpiry = full.CacheExpiry
		if !reflect.DeepEqual(got, full) {
			t.Errorf("the session came back different; custom fields %#v", got.CustomFields)
		}
		if got.Token.Reveal() != "token" {
			t.Error("the session came back without its token")
		}
	})
	t.Run("replace", func(t *testing.T) {
		t.Parallel()
		if s.noRetention {
			t.Skip("nothing is stored, so nothing can be replaced")
		}
		u := s.subject(t)
		u.set(u.session("token"))
		next := u.session("token")
		next.User = nil
		u.set(next)
		if got, found := u.get("token"); !found || got.User != nil {
			t.Errorf("found %t; want the session that was set last", found)
		}
	})
	t.Run("isolation", func(t *testing.T) {
		t.Parallel()
		if s.noRetention {
			t.Skip("nothing is stored")
		}
		u := s.subject(t)
		session := u.full("token")
		u.set(session)
		session.User.ChannelPermissions[0].Permissions[0] = "Everything"
		first, _ := u.get("token")
		first.User.ChannelPermissions[0].Permissions[0] = "Everything"
		first.CustomFields["roles"].([]string)[0] = "root"
		second, found := u.get("token")
		if !found || second.User.ChannelPermissions[0].Permissions[0] != "ReadOrder" ||
			second.CustomFields["roles"].([]string)[0] != "editor" {
			t.Error("changing a session changed what the cache holds")
		}
	})
	t.Run("tokens are apart", func(t *testing.T) {
		t.Parallel()
		if s.noRetention {
			t.Skip("nothing is stored")
		}
		u := s.subject(t)
		odd := []string{"a", "A", "a ", " a", "a:b", "a\x00", "a\r\n", "ä", "{a}", "session:all"}
		for _, token := range odd {
			u.set(u.session(token))
		}
		must(t, u.Strategy.Delete(t.Context(), "a"))
		for _, token := range odd[1:] {
			if got, found := u.get(token); !found || got.ID != "id of "+sessioncache.ID(token) {
				t.Errorf("token %q: found %t", token, found)
			}
		}
	})
	t.Run("no token", func(t *testing.T) {
		t.Parallel()
		u := s.subject(t)
		session := u.session("token")
		session.Token = cache.Secret{}
		if err := u.Strategy.Set(t.Context(), session); err == nil && !s.noRetention {
			t.Error("a session without a token was set")
		}
	})
}

// full returns a session with every field.
func (s subject) full(token string) *sessioncache.CachedSession {
	session := s.session(token)
	session.Expires = session.Expires.UTC()
	session.ActiveOrderID, session.ActiveChannelID, session.AuthenticationStrategy = "7", "1", "native"
	session.User.ChannelPermissions = []sessioncache.ChannelPermissions{
		{ID: "1", Token: cache.NewSecret("channel"), Code: "default", Permissions: []string{"ReadOrder", "UpdateOrder"}},
		{ID: "2", Code: "empty"},
	}
	session.CustomFields = map[string]any{
		"roles": []string{"editor", "author"}, "score": 1.5, "visits": 3, "beta": true, "nothing": nil,
		"since": time.Unix(1_700_000_000, 5).UTC(), "nested": map[string]any{"list": []any{int64(1), "two"}},
	}
	return session
}
