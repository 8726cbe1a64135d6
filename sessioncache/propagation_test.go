package sessioncache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/sessioncache"
)

// lagging is a strategy whose other nodes serve for a while what was revoked.
type lagging struct{ driver.Strategy }

// Features implements driver.Featured.
func (l lagging) Features() driver.Features {
	f := driver.FeaturesOf(l.Strategy)
	f.Propagator = l
	return f
}

// Propagation implements driver.Propagator.
func (lagging) Propagation() time.Duration { return 100 * time.Millisecond }

// Who ends or changes a session waits until all nodes have noticed. Who reads one does not wait,
// also if it is renewed, and neither does a log-in, whose token is new.
func TestWhoWaitsForOtherNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const delay = 110 * time.Millisecond
		ctx := t.Context()
		renewals := 0
		within := func(context.Context) error { return nil } // what else Renew does
		renew := func(ctx context.Context, session *sessioncache.CachedSession) (*sessioncache.CachedSession, error) {
			renewals++
			session.Expires = session.Expires.Add(time.Hour)
			return session, within(ctx)
		}
		f := newFixtureOn(t, lagging{newBigcache(t)}, sessioncache.Options{Duration: time.Hour, Renew: renew})
		session := f.session("token", time.Hour)
		takes := func(what string, want time.Duration, call func() error) {
			t.Helper()
			began := time.Now()
			if err := call(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("%s took %v, want %v", what, took, want)
			}
		}
		get := func() error {
			_, found, err := f.GetOrLoad(ctx, "token", returns(session))
			if err == nil && !found {
				err = errors.New("the session is not found")
			}
			return err
		}
		update := func(ctx context.Context) error { _, err := f.Update(ctx, "token", returns(session)); return err }
		takes("a log-in", 0, func() error { return update(cache.WithNewKey(ctx)) })
		takes("a log-in with Set", 0, func() error { return f.Set(cache.WithNewKey(ctx), session) })
		takes("a read", 0, get)
		f.clock.Advance(40 * time.Minute)
		takes("a read that loads and renews", 0, get)
		if renewals != 1 {
			t.Errorf("%d renewals", renewals)
		}
		takes("Update", delay, func() error { return update(ctx) })
		takes("Set", delay, func() error { return f.Set(ctx, session) })
		takes("Delete", delay, func() error { return f.Delete(ctx, "token") })
		takes("Delete of nothing", delay, func() error { return f.Delete(ctx, "token") })
		takes("Delete with the context of a log-in", delay, func() error { return f.Delete(cache.WithNewKey(ctx), "token") })
		takes("DeleteUser", delay, func() error { return f.DeleteUser(ctx, "42") })
		takes("InvalidateTags", delay, func() error { return f.InvalidateTags(ctx, "role:admin") })
		takes("Clear", delay, func() error { return f.Clear(ctx) })
		// What Renew itself changes is waited for.
		within = func(ctx context.Context) error { return f.Set(ctx, f.session("another", time.Hour)) }
		takes("a Set in Renew", delay, get)
	})
}
