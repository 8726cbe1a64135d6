package sessiontest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/sessioncache/sessiontest"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/noop"
)

func newBigcache(t testing.TB) driver.Strategy {
	t.Helper()
	strategy, err := bigcache.New(bigcache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return strategy
}

func TestDefault(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, sessiontest.OnStorage(newBigcache))
}

func TestNoRetention(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, sessiontest.OnStorage(func(testing.TB) driver.Strategy { return noop.Strategy{} }), sessiontest.NoRetention())
}

// mutant is a session strategy that breaks one rule. If one of its functions is set, it replaces
// the method.
type mutant struct {
	sessioncache.Sessions
	clock *drivertest.Clock

	set        func(m *mutant, ctx context.Context, session *sessioncache.CachedSession) error
	get        func(m *mutant, ctx context.Context, token string) (*sessioncache.CachedSession, bool, error)
	delete     func(m *mutant, ctx context.Context, token string) error
	clear      func(m *mutant, ctx context.Context) error
	getOrLoad  func(m *mutant, ctx context.Context, token string, load sessioncache.Load) (*sessioncache.CachedSession, bool, error)
	update     func(m *mutant, ctx context.Context, token string, write sessioncache.Load) (*sessioncache.CachedSession, error)
	deleteUser func(m *mutant, ctx context.Context, user sessioncache.ID) error
	invalidate func(m *mutant, ctx context.Context, tags ...string) error

	peer func(m *mutant, inner func(staleAfter, ahead time.Duration) sessioncache.Strategy, staleAfter, ahead time.Duration) sessioncache.Strategy

	last *sessioncache.CachedSession
}

func (m *mutant) Set(ctx context.Context, session *sessioncache.CachedSession) error {
	if m.set != nil {
		return m.set(m, ctx, session)
	}
	return m.Sessions.Set(ctx, session)
}

func (m *mutant) Get(ctx context.Context, token string) (*sessioncache.CachedSession, bool, error) {
	if m.get != nil {
		return m.get(m, ctx, token)
	}
	return m.Sessions.Get(ctx, token)
}

func (m *mutant) Delete(ctx context.Context, token string) error {
	if m.delete != nil {
		return m.delete(m, ctx, token)
	}
	return m.Sessions.Delete(ctx, token)
}

func (m *mutant) Clear(ctx context.Context) error {
	if m.clear != nil {
		return m.clear(m, ctx)
	}
	return m.Sessions.Clear(ctx)
}

func (m *mutant) GetOrLoad(ctx context.Context, token string, load sessioncache.Load) (*sessioncache.CachedSession, bool, error) {
	if m.getOrLoad != nil {
		return m.getOrLoad(m, ctx, token, load)
	}
	return m.Sessions.GetOrLoad(ctx, token, load)
}

func (m *mutant) Update(ctx context.Context, token string, write sessioncache.Load) (*sessioncache.CachedSession, error) {
	if m.update != nil {
		return m.update(m, ctx, token, write)
	}
	return m.Sessions.Update(ctx, token, write)
}

func (m *mutant) DeleteUser(ctx context.Context, user sessioncache.ID) error {
	if m.deleteUser != nil {
		return m.deleteUser(m, ctx, user)
	}
	return m.Sessions.DeleteUser(ctx, user)
}

func (m *mutant) InvalidateTags(ctx context.Context, tags ...string) error {
	if m.invalidate != nil {
		return m.invalidate(m, ctx, tags...)
	}
	return m.Sessions.InvalidateTags(ctx, tags...)
}

// mutants lists, for each rule, a strategy that breaks it and the test that must fail.
var mutants = map[string]struct {
	change func(m *mutant)
	fails  string
}{
	"finds what is not there": {func(m *mutant) {
		m.get = func(m *mutant, ctx context.Context, token string) (*sessioncache.CachedSession, bool, error) {
			return &sessioncache.CachedSession{}, true, nil
		}
	}, "basics/unknown"},
	"deleting what is not there fails": {func(m *mutant) {
		m.delete = func(m *mutant, ctx context.Context, token string) error {
			if _, found, _ := m.Sessions.Get(ctx, token); !found {
				return os.ErrNotExist
			}
			return m.Sessions.Delete(ctx, token)
		}
	}, "basics/unknown"},
	"stores nothing": {func(m *mutant) {
		m.set = func(*mutant, context.Context, *sessioncache.CachedSession) error { return nil }
	}, "basics/round_trip"},
	"loses custom fields": {func(m *mutant) {
		m.set = func(m *mutant, ctx context.Context, session *sessioncache.CachedSession) error {
			clone := session.Clone()
			clone.CustomFields = nil
			return m.Sessions.Set(ctx, clone)
		}
	}, "basics/round_trip"},
	"loses the token": {func(m *mutant) {
		m.get = func(m *mutant, ctx context.Context, token string) (*sessioncache.CachedSession, bool, error) {
			session, found, err := m.Sessions.Get(ctx, token)
			if found {
				session.Token = cache.Secret{}
			}
			return session, found, err
		}
	}, "basics/round_trip"},
	"the first session stays": {func(m *mutant) {
		m.set = func(m *mutant, ctx context.Context, session *sessioncache.CachedSession) error {
			if _, found, _ := m.Sessions.Get(ctx, session.Token.Reveal()); found {
				return nil
			}
			return m.Sessions.Set(ctx, session)
		}
	}, "basics/replace"},
	"hands out what it holds": {func(m *mutant) {
		m.get = func(m *mutant, ctx context.Context, token string) (*sessioncache.CachedSession, bool, error) {
			session, found, err := m.Sessions.Get(ctx, token)
			if m.last == nil {
				m.last = session
			}
			return m.last, found, err
		}
	}, "basics/isolation"},
	"tokens without case": {func(m *mutant) {
		m.set = func(m *mutant, ctx context.Context, session *sessioncache.CachedSession) error {
			clone := session.Clone()
			clone.Token = cache.NewSecret(strings.ToLower(session.Token.Reveal()))
			return m.Sessions.Set(ctx, clone)
		}
		m.get = func(m *mutant, ctx context.Context, token string) (*sessioncache.CachedSession, bool, error) {
			return m.Sessions.Get(ctx, strings.ToLower(token))
		}
	}, "basics/tokens_are_apart"},
	"takes sessions without a token": {func(m *mutant) {
		m.set = func(m *mutant, ctx context.Context, session *sessioncache.CachedSession) error {
			if session.Token.IsZero() {
				return nil
			}
			return m.Sessions.Set(ctx, session)
		}
	}, "basics/no_token"},
	"keeps what has expired": {func(m *mutant) {
		m.set = func(m *mutant, ctx context.Context, session *sessioncache.CachedSession) error {
			clone := session.Clone()
			clone.Expires = clone.Expires.Add(time.Hour)
			return m.Sessions.Set(ctx, clone)
		}
	}, "expiry/expired"},
	"refuses without hiding": {func(m *mutant) {
		m.set = func(m *mutant, ctx context.Context, session *sessioncache.CachedSession) error {
			if session.Expired(m.clock.Now()) {
				return nil
			}
			return m.Sessions.Set(ctx, session)
		}
	}, "expiry/set_when_expired"},
	"no Expires means for ever": {func(m *mutant) {
		m.set = func(m *mutant, ctx context.Context, session *sessioncache.CachedSession) error {
			clone := session.Clone()
			if clone.Expires.IsZero() {
				clone.Expires = m.clock.Now().Add(time.Hour)
			}
			return m.Sessions.Set(ctx, clone)
		}
	}, "expiry/no_Expires"},
	"no soft expiry": {func(m *mutant) {
		m.set = func(m *mutant, ctx context.Context, session *sessioncache.CachedSession) error {
			clone := session.Clone()
			clone.CacheExpiry = time.Time{}
			return m.Sessions.Set(ctx, clone)
		}
	}, "expiry/stale"},
	"the writer's stale_after counts": {func(m *mutant) {
		m.peer = func(_ *mutant, inner func(_, _ time.Duration) sessioncache.Strategy, _, ahead time.Duration) sessioncache.Strategy {
			return inner(5*time.Minute, ahead)
		}
	}, "expiry/lowered_stale_after"},
	"a fast clock is believed": {func(m *mutant) {
		m.peer = func(_ *mutant, inner func(_, _ time.Duration) sessioncache.Strategy, staleAfter, _ time.Duration) sessioncache.Strategy {
			return inner(staleAfter, 0)
		}
	}, "expiry/fast_clock_of_the_writer"},
	"keeps what a fast clock stored until it looks good": {func(m *mutant) {
		began := m.clock.Now()
		m.get = func(m *mutant, ctx context.Context, token string) (*sessioncache.CachedSession, bool, error) {
			if m.clock.Now().Sub(began) == time.Hour {
				return &sessioncache.CachedSession{}, true, nil
			}
			return m.Sessions.Get(ctx, token)
		}
	}, "expiry/fast_clock_of_the_writer"},
	"a slow clock is believed": {func(m *mutant) {
		m.peer = func(_ *mutant, inner func(_, _ time.Duration) sessioncache.Strategy, staleAfter, _ time.Duration) sessioncache.Strategy {
			return inner(staleAfter, 0)
		}
	}, "expiry/slow_clock_of_the_writer"},
	"delete does nothing": {func(m *mutant) {
		m.delete = func(*mutant, context.Context, string) error { return nil }
	}, "revocation/delete"},
	"delete clears": {func(m *mutant) {
		m.delete = func(m *mutant, ctx context.Context, _ string) error { return m.Sessions.Clear(ctx) }
	}, "revocation/delete"},
	"clear does nothing": {func(m *mutant) {
		m.clear = func(*mutant, context.Context) error { return nil }
	}, "revocation/clear"},
	"log out everywhere does nothing": {func(m *mutant) {
		m.deleteUser = func(*mutant, context.Context, sessioncache.ID) error { return nil }
	}, "revocation/user"},
	"log out everywhere logs everybody out": {func(m *mutant) {
		m.deleteUser = func(m *mutant, ctx context.Context, _ sessioncache.ID) error { return m.Sessions.Clear(ctx) }
	}, "revocation/user"},
	"a role change clears all": {func(m *mutant) {
		m.invalidate = func(m *mutant, ctx context.Context, _ ...string) error { return m.Sessions.Clear(ctx) }
	}, "revocation/tags"},
	"a role change clears nothing": {func(m *mutant) {
		m.invalidate = func(*mutant, context.Context, ...string) error { return nil }
	}, "revocation/tags"},
	"always loads": {func(m *mutant) {
		m.getOrLoad = func(m *mutant, ctx context.Context, token string, load sessioncache.Load) (*sessioncache.CachedSession, bool, error) {
			if err := m.Sessions.Delete(ctx, token); err != nil {
				return nil, false, err
			}
			return m.Sessions.GetOrLoad(ctx, token, load)
		}
	}, "readthrough/story"},
	"update does not store": {func(m *mutant) {
		m.update = func(m *mutant, ctx context.Context, _ string, write sessioncache.Load) (*sessioncache.CachedSession, error) {
			return write(ctx)
		}
	}, "readthrough/story"},
	"not found is an error": {func(m *mutant) {
		m.getOrLoad = func(m *mutant, ctx context.Context, token string, load sessioncache.Load) (*sessioncache.CachedSession, bool, error) {
			session, found, err := m.Sessions.GetOrLoad(ctx, token, load)
			if err == nil && !found {
				err = cache.ErrNotFound
			}
			return session, found, err
		}
	}, "readthrough/not_found"},
	"swallows errors": {func(m *mutant) {
		m.getOrLoad = func(m *mutant, ctx context.Context, token string, load sessioncache.Load) (*sessioncache.CachedSession, bool, error) {
			session, found, _ := m.Sessions.GetOrLoad(ctx, token, load)
			return session, found, nil
		}
	}, "readthrough/errors"},
	"a failed write leaves the old session": {func(m *mutant) {
		m.update = func(m *mutant, ctx context.Context, token string, write sessioncache.Load) (*sessioncache.CachedSession, error) {
			session, err := write(ctx)
			if err != nil {
				return nil, err
			}
			return m.Sessions.Update(ctx, token, func(context.Context) (*sessioncache.CachedSession, error) { return session, nil })
		}
	}, "readthrough/failed_update"},
	"stale is good enough": {func(m *mutant) {
		m.set = func(m *mutant, ctx context.Context, session *sessioncache.CachedSession) error {
			clone := session.Clone()
			clone.CacheExpiry = time.Time{}
			return m.Sessions.Set(ctx, clone)
		}
	}, "readthrough/stale_and_gone"},
	"stores without a fence": {func(m *mutant) {
		m.getOrLoad = func(m *mutant, ctx context.Context, token string, load sessioncache.Load) (*sessioncache.CachedSession, bool, error) {
			session, err := load(ctx)
			if session == nil || err != nil {
				return nil, false, err
			}
			return session, true, m.Sessions.Set(ctx, session)
		}
	}, "races/load_against_delete"},
	"updates without a fence": {func(m *mutant) {
		m.update = func(m *mutant, ctx context.Context, _ string, write sessioncache.Load) (*sessioncache.CachedSession, error) {
			session, err := write(ctx)
			if err != nil {
				return nil, err
			}
			return session, m.Sessions.Set(ctx, session)
		}
	}, "races/update_against_user"},
	"learned tags are not fenced": {func(m *mutant) {
		m.getOrLoad = func(m *mutant, ctx context.Context, token string, load sessioncache.Load) (*sessioncache.CachedSession, bool, error) {
			session, err := load(ctx)
			if session == nil || err != nil {
				return nil, false, err
			}
			return session, true, m.Sessions.Set(ctx, session)
		}
	}, "races/load_against_tag"},
}

// Each mutant runs in a process of its own, because a failing test fails its parents. It must fail
// in the test of its rule.
func TestSuiteBites(t *testing.T) {
	t.Parallel()
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pattern := "^TestMutant$/^" + strings.ReplaceAll(m.fails, "/", "$/^") + "$"
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.v")
			command.Env = append(os.Environ(), "SESSIONTEST_MUTANT="+name)
			out, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestMutant/"+m.fails) {
				t.Errorf("the suite lets it pass (%v):\n%s", err, out)
			}
		})
	}
}

// TestMutant does nothing by itself: TestSuiteBites runs it.
func TestMutant(t *testing.T) {
	name := os.Getenv("SESSIONTEST_MUTANT")
	if name == "" {
		return
	}
	on := sessiontest.OnStorage(newBigcache)
	sessiontest.Run(t, func(t testing.TB) sessiontest.Subject {
		subject := on(t)
		m := &mutant{Sessions: subject.Strategy.(sessioncache.Sessions), clock: subject.Clock}
		mutants[name].change(m)
		if inner := subject.Peer; m.peer != nil {
			subject.Peer = func(staleAfter, ahead time.Duration) sessioncache.Strategy {
				return m.peer(m, inner, staleAfter, ahead)
			}
		}
		subject.Strategy = m
		return subject
	})
}
