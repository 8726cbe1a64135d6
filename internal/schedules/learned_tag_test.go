package schedules_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// A tag learned from the loaded value, racing with DeleteUser. The owner of a session is known only
// once it has been loaded. The user is logged out everywhere before it is stored.
//
// Promise: once DeleteUser, or InvalidateTags for a role, has returned, no node returns a session
// as it was before, whether it was loading, updating or stored at that moment.
//
// Model: the sessions of one user, and a counter of all that was committed. A session carries the
// number of the commit that wrote it. Once a revocation has returned, no session below its number
// may be read.
func TestLearnedTagRacingDeleteUser(t *testing.T) {
	t.Parallel()
	for _, storage := range storages {
		t.Run(storage.name, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, "learned-tag/"+storage.name, 10_000, func(t *testing.T) func(*schedule) {
				strategy, at := storage.make(t)
				service := start(t, strategy, cache.Options{LockWait: time.Second})
				nodes := []*sessioncache.Default{newSessions(t, service), newSessions(t, service)}
				return func(s *schedule) {
					at(s)
					u := &user{schedule: s, id: sessioncache.ID(s.key()), sessions: map[string]int64{}}
					tokens := []string{s.key() + " phone", s.key() + " laptop"}
					for _, token := range tokens {
						u.write(token)
					}
					for i := range 2 + s.random.IntN(2) {
						n, token := pick(s, nodes), pick(s, tokens)
						s.actor(fmt.Sprint("request ", i), func(a actor) { u.request(a, n, token) })
					}
					n, token := pick(s, nodes), pick(s, tokens)
					if s.random.IntN(2) == 0 {
						s.actor("log-in", func(a actor) { u.logIn(a, n, token) })
					}
					for i := range 1 + s.random.IntN(2) {
						n, everywhere := pick(s, nodes), s.random.IntN(2) == 0
						s.actor(fmt.Sprint("administrator ", i), func(a actor) { u.revoke(a, n, everywhere) })
					}
					s.play(2 * time.Second)
					for _, token := range tokens {
						u.look(actor{s, "at the end, a reader"}, n, token)
					}
				}
			})
		})
	}
}

func newSessions(t testing.TB, service *cache.Service) *sessioncache.Default {
	t.Helper()
	container := dig.New()
	must(t, service.ProvideTo(container))
	sessions, err := sessioncache.New(sessioncache.Options{Tags: func(session *sessioncache.CachedSession) []string {
		return []string{"role of " + string(session.User.ID)}
	}})
	must(t, err)
	must(t, sessions.Init(context.Background(), container))
	return sessions
}

// user is the model: the sessions of one user in the database, and the oldest that may be served.
type user struct {
	*schedule
	id         sessioncache.ID
	lock       sync.Mutex
	commits    int64
	sessions   map[string]int64 // token → the commit that wrote it
	minVersion int64
}

func (u *user) write(token string) (*sessioncache.CachedSession, int64) {
	u.lock.Lock()
	defer u.lock.Unlock()
	u.commits++
	u.sessions[token] = u.commits
	return u.session(token), u.commits
}

// session returns the session in the database. Callers hold the lock.
func (u *user) session(token string) *sessioncache.CachedSession {
	written, found := u.sessions[token]
	if !found {
		return nil
	}
	return &sessioncache.CachedSession{
		ID: sessioncache.ID(strconv.FormatInt(written, 10)), Token: cache.NewSecret(token),
		Expires: time.Now().Add(24 * time.Hour), User: &sessioncache.User{ID: u.id},
	}
}

func (u *user) least() int64 {
	u.lock.Lock()
	defer u.lock.Unlock()
	return u.minVersion
}

func (u *user) judge(a actor, token string, session *sessioncache.CachedSession, least int64) {
	u.mu.Lock()
	u.hits++
	u.mu.Unlock()
	a.did("was given %s", session.ID)
	if got, err := strconv.ParseInt(string(session.ID), 10, 64); err != nil || got < least {
		u.fail("%s was given the session of commit %s, but all before %d were revoked before it began", a.name, session.ID, least)
	}
	if session.Token.Reveal() != token || session.User.ID != u.id {
		u.fail("%s was given somebody else's session", a.name)
	}
}

func (u *user) look(a actor, n *sessioncache.Default, token string) {
	least := u.least()
	session, found, err := n.Get(context.Background(), token)
	if err != nil {
		a.fail("Get: %v", err)
	}
	if found {
		u.judge(a, token, session, least)
	}
}

func (u *user) request(a actor, n *sessioncache.Default, token string) {
	least := u.least()
	session, found, err := n.GetOrLoad(context.Background(), token, func(context.Context) (*sessioncache.CachedSession, error) {
		u.lock.Lock()
		session := u.session(token)
		u.lock.Unlock()
		if session == nil {
			a.pause("has found no session")
		} else {
			a.pause("has read the session of commit %s", session.ID)
		}
		return session, nil
	})
	if err != nil {
		a.fail("GetOrLoad: %v", err)
	}
	if found {
		u.judge(a, token, session, least)
	}
	a.pause("is back")
	u.look(a, n, token)
}

func (u *user) logIn(a actor, n *sessioncache.Default, token string) {
	_, err := n.Update(context.Background(), token, func(context.Context) (*sessioncache.CachedSession, error) {
		session, commit := u.write(token)
		a.pause("has committed %d", commit)
		return session, nil
	})
	if err != nil {
		a.fail("Update: %v", err)
	}
}

// revoke logs the user out everywhere, or changes a role that all the sessions depend on.
func (u *user) revoke(a actor, n *sessioncache.Default, everywhere bool) {
	u.lock.Lock()
	u.commits++
	commit := u.commits
	for token := range u.sessions {
		if everywhere {
			delete(u.sessions, token)
		} else {
			u.sessions[token] = commit
		}
	}
	u.lock.Unlock()
	a.pause("has committed %d (log-out everywhere: %t)", commit, everywhere)
	var err error
	if everywhere {
		err = n.DeleteUser(context.Background(), u.id)
	} else {
		err = n.InvalidateTags(context.Background(), "role of "+string(u.id))
	}
	if err != nil {
		a.fail("a revocation on a storage that works: %v", err)
	}
	a.did("has revoked")
	u.lock.Lock()
	defer u.lock.Unlock()
	u.minVersion = max(u.minVersion, commit)
}
