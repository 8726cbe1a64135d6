package sessioncache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
)

// A load of a session that asks for the same session fails at once. The token works afterwards.
func TestSessionLoadReachesItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sessioncache.Options{})
		session := f.session("token", time.Hour)
		for name, sessions := range map[string]sessioncache.Sessions{"Default": f.Default, "Noop": sessioncache.Noop{Clock: f.clock}} {
			began := time.Now()
			var load sessioncache.Load
			load = func(ctx context.Context) (*sessioncache.CachedSession, error) {
				got, _, err := sessions.GetOrLoad(ctx, "token", load)
				return got, err
			}
			if _, _, err := sessions.GetOrLoad(t.Context(), "token", load); !errors.Is(err, cache.ErrRecursiveLoad) {
				t.Errorf("%s: %v", name, err)
			}
			if got, found, err := sessions.GetOrLoad(t.Context(), "token", returns(session)); !found || err != nil || got.ID != "1" {
				t.Errorf("%s, afterwards: %v, %v, %v", name, got, found, err)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("%s took %v", name, took)
			}
		}
	})
}

// A log-in or a change that reads the session back stores its new state, and does not wait.
func TestSessionIsReadBack(t *testing.T) {
	t.Parallel()
	for _, warm := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, sessioncache.Options{})
			row := f.session("token", time.Hour)
			find := func(ctx context.Context) (*sessioncache.CachedSession, error) {
				got, found, err := f.GetOrLoad(ctx, "token", returns(row))
				if !found {
					t.Errorf("not found: %v", err)
				}
				return got, err
			}
			if warm {
				_, err := find(t.Context())
				check(t, err)
			}
			began := time.Now()
			got, err := f.Update(t.Context(), "token", func(ctx context.Context) (*sessioncache.CachedSession, error) {
				row.User.Identifier = "new"
				if _, found, err := f.Get(ctx, "token"); found || err != nil {
					t.Errorf("the previous session is found: %v", err)
				}
				return find(ctx)
			})
			if err != nil || got.User.Identifier != "new" {
				t.Errorf("Update = %v, %v", got, err)
			}
			if got, found, err := f.Get(t.Context(), "token"); !found || err != nil || got.User.Identifier != "new" {
				t.Errorf("Get = %v, %v, %v", got, found, err)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A renewal that reads the session back prolongs it, and does not renew it again.
func TestRenewalReadsBack(t *testing.T) {
	t.Parallel()
	for _, update := range []bool{false, true} {
		const duration = time.Hour
		var f *fixture
		var row *sessioncache.CachedSession
		renewals := 0
		load := func(context.Context) (*sessioncache.CachedSession, error) { return row.Clone(), nil }
		f = newFixture(t, sessioncache.Options{Duration: duration, StaleAfter: duration,
			Renew: func(ctx context.Context, _ *sessioncache.CachedSession) (*sessioncache.CachedSession, error) {
				renewals++
				if row.Expires = f.clock.Now().Add(duration); update {
					return f.Update(ctx, "token", load)
				}
				got, _, err := f.GetOrLoad(ctx, "token", load)
				return got, err
			}})
		row = f.session("token", duration)
		for range 5 {
			got, found, err := f.GetOrLoad(t.Context(), "token", load)
			if !found || err != nil || got.Expires.Sub(f.clock.Now()) < duration/2 {
				t.Fatalf("got %v, %v, %v", got, found, err)
			}
			f.clock.Advance(duration * 2 / 3)
		}
		if renewals != 4 {
			t.Errorf("%d renewals, want 4", renewals)
		}
	}
}

// A session that is read within a write or a transaction is not renewed there: the renewal would be
// a second write to the database at the same time.
func TestNoRenewalWithinAWrite(t *testing.T) {
	t.Parallel()
	f, r := renewing(t, time.Hour, time.Hour, time.Hour)
	f.clock.Advance(50 * time.Minute)
	find := func(ctx context.Context) (*sessioncache.CachedSession, error) {
		got, _, err := f.GetOrLoad(ctx, "token", r.load)
		return got, err
	}
	_, err := f.Update(t.Context(), "token", find)
	check(t, err)
	_, err = find(cache.ReadThrough(t.Context()))
	check(t, err)
	if r.renewals != 0 {
		t.Errorf("%d renewals", r.renewals)
	}
	_, err = find(t.Context())
	check(t, err)
	if r.renewals != 1 {
		t.Errorf("%d renewals, want 1 once that is over", r.renewals)
	}
}

// Within a transaction no cached session is served, and none is stored.
func TestSessionsReadThrough(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{})
	old, changed := f.session("token", time.Hour), f.session("token", time.Hour)
	changed.User.Identifier = "new"
	tx := cache.ReadThrough(t.Context())
	for name, write := range map[string]func() error{
		"Update": func() error { _, err := f.Update(tx, "token", returns(changed)); return err },
		"Set":    func() error { return f.Set(tx, changed) },
		"Delete": func() error { return f.Delete(tx, "token") },
		"User":   func() error { return f.DeleteUser(tx, "42") },
		"Clear":  func() error { return f.Clear(tx) },
	} {
		check(t, f.Set(t.Context(), old))
		if _, found, err := f.Get(tx, "token"); found || err != nil {
			t.Errorf("Get = %v, %v", found, err)
		}
		if got, found, err := f.GetOrLoad(tx, "token", returns(changed)); !found || err != nil || got.User.Identifier != "new" {
			t.Errorf("GetOrLoad = %v, %v, %v", got, found, err)
		}
		if !f.found(t, "token") {
			t.Error("reading has dropped it")
		}
		f.recorder.Reset()
		check(t, write())
		if f.found(t, "token") || f.recorder.Count(drivertest.OpSet)+f.recorder.Count(drivertest.OpFill) != 0 {
			t.Errorf("%s left or stored something", name)
		}
	}
}
