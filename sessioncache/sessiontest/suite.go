// Package sessiontest is the conformance suite for session strategies. It tests the project's own
// strategies on any storage, and those of third parties.
//
//	func TestConformance(t *testing.T) {
//		sessiontest.Run(t, sessiontest.OnStorage(newStorage))
//	}
//
// If a strategy implements sessioncache.Sessions, the suite tests those methods too. It does not
// test the storage itself. Use cache/drivertest for that.
package sessiontest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/backoff"
	"github.com/fxcache/fxcache/sessioncache"
)

// Subject is a session strategy that is ready for use.
type Subject struct {
	Strategy sessioncache.Strategy
	// Clock is the clock of the strategy's expiries. Nil means that the test cannot move the clock,
	// so the suite waits instead.
	Clock *drivertest.Clock
	// Peer returns the strategy of another process that shares the storage. It uses that
	// stale_after, and its clock is ahead of Clock by that duration. Peer is nil if no other
	// process can see the sessions, or if Clock is nil.
	Peer func(staleAfter, ahead time.Duration) sessioncache.Strategy
}

// Option tells Run what the strategy cannot do.
type Option func(*suite)

// NoRetention declares that the strategy stores nothing.
func NoRetention() Option { return func(s *suite) { s.noRetention = true } }

type suite struct {
	newSubject  func(testing.TB) Subject
	noRetention bool
}

// Run runs the suite. newSubject returns a fresh, initialised strategy for each test. If its
// storage is shared, it must be empty or use a namespace of its own.
func Run(t *testing.T, newSubject func(testing.TB) Subject, options ...Option) {
	s := suite{newSubject: newSubject}
	for _, option := range options {
		option(&s)
	}
	t.Run("basics", s.basics)
	t.Run("expiry", s.expiry)
	t.Run("revocation", s.revocation)
	t.Run("readthrough", s.readThrough)
	t.Run("races", s.races)
}

// OnStorage returns subjects for Run: the default session strategy on the storage strategy that
// newStorage returns, which must not be initialised yet. A session carries the tag "role:<name>"
// for each name in its custom field "roles".
func OnStorage(newStorage func(testing.TB) driver.Strategy) func(testing.TB) Subject {
	return func(t testing.TB) Subject {
		clock := drivertest.NewClock(time.Now().Truncate(time.Millisecond))
		namespace := rand.Text() // the storage may be shared
		process := func(storage driver.Strategy, clock driver.Clock, staleAfter time.Duration) sessioncache.Strategy {
			service, err := cache.NewService(storage, cache.Options{
				Namespace: namespace, Clock: clock, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler),
			})
			must(t, err)
			container := dig.New()
			must(t, service.ProvideTo(container))
			must(t, service.Start(t.Context(), container))
			t.Cleanup(func() { must(t, service.Stop(context.Background())) })
			must(t, connected(t, service))
			sessions, err := sessioncache.New(sessioncache.Options{Tags: roleTags, StaleAfter: staleAfter})
			must(t, err)
			must(t, sessions.Init(t.Context(), container))
			return sessions
		}
		storage := newStorage(t)
		return Subject{
			Strategy: process(storage, clock, 0), Clock: clock,
			Peer: func(staleAfter, ahead time.Duration) sessioncache.Strategy {
				return process(withoutLifecycle(storage), aheadClock{clock, ahead}, staleAfter)
			},
		}
	}
}

// connected waits for a storage that connects in the background.
func connected(t testing.TB, service *cache.Service) error {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for pauses := (backoff.Backoff{First: time.Millisecond, Last: 100 * time.Millisecond}); ; {
		_, err := service.Get(ctx, "connected", new(string))
		if err == nil || !pauses.Wait(ctx) {
			return err
		}
	}
}

// withoutLifecycle hides Init and Destroy of a storage that is already initialised.
func withoutLifecycle(storage driver.Strategy) driver.Strategy {
	if leaser := driver.FeaturesOf(storage).Leaser; leaser != nil {
		return struct{ driver.Leaser }{leaser}
	}
	return struct{ driver.Strategy }{storage}
}

// aheadClock is ahead of another clock by a constant.
type aheadClock struct {
	clock *drivertest.Clock
	ahead time.Duration
}

// Now implements driver.Clock.
func (c aheadClock) Now() time.Time { return c.clock.Now().Add(c.ahead) }

func roleTags(session *sessioncache.CachedSession) (tags []string) {
	roles, _ := session.CustomFields["roles"].([]string)
	for _, role := range roles {
		tags = append(tags, "role:"+role)
	}
	return tags
}

// subject adds the helpers of the tests to a Subject.
type subject struct {
	testing.TB
	Subject
}

func (s suite) subject(t testing.TB) subject {
	t.Helper()
	return subject{t, s.newSubject(t)}
}

func (s subject) now() time.Time {
	if s.Clock != nil {
		return s.Clock.Now()
	}
	return time.Now()
}

// pass moves the clock by d, or waits.
func (s subject) pass(d time.Duration) {
	if s.Clock != nil {
		s.Clock.Advance(d)
		return
	}
	<-time.After(d)
}

// session returns a session with that token which expires in an hour.
func (s subject) session(token string) *sessioncache.CachedSession {
	return &sessioncache.CachedSession{
		ID: "id of " + sessioncache.ID(token), Token: cache.NewSecret(token), Expires: s.now().Add(time.Hour),
		User: &sessioncache.User{ID: "42", Identifier: "alice@example.com", Verified: true},
	}
}

func (s subject) set(session *sessioncache.CachedSession) {
	s.Helper()
	must(s, s.Strategy.Set(s.Context(), session))
}

func (s subject) get(token string) (*sessioncache.CachedSession, bool) {
	s.Helper()
	session, found, err := s.Strategy.Get(s.Context(), token)
	must(s, err)
	if found != (session != nil) {
		s.Fatalf("found is %t beside a session that is %v", found, session)
	}
	return session, found
}

func (s subject) wantFound(want bool, token, when string) {
	s.Helper()
	if _, found := s.get(token); found != want {
		s.Errorf("found is %t %s, want %t", found, when, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tokens(n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("token %d", i)
	}
	return tokens
}
