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
