package schedules_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
)

// Session clocks: time passes, in steps from a fraction of a millisecond to minutes, also while the
// database is read.
//
// Promise (G2, G3, G5): a session that has expired is not served. None is served for longer than
// stale_after, counted from the begin of the read that produced it. None stays in the storage
// beyond its expiry or its use. A token only ever yields the session of that token, whatever a load
// returns.
//
// Model: a clock, and for each token when its last read began and when the session ends.
func TestSessionClocks(t *testing.T) {
	t.Parallel()
	inBubbles(t, "session-clocks/bigcache", 10_000, func(t *testing.T) func(*schedule) {
		clock := drivertest.NewClock(time.Unix(1_800_000_000, 123_456_789))
		strategy, recorder := drivertest.Record(newBigcache(t))
		service := start(t, strategy, cache.Options{Clock: clock})
		container := dig.New()
		must(t, service.ProvideTo(container))
		sessions, err := sessioncache.New(sessioncache.Options{StaleAfter: staleAfter, TTL: time.Hour})
		must(t, err)
		must(t, sessions.Init(context.Background(), container))
		return func(s *schedule) {
			recorder.Reset()
			w := &watch{schedule: s, clock: clock, sessions: sessions, recorder: recorder, read: map[string]time.Time{}}
			for range 10 {
				w.step()
			}
		}
	})
}

const staleAfter = 5 * time.Minute

type watch struct {
	*schedule
	clock    *drivertest.Clock
	sessions *sessioncache.Default
	recorder *drivertest.Recorder
	read     map[string]time.Time // token → when the read of the session that may be cached began
	ends     time.Time            // the latest end of any session
}

func (w *watch) pass() {
	passed := [...]time.Duration{0, 300 * time.Microsecond, time.Second, time.Minute, 3 * time.Minute}[w.random.IntN(5)]
	w.log(fmt.Sprint(passed, " pass"))
	w.clock.Advance(passed)
}

func (w *watch) step() {
	tokens := []string{w.key() + " mine", w.key() + " yours"}
	token := pick(w.schedule, tokens)
	a := actor{w.schedule, "a request with " + token[len(w.key()):]}
	load := func(context.Context) (*sessioncache.CachedSession, error) {
		w.read[token] = w.clock.Now()
		w.pass()
		of := token
		if w.random.IntN(6) == 0 {
			of = pick(w.schedule, tokens) // a bug in the application's query
		}
		expires := w.clock.Now().Add([...]time.Duration{time.Millisecond / 2, time.Second + 1, time.Minute, time.Hour}[w.random.IntN(4)])
		if expires.After(w.ends) {
			w.ends = expires
		}
		a.did("reads the session of%s, which expires in %v", of[len(w.key()):], expires.Sub(w.clock.Now()))
		return &sessioncache.CachedSession{ID: sessioncache.ID(of), Token: cache.NewSecret(of), Expires: expires}, nil
	}
	var session *sessioncache.CachedSession
	var found bool
	var err error
	switch w.random.IntN(4) {
	case 0:
		a.did("gets or loads")
		session, found, err = w.sessions.GetOrLoad(context.Background(), token, load)
	case 1:
		a.did("updates")
		session, err = w.sessions.Update(context.Background(), token, load)
		found = session != nil && err == nil
	case 2:
		w.pass()
		return
	default:
		a.did("gets")
		session, found, err = w.sessions.Get(context.Background(), token)
	}
	w.stored()
	if err != nil || !found {
		return
	}
	w.hits++
	now := w.clock.Now()
	switch {
	case session.Token.Reveal() != token || string(session.ID) != token:
		w.fail("%s was given the session of %q", a.name, session.ID)
	case !now.Before(session.Expires):
		w.fail("%s was given a session that expired %v ago", a.name, now.Sub(session.Expires))
	case now.Sub(w.read[token]) > staleAfter:
		w.fail("%s was given a session that was read %v ago", a.name, now.Sub(w.read[token]))
	}
}

// stored judges what the storage was asked to keep, rounded up to its milliseconds.
func (w *watch) stored() {
	now := w.clock.Now()
	for _, operation := range w.recorder.Operations() {
		if over := now.Add(operation.TTL).Sub(w.ends); operation.TTL > 0 && over > time.Millisecond {
			w.fail("the storage shall keep a session for %v after its end", over)
		}
		if operation.TTL > staleAfter+time.Millisecond {
			w.fail("the storage shall keep a session for %v, and nobody may serve it after %v", operation.TTL, staleAfter)
		}
	}
	w.recorder.Reset()
}
