package sessioncache_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// requests returns how often n requests for "token" load session after it was stored by Update.
func (f *fixture) requests(t *testing.T, session *sessioncache.CachedSession, n int) (loads int) {
	t.Helper()
	if got, err := f.Update(t.Context(), "token", returns(session)); err != nil || got == nil {
		t.Fatalf("Update = %v, %v", got, err)
	}
	for range n {
		got, found, err := f.GetOrLoad(t.Context(), "token", func(context.Context) (*sessioncache.CachedSession, error) {
			loads++
			return session.Clone(), nil
		})
		if err != nil || !found || got.ID != session.ID {
			t.Fatalf("GetOrLoad = %v, %v, %v", got, found, err)
		}
	}
	return loads
}

// lines returns how many lines of the log contain all of texts.
func (f *fixture) lines(texts ...string) (n int) {
	for line := range strings.Lines(f.log.String()) {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(line, text)
		}
		if all {
			n++
		}
	}
	return n
}

// Everybody gets the same custom fields: whoever loads the session, writes it, or finds it.
func TestFieldsAreTheSameForEverybody(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{})
	session := f.session("token", time.Hour)
	session.CustomFields = map[string]any{"role": named("admin"), "tenant": uuid{1}, "seen": f.clock.Now().Local(), "n": int32(1),
		"settings": map[string]string{"theme": "dark"}, "empty": []int64{}, "ttl": time.Minute}
	want := map[string]any{"role": "admin", "tenant": [16]byte{1}, "seen": f.clock.Now().UTC(), "n": int32(1),
		"settings": map[string]string{"theme": "dark"}, "empty": []int64{}, "ttl": time.Minute}
	see := func(way string, got *sessioncache.CachedSession, err error) {
		t.Helper()
		if err != nil || got == nil || !reflect.DeepEqual(got.CustomFields, want) {
			t.Errorf("%s: %#v, %v", way, got, err)
		}
	}
	got, err := f.Update(t.Context(), "token", returns(session))
	see("Update", got, err)
	got, _, err = f.Get(t.Context(), "token")
	see("Get", got, err)
	check(t, f.Delete(t.Context(), "token"))
	for _, way := range []string{"a load", "a hit"} {
		got, _, err = f.GetOrLoad(t.Context(), "token", returns(session))
		see(way, got, err)
	}
	check(t, f.Set(t.Context(), session))
	got, _, err = f.Get(t.Context(), "token")
	see("Set", got, err)
	got, err = sessioncache.Noop{Clock: f.clock}.Update(t.Context(), "token", returns(session))
	see("Noop", got, err)
	if f.requests(t, session, 20) != 0 {
		t.Error("it is not cached")
	}
}

// A session that cannot be stored is served, and one line says which one, and why.
func TestUnstorableSessionIsNamed(t *testing.T) {
	t.Parallel()
	many := make([]sessioncache.ChannelPermissions, 5000)
	for i := range many {
		many[i] = sessioncache.ChannelPermissions{ID: sessioncache.ID(fmt.Sprint(i)), Permissions: []string{strings.Repeat("p", 300)}}
	}
	for name, c := range map[string]struct {
		change func(*sessioncache.CachedSession)
		tags   int
		want   error
		line   string
	}{
		"struct": {change: func(s *sessioncache.CachedSession) {
			s.CustomFields = map[string]any{"cart": map[string]any{"addr": netip.Addr{}}}
		}, want: sessioncache.ErrUnsupportedField, line: "cart.addr of type netip.Addr"},
		"5,000 channels": {change: func(s *sessioncache.CachedSession) { s.User.ChannelPermissions = many },
			want: cache.ErrValueTooLarge, line: "and max_value_bytes is 1048576"},
		"too many tags": {tags: 255, want: cache.ErrTooManyTags, line: "there are 257, and max_tags is 256"},
		// It could not be revoked.
		"a user's tag that is too long": {change: func(s *sessioncache.CachedSession) { s.User.ID = sessioncache.ID(strings.Repeat("u", 1020)) },
			want: cache.ErrInvalidKey, line: "(1024): 1 of 2 are not usable, at index 1"},
	} {
		f := newFixture(t, sessioncache.Options{Tags: func(*sessioncache.CachedSession) (tags []string) {
			for i := range c.tags {
				tags = append(tags, fmt.Sprint("tag", i))
			}
			return tags
		}})
		session := f.session("token", time.Hour)
		session.ID = "row-17"
		if c.change != nil {
			c.change(session)
		}
		if loads := f.requests(t, session, 5); loads != 5 {
			t.Errorf("%s: %d loads for 5 requests", name, loads)
		}
		if n := f.lines("cannot be stored", "cache=session", "row-17", c.line); n != 1 || f.lines("WARN") != 1 {
			t.Errorf("%s: %d lines, want 1:\n%s", name, n, f.log)
		}
		if stats := f.service.Stats(); stats.Unstorable != 6 || stats.Unfilled != 0 {
			t.Errorf("%s: %+v", name, stats)
		}
		if err := f.Set(t.Context(), session); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.line) {
			t.Errorf("%s: Set = %v", name, err)
		}
		if f.lines("token") != 0 {
			t.Errorf("%s: the token is in the log", name)
		}
	}
}

// 70 tags, some of them twice, are no trouble. A tag that cannot be used is left out, with a line,
// and all the others revoke the session.
func TestTagsOfASession(t *testing.T) {
	t.Parallel()
	var tags []string
	for i := range 70 {
		tags = append(tags, fmt.Sprint("tag", i), fmt.Sprint("tag", i%7))
	}
	tags = append(tags, "", strings.Repeat("x", 1025), strings.Repeat("y", 1024), "last")
	f := newFixture(t, sessioncache.Options{Tags: func(*sessioncache.CachedSession) []string { return tags }})
	session := f.session("token", time.Hour)
	for _, revoke := range []func() error{
		func() error { return f.InvalidateTags(t.Context(), "tag69") },
		func() error { return f.InvalidateTags(t.Context(), "last") },
		func() error { return f.InvalidateTags(t.Context(), tags[142]) }, // of 1024 bytes
		func() error { return f.DeleteUser(t.Context(), "42") },
		func() error { return f.Clear(t.Context()) },
		func() error {
			err := f.InvalidateTags(t.Context(), "", "tag3", tags[141])
			var invalid *cache.InvalidKeysError
			if !errors.As(err, &invalid) || fmt.Sprint(invalid.Indexes) != "[0 2]" {
				t.Errorf("InvalidateTags = %v", err)
			}
			return nil
		},
	} {
		if loads := f.requests(t, session, 5); loads != 0 {
			t.Fatalf("%d loads for 5 requests", loads)
		}
		check(t, revoke())
		if f.found(t, "token") {
			t.Error("a revoked session is served")
		}
	}
	if f.lines("the session is stored without it", "cache=session", "session=1", "index=140", "max_key_bytes") != 1 || f.lines("WARN") != 1 {
		t.Errorf("the log:\n%s", f.log)
	}
	if stats := f.service.Stats(); stats.Unstorable != 0 {
		t.Errorf("%+v", stats)
	}
}

// Users without an ID have nothing in common: there is no tag for them, and no DeleteUser.
func TestDeleteUserNeedsAnID(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{})
	session := f.session("token", time.Hour)
	session.User.ID = ""
	check(t, f.Set(t.Context(), session))
	for name, sessions := range map[string]sessioncache.Sessions{"Default": f, "Noop": sessioncache.Noop{}} {
		if err := sessions.DeleteUser(t.Context(), ""); !errors.Is(err, cache.ErrInvalidKey) || !strings.Contains(err.Error(), "ID of a user") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if tags := f.recorder.Operations()[0].Tags; len(tags) != 1 {
		t.Errorf("tags %q", tags)
	}
}

// A session without Expires has ended. Who stores it is told, and who loads it can read it in the
// log.
func TestSessionWithoutExpires(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{})
	session := f.session("token", time.Hour)
	check(t, f.Set(t.Context(), session))
	forgotten := session.Clone()
	forgotten.Expires = time.Time{}
	if err := f.Set(t.Context(), forgotten); !errors.Is(err, sessioncache.ErrNoExpires) {
		t.Errorf("Set = %v", err)
	}
	if f.found(t, "token") {
		t.Error("the session that was to be replaced is served")
	}
	check(t, f.Set(t.Context(), session))
	if got, err := f.Update(t.Context(), "token", returns(forgotten)); got != nil || !errors.Is(err, sessioncache.ErrNoExpires) {
		t.Errorf("Update = %v, %v", got, err)
	}
	for range 3 {
		if got, found, err := f.GetOrLoad(t.Context(), "token", returns(forgotten)); got != nil || found || err != nil {
			t.Errorf("GetOrLoad = %v, %v, %v", got, found, err)
		}
	}
	if f.lines("has no Expires", "cache=session", "session=1") != 1 || f.lines("WARN") != 1 {
		t.Errorf("the log:\n%s", f.log)
	}
	noop := sessioncache.Noop{Clock: f.clock}
	if err := noop.Set(t.Context(), forgotten); !errors.Is(err, sessioncache.ErrNoExpires) {
		t.Errorf("Noop.Set = %v", err)
	}
	if _, err := noop.Update(t.Context(), "token", returns(forgotten)); !errors.Is(err, sessioncache.ErrNoExpires) {
		t.Errorf("Noop.Update = %v", err)
	}
	if _, found, err := noop.GetOrLoad(t.Context(), "token", returns(forgotten)); found || err != nil {
		t.Errorf("Noop.GetOrLoad = %v, %v", found, err)
	}
}
