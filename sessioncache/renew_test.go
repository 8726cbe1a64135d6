package sessioncache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// row is the session in the database.
type row struct {
	mu       sync.Mutex
	session  *sessioncache.CachedSession
	limit    time.Time // zero: none
	renewals int
	failure  error
}

func (r *row) load(context.Context) (*sessioncache.CachedSession, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session.Clone(), nil
}

func renewing(t *testing.T, ttl, staleAfter, duration time.Duration) (*fixture, *row) {
	t.Helper()
	r := &row{}
	var f *fixture
	f = newFixture(t, sessioncache.Options{TTL: ttl, StaleAfter: staleAfter, Duration: duration,
		Renew: func(_ context.Context, session *sessioncache.CachedSession) (*sessioncache.CachedSession, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if session.Token.Reveal() != "token" {
				t.Error("Renew needs the token to find the row")
			}
			r.renewals++
			if r.failure != nil || r.session == nil {
				return nil, r.failure
			}
			r.session.Expires = f.clock.Now().Add(duration)
			if !r.limit.IsZero() && r.session.Expires.After(r.limit) {
				r.session.Expires = r.limit
			}
			return r.session.Clone(), nil
		}})
	r.session = f.session("token", duration)
	return f, r
}

// V21: a user who is active is not logged out, whatever the ratio of TTL and stale_after to the
// session's duration. An inactive user is.
func TestRenewalForAnyRatio(t *testing.T) {
	t.Parallel()
	const duration = time.Hour
	for _, ttl := range []time.Duration{time.Minute, duration / 2, duration, 24 * time.Hour} {
		for _, staleAfter := range []time.Duration{time.Second, duration / 3, duration, 24 * time.Hour} {
			f, r := renewing(t, ttl, staleAfter, duration)
			for range 100 {
				f.clock.Advance(duration / 4)
				if _, found, err := f.GetOrLoad(t.Context(), "token", r.load); err != nil || !found {
					t.Fatalf("ttl %v, stale_after %v: the active user is logged out (found %t, err %v)", ttl, staleAfter, found, err)
				}
			}
			// Every third request finds less than half left: 45, 30, then 15 minutes.
			if r.renewals < 30 || r.renewals > 35 {
				t.Errorf("ttl %v, stale_after %v: %d renewals for 100 requests, want one in three", ttl, staleAfter, r.renewals)
			}
			f.clock.Advance(duration)
			if _, found, _ := f.GetOrLoad(t.Context(), "token", r.load); found {
				t.Errorf("ttl %v, stale_after %v: a session lives on unused", ttl, staleAfter)
			}
		}
	}
}

func TestRenewalThatFails(t *testing.T) {
	t.Parallel()
	f, r := renewing(t, time.Hour, time.Hour, time.Hour)
	r.failure = errors.New("the database is away")
	if _, _, err := f.GetOrLoad(t.Context(), "token", r.load); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(45 * time.Minute)
	session, found, err := f.GetOrLoad(t.Context(), "token", r.load)
	if err != nil || !found || session.Token.Reveal() != "token" || r.renewals != 1 {
		t.Errorf("found %t, err %v, %d renewals; want the session, which is still good", found, err, r.renewals)
	}
	// The session stays cached: a database in trouble must not be asked for it too.
	for range 3 {
		_, found, err := f.GetOrLoad(t.Context(), "token", func(context.Context) (*sessioncache.CachedSession, error) {
			t.Error("the loader ran")
			return nil, r.failure
		})
		if !found || err != nil {
			t.Errorf("found %t, err %v", found, err)
		}
	}
	check(t, f.Delete(t.Context(), "token"))
	if f.found(t, "token") {
		t.Error("it is there, after Delete")
	}
}

// If a renewal finds that the session is gone, it is no longer served.
func TestRenewalOfARevokedSession(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]error{"nil": nil, "ErrNotFound": cache.ErrNotFound} {
		f, r := renewing(t, time.Hour, time.Hour, time.Hour)
		if _, _, err := f.GetOrLoad(t.Context(), "token", r.load); err != nil {
			t.Fatal(err)
		}
		r.session, r.failure = nil, gone
		f.clock.Advance(45 * time.Minute)
		if _, found, err := f.GetOrLoad(t.Context(), "token", r.load); found || err != nil {
			t.Errorf("%s: found %t, err %v; want not found", name, found, err)
		}
		if f.found(t, "token") {
			t.Errorf("%s: the revoked session is still cached", name)
		}
	}
}

// A session that cannot be prolonged any more is not renewed again with every request.
func TestRenewalAtTheCap(t *testing.T) {
	t.Parallel()
	f, r := renewing(t, time.Hour, 10*time.Minute, time.Hour)
	if _, _, err := f.GetOrLoad(t.Context(), "token", r.load); err != nil {
		t.Fatal(err)
	}
	r.limit = r.session.Expires
	f.clock.Advance(45 * time.Minute)
	for range 10 {
		if _, found, err := f.GetOrLoad(t.Context(), "token", r.load); err != nil || !found {
			t.Fatalf("found %t, err %v", found, err)
		}
	}
	if r.renewals != 1 {
		t.Errorf("%d renewals for 10 requests, want 1", r.renewals)
	}
	f.clock.Advance(10 * time.Minute) // stale_after: the limit may have been raised
	if _, found, err := f.GetOrLoad(t.Context(), "token", r.load); err != nil || !found || r.renewals != 2 {
		t.Errorf("found %t, err %v, %d renewals; want one more try", found, err, r.renewals)
	}
}

// Many requests at the half-life renew once.
func TestRenewalRunsOnce(t *testing.T) {
	t.Parallel()
	f, r := renewing(t, time.Hour, time.Hour, time.Hour)
	if _, _, err := f.GetOrLoad(t.Context(), "token", r.load); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(45 * time.Minute)
	r.mu.Lock() // holds the first Renew until all the others have passed it by
	var others sync.WaitGroup
	served := make(chan struct{}, 100)
	for range 100 {
		others.Add(1)
		go func() {
			defer others.Done()
			if _, found, err := f.GetOrLoad(t.Context(), "token", r.load); err != nil || !found {
				t.Errorf("found %t, err %v", found, err)
			}
			served <- struct{}{}
		}()
	}
	for range 99 {
		<-served
	}
	r.mu.Unlock()
	others.Wait()
	if r.renewals != 1 {
		t.Errorf("%d renewals, want 1", r.renewals)
	}
}

// A renewal that is of no use is tried once per stale_after and session, whether it fails, grants
// little or nothing, or returns something that is not the session. The user is served all the same.
func TestUselessRenewal(t *testing.T) {
	t.Parallel()
	const duration, staleAfter = 24 * time.Hour, 5 * time.Minute
	for name, c := range map[string]struct {
		change func(*sessioncache.CachedSession) error
		line   string // in the log; empty: none
	}{
		"grants little":    {change: func(s *sessioncache.CachedSession) error { s.Expires = s.Expires.Add(time.Hour); return nil }},
		"grants nothing":   {change: func(*sessioncache.CachedSession) error { return nil }},
		"takes something":  {change: func(s *sessioncache.CachedSession) error { s.Expires = s.Expires.Add(-time.Minute); return nil }},
		"cannot be stored": {change: func(s *sessioncache.CachedSession) error { s.CustomFields = map[string]any{"f": func() {}}; return nil }, line: "cannot be stored"},
		"fails":            {change: func(*sessioncache.CachedSession) error { return errors.New("the database is away") }, line: "the database is away"},
		"panics":           {change: func(*sessioncache.CachedSession) error { panic("bug") }, line: "a session could not be renewed"},
		"rotates the token": {change: func(s *sessioncache.CachedSession) error { s.Token = cache.NewSecret("secret-2"); return nil },
			line: "Renew must not rotate the token"},
		"forgets Expires": {change: func(s *sessioncache.CachedSession) error { s.Expires = time.Time{}; return nil }, line: "could not be renewed"},
	} {
		for _, ids := range [][2]sessioncache.ID{{"1", "2"}, {"", ""}} { // not every application sets an ID
			renewals := map[string]int{}
			f := newFixture(t, sessioncache.Options{StaleAfter: staleAfter, Duration: duration,
				Renew: func(_ context.Context, session *sessioncache.CachedSession) (*sessioncache.CachedSession, error) {
					renewals[session.Token.Reveal()]++
					return session, c.change(session)
				}})
			ends := f.clock.Now().Add(duration / 4)
			ask := func() {
				t.Helper()
				for i, token := range []string{"secret-0", "secret-1"} {
					session := &sessioncache.CachedSession{ID: ids[i], Expires: ends}
					if got, found, err := f.GetOrLoad(t.Context(), token, returns(session)); err != nil || !found || got.Token.Reveal() != token {
						t.Fatalf("%s: GetOrLoad = %v, %v, %v", name, got, found, err)
					}
				}
			}
			for period := 1; period <= 3; period++ {
				for range 20 {
					ask()
				}
				f.clock.Advance(staleAfter - time.Second)
				ask()
				if renewals["secret-0"] != period || renewals["secret-1"] != period {
					t.Errorf("%s: %v renewals after %d times stale_after", name, renewals, period)
				}
				f.clock.Advance(time.Second)
			}
			if c.line != "" && f.lines("WARN", c.line) != 1 || c.line == "" && f.lines("WARN") != 0 || f.lines("secret-") != 0 {
				t.Errorf("%s: the log:\n%s", name, f.log)
			}
		}
	}
}

// A renewal that has failed is forgotten in the end, and one that succeeded at once.
func TestRenewalsAreBounded(t *testing.T) {
	t.Parallel()
	const pause = time.Minute
	r, now := sessioncache.NewRenewals(), time.Unix(1_800_000_000, 0)
	try := func(session uint64, settled bool) bool {
		if !r.TryStart(session, now, pause) {
			return false
		}
		r.Finish(session, now, pause, settled)
		return true
	}
	if !try(1, true) || !try(1, false) || try(1, false) {
		t.Error("a renewal that settled the matter was remembered, or one that did not was not")
	}
	for session := range uint64(300_000) {
		try(session, false)
	}
	if n := r.Len(); n > 1<<17 {
		t.Errorf("%d are remembered", n)
	}
	if try(299_999, false) {
		t.Error("the last one is forgotten")
	}
	now = now.Add(-time.Hour) // the clock was set back
	if !try(299_999, false) || try(299_999, false) {
		t.Error("a clock that was set back stops renewals, or lets all of them happen")
	}
	now = now.Add(3 * time.Hour)
	for range 3 {
		try(1, false)
		now = now.Add(pause)
	}
	if n := r.Len(); n > 2 {
		t.Errorf("%d are remembered after three pauses", n)
	}
}
