package sessioncache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
)

// V22: Clear before Init returns nil. Any other call before Init returns an error and does not
// panic.
func TestBeforeInit(t *testing.T) {
	t.Parallel()
	d, err := sessioncache.New(sessioncache.Options{})
	check(t, err)
	if err := d.Clear(t.Context()); err != nil {
		t.Errorf("Clear: %v, want nil", err)
	}
	_, _, get := d.Get(t.Context(), "token")
	_, _, load := d.GetOrLoad(t.Context(), "token", nil)
	_, update := d.Update(t.Context(), "token", nil)
	for name, err := range map[string]error{
		"Get": get, "GetOrLoad": load, "Update": update,
		"Set": d.Set(t.Context(), &sessioncache.CachedSession{}), "Delete": d.Delete(t.Context(), "token"),
		"DeleteUser": d.DeleteUser(t.Context(), "42"), "InvalidateTags": d.InvalidateTags(t.Context(), "tag"),
	} {
		if !errors.Is(err, cache.ErrNotStarted) {
			t.Errorf("%s: %v, want ErrNotStarted", name, err)
		}
	}
}

func TestInitNeedsTheService(t *testing.T) {
	t.Parallel()
	d, err := sessioncache.New(sessioncache.Options{})
	check(t, err)
	if err := d.Init(t.Context(), dig.New()); err == nil || !strings.Contains(err.Error(), "*cache.Service") {
		t.Errorf("Init: %v, want an error that names *cache.Service", err)
	}
}

func TestInvalidOptions(t *testing.T) {
	t.Parallel()
	_, err := sessioncache.New(sessioncache.Options{TTL: -1, StaleAfter: -1, Prefix: strings.Repeat("x", 200),
		Renew: func(context.Context, *sessioncache.CachedSession) (*sessioncache.CachedSession, error) {
			return nil, nil
		}})
	_, short := sessioncache.New(sessioncache.Options{TTL: 300, StaleAfter: 300, Duration: 300})
	for _, name := range []string{"ttl", "stale_after", "Duration"} {
		if short == nil || !strings.Contains(short.Error(), name+": 300ns is less than a millisecond; did you mean 300*time.Second?") {
			t.Errorf("%s is missing in %v", name, short)
		}
	}
	for _, name := range []string{"ttl", "stale_after", "prefix", "Duration"} {
		if err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is missing in %v", name, err)
		}
	}
	var option *cache.OptionError
	if !errors.As(err, &option) {
		t.Errorf("%T is not a cache.OptionError", err)
	}
}

// V15: an error from a revocation reaches the caller, with the time until which other nodes may
// serve the session. This node retries the revocation before it serves the session.
func TestRevocationErrors(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, try := range map[string]struct {
		op     string
		revoke func(*fixture) error
	}{
		"Delete":         {drivertest.OpDelete, func(f *fixture) error { return f.Delete(t.Context(), "token") }},
		"DeleteUser":     {drivertest.OpInvalidate, func(f *fixture) error { return f.DeleteUser(t.Context(), "42") }},
		"InvalidateTags": {drivertest.OpInvalidate, func(f *fixture) error { return f.InvalidateTags(t.Context(), "tag") }},
		"Clear":          {drivertest.OpInvalidate, func(f *fixture) error { return f.Clear(t.Context()) }},
	} {
		f := newFixture(t, sessioncache.Options{})
		check(t, f.Set(t.Context(), f.session("token", time.Hour)))
		f.recorder.FailNext(try.op, 1, boom)
		var wrapped *cache.Error
		err := try.revoke(f)
		if !errors.Is(err, boom) || !errors.As(err, &wrapped) {
			t.Errorf("%s: %v, want boom in a *cache.Error", name, err)
		}
		var pending *cache.PendingError
		want := 5 * time.Minute
		if name == "InvalidateTags" {
			want = f.service.Options().MaxTTL + driver.MaxLeaseTTL // others than sessions may carry the tag; and a lease's life
		}
		if !errors.As(err, &pending) || !pending.Until.Equal(f.clock.Now().Add(want)) {
			t.Errorf("%s: %v, want a PendingError for %v", name, err, want)
		}
		if tries := f.recorder.Count(try.op); tries != 1 {
			t.Fatalf("%s: %d tries", name, tries)
		}
		if found, tries := f.found(t, "token"), f.recorder.Count(try.op); found != (name == "InvalidateTags") || tries != 2 {
			t.Errorf("%s: then found %t after %d tries, want it tried again first", name, found, tries)
		}
	}
}

// The same holds if Update can neither store nor delete: the caller gets the session and the error.
func TestUpdateThatCannotRevoke(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{})
	boom := errors.New("boom")
	f.recorder.FailNext(drivertest.OpFill, 1, boom)
	f.recorder.FailNext(drivertest.OpDelete, 1, boom)
	session, err := f.Update(t.Context(), "token", returns(f.session("token", time.Hour)))
	var failure *cache.Error
	if session == nil || !errors.As(err, &failure) {
		t.Errorf("session %v, err %v; want both", session, err)
	}
}

// V20: a cached session lives no longer than the session itself, and no longer than stale_after,
// because the database is read after that in any case.
func TestTTLIsBoundedByUse(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct{ lasts, staleAfter, want time.Duration }{
		"short":            {time.Minute, 0, time.Minute},
		"long":             {48 * time.Hour, 0, 5 * time.Minute},
		"long stale_after": {48 * time.Hour, 72 * time.Hour, 24 * time.Hour},
	} {
		f := newFixture(t, sessioncache.Options{StaleAfter: try.staleAfter})
		session := f.session("token", try.lasts)
		check(t, f.Set(t.Context(), session))
		_, _, err := f.GetOrLoad(t.Context(), "other", returns(f.session("other", try.lasts)))
		check(t, err)
		_, err = f.Update(t.Context(), "third", returns(f.session("third", try.lasts)))
		check(t, err)
		writes := 0
		for _, o := range f.recorder.Operations() {
			if o.Name == drivertest.OpSet || o.Name == drivertest.OpFill {
				writes++
				if o.TTL != try.want {
					t.Errorf("%s: %s with a TTL of %v, want %v", name, o.Name, o.TTL, try.want)
				}
			}
		}
		if writes != 3 {
			t.Errorf("%s: %d writes, want 3", name, writes)
		}
	}
}

// G2: soft expiry counts from the start of the database read, not from the time of storing.
func TestStaleAfterCountsFromTheRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{StaleAfter: time.Minute})
	began := f.clock.Now()
	session, _, err := f.GetOrLoad(t.Context(), "token", func(context.Context) (*sessioncache.CachedSession, error) {
		row := f.session("token", time.Hour)
		f.clock.Advance(50 * time.Second) // a slow database, or a slow network behind it
		return row, nil
	})
	check(t, err)
	if want := began.Add(time.Minute); !session.CacheExpiry.Equal(want) {
		t.Errorf("CacheExpiry is %v after the read began, want 1m", session.CacheExpiry.Sub(began))
	}
	f.clock.Advance(10 * time.Second)
	if f.found(t, "token") {
		t.Error("a session is served that was read more than stale_after ago")
	}
}

// G2 while a slow load runs: a session past stale_after is returned only to callers that have
// waited since before that time.
func TestLatecomersOfASlowLoad(t *testing.T) {
	t.Parallel()
	for took, shared := range map[time.Duration]bool{time.Second: true, 2 * time.Second: false, time.Hour: false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, sessioncache.Options{StaleAfter: 2 * time.Second})
			release := make(chan struct{})
			loads := 0
			load := func(context.Context) (*sessioncache.CachedSession, error) {
				if loads++; loads == 1 {
					<-release
				}
				session := f.session("token", 24*time.Hour)
				session.User.Identifier = fmt.Sprint(loads)
				return session, nil
			}
			got := make(chan string, 2)
			get := func() {
				session, found, err := f.GetOrLoad(t.Context(), "token", load)
				if !found || err != nil {
					t.Errorf("%v, %v", found, err)
					session = f.session("token", 0)
				}
				got <- session.User.Identifier
			}
			go get()
			synctest.Wait()
			go get()
			synctest.Wait()
			f.clock.Advance(took)
			close(release)
			answers := []string{<-got, <-got}
			slices.Sort(answers)
			want := []string{"1", "2"}
			if shared {
				want = []string{"1", "1"}
			}
			if !slices.Equal(answers, want) {
				t.Errorf("a load of %v: %v, want %v", took, answers, want)
			}
		})
	}
}

// The caller's own CacheExpiry is used only if it is the earlier one.
func TestCacheExpiryOfTheCaller(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{})
	session := f.session("token", time.Hour)
	session.CacheExpiry = f.clock.Now().Add(time.Hour)
	check(t, f.Set(t.Context(), session))
	f.clock.Advance(5 * time.Minute)
	if f.found(t, "token") {
		t.Error("the caller's CacheExpiry prolonged stale_after")
	}
}

// A session with an earlier CacheExpiry is not kept longer than that. If CacheExpiry has already
// passed because the read took so long, the session is not stored.
func TestTTLIsBoundedByCacheExpiry(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{})
	session := f.session("token", time.Hour)
	session.CacheExpiry = f.clock.Now().Add(time.Minute)
	check(t, f.Set(t.Context(), session))
	slow := f.session("slow", time.Hour)
	check(t, f.Set(t.Context(), slow))
	_, err := f.Update(t.Context(), "slow", func(context.Context) (*sessioncache.CachedSession, error) {
		f.clock.Advance(5 * time.Minute)
		return slow, nil
	})
	check(t, err)
	var stored []time.Duration
	for _, o := range f.recorder.Operations() {
		if o.Name == drivertest.OpSet || o.Name == drivertest.OpFill {
			stored = append(stored, o.TTL)
		}
	}
	if want := []time.Duration{time.Minute, 5 * time.Minute}; !slices.Equal(stored, want) {
		t.Errorf("stored for %v, want %v", stored, want)
	}
	if f.found(t, "slow") {
		t.Error("the session from before the update is served")
	}
}

// A reader asks the database for a session that another process stored for longer than the reader
// allows, or with a clock that is ahead. The session it loads is then a hit for both.
func TestReaderAppliesItsStaleAfter(t *testing.T) {
	t.Parallel()
	for name, expiry := range map[string]time.Duration{"longer stale_after": time.Hour, "1 ms ahead": 5*time.Minute + time.Millisecond, "the same": 5 * time.Minute} {
		f := newFixture(t, sessioncache.Options{})
		other, err := sessioncache.New(sessioncache.Options{StaleAfter: expiry})
		check(t, err)
		check(t, other.Init(t.Context(), injector(t, f.service)))
		check(t, other.Set(t.Context(), f.session("token", 2*time.Hour)))
		loads := 0
		for range 2 {
			_, found, err := f.GetOrLoad(t.Context(), "token", func(ctx context.Context) (*sessioncache.CachedSession, error) {
				loads++
				return f.session("token", 2*time.Hour), nil
			})
			if !found || err != nil {
				t.Errorf("%s: %v, %v", name, found, err)
			}
		}
		if want := map[bool]int{true: 1}[expiry > 5*time.Minute]; loads != want {
			t.Errorf("%s: %d loads, want %d", name, loads, want)
		}
		if _, found, err := other.Get(t.Context(), "token"); !found || err != nil {
			t.Errorf("%s: the other one then: %v, %v", name, found, err)
		}
	}
}

// A session in another version of the encoding, older or newer, is a miss and is not deleted:
// during a deployment another process uses it.
func TestUnknownVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{1, 3} {
		checkVersionIsLeftAlone(t, version)
	}
}

func checkVersionIsLeftAlone(t *testing.T, version byte) {
	t.Helper()
	f := newFixture(t, sessioncache.Options{})
	check(t, f.Set(t.Context(), f.session("token", time.Hour)))
	key := f.recorder.Operations()[0].Keys[0]
	raw, _, err := f.storage.Get(t.Context(), key)
	check(t, err)
	if raw[6] != 2 {
		t.Fatalf("the version is not where it is thought to be: % x", raw)
	}
	raw[6] = version
	check(t, f.storage.Set(t.Context(), key, raw, cache.SetOptions{TTL: time.Hour}))
	for range 2 {
		if f.found(t, "token") {
			t.Error("a session of an unknown version is served")
		}
	}
	if left, _, err := f.storage.Get(t.Context(), key); !slices.Equal(left, raw) || err != nil {
		t.Errorf("it is not left alone: % x, %v", left, err)
	}
	if stats := f.service.Stats(); stats.Foreign != 2 || stats.Corrupt != 0 {
		t.Errorf("%+v", stats)
	}
	_, found, err := f.GetOrLoad(t.Context(), "token", returns(f.session("token", time.Hour)))
	if !found || err != nil || !f.found(t, "token") {
		t.Errorf("it is not replaced: %v, %v", found, err)
	}
}

// The sessions own their name: another cache of that name cannot read or write them, whichever is
// created first.
func TestNameOfSessions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{})
	var taken *cache.NameError
	if _, err := cache.New(f.service, "session", cache.Policy[*sessioncache.CachedSession]{HashKeys: true}); !errors.As(err, &taken) {
		t.Errorf("a cache of the name of the sessions: %v", err)
	}
	check(t, f.Init(t.Context(), injector(t, f.service))) // as at every start
	_, err := cache.New(f.service, "mine", cache.Policy[int]{})
	check(t, err)
	late, err := sessioncache.New(sessioncache.Options{Prefix: "mine"})
	check(t, err)
	if err := late.Init(t.Context(), injector(t, f.service)); !errors.As(err, &taken) || taken.Name != "mine" {
		t.Errorf("sessions under the name of a cache: %v", err)
	}
	if _, err := late.Update(t.Context(), "token", returns(f.session("token", time.Hour))); !errors.Is(err, cache.ErrNotStarted) {
		t.Errorf("after a refused Init: %v", err)
	}
}

// A foreign value in the place of a session is a miss and is replaced, whatever it is.
func TestForeignEntryIsAMiss(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{})
	check(t, f.Set(t.Context(), f.session("token", time.Hour)))
	var key string
	for _, o := range f.recorder.Operations() {
		if o.Name == drivertest.OpSet {
			key = o.Keys[0]
		}
	}
	for _, foreign := range []string{"\x02\x00", "\x01\x00", "", "\x02", "{}"} {
		check(t, f.storage.Set(t.Context(), key, []byte(foreign), cache.SetOptions{TTL: time.Hour}))
		if session, found, err := f.Get(t.Context(), "token"); found || err != nil || session != nil {
			t.Errorf("%q: Get: %v, %t, %v", foreign, session, found, err)
		}
		check(t, f.storage.Set(t.Context(), key, []byte(foreign), cache.SetOptions{TTL: time.Hour}))
		session, found, err := f.GetOrLoad(t.Context(), "token", returns(f.session("token", time.Hour)))
		if !found || err != nil || session.User == nil {
			t.Errorf("%q: GetOrLoad: %v, %t, %v", foreign, session, found, err)
		}
		if !f.found(t, "token") {
			t.Errorf("%q stays in the place of the session", foreign)
		}
	}
}
