package redis_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/sessioncache/sessiontest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// What is not promised, and what is: a replica that has not got a deletion is promoted, and brings
// back what was deleted. Without wait_replicas the deletion returned nil; with it the caller was
// told, and repeats it.
func TestDeletedIsBackAfterFailover(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	sentinel := redistest.StartSentinel(t, 1, 3)
	old, replica := sentinel.Master(), sentinel.Replicas()[0]
	options := redis.Options{Mode: redis.Sentinel, Addresses: sentinel.SentinelAddrs(), SentinelMaster: redistest.MasterName}
	early := startAt(t, options)
	hastySessions := sessiontest.OnStorage(on(options))(t)
	options.WaitReplicas = 1
	careful := startAt(t, options)
	carefulSessions := sessiontest.OnStorage(on(options))(t)

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(early.Set(t.Context(), "n:early", []byte("v"), driver.SetOptions{TTL: time.Hour}))
	must(early.Set(t.Context(), "n:careful", []byte("v"), driver.SetOptions{TTL: time.Hour}))
	must(early.Set(t.Context(), "n:tagged", []byte("v"), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t"}}))
	for _, sessions := range []sessiontest.Subject{hastySessions, carefulSessions} {
		must(sessions.Strategy.Set(t.Context(), &sessioncache.CachedSession{
			ID: "id", Token: driver.NewSecret("token"), Expires: sessions.Clock.Now().Add(time.Hour), User: &sessioncache.User{ID: "42"},
		}))
	}
	until(t, func() error { // the replica has them
		have, err := old.Do(t.Context(), "DBSIZE")
		if err != nil {
			return err
		}
		got, err := replica.Do(t.Context(), "DBSIZE")
		if err == nil && got != have {
			err = fmt.Errorf("%v of %v keys", got, have)
		}
		return err
	})
	deafen(t, old)

	must(early.Delete(t.Context(), "n:early"))
	must(hastySessions.Strategy.Delete(t.Context(), "token"))
	told := func(what string, revoke func(ctx context.Context) error) {
		t.Helper()
		// The answer comes after nine tenths of the time. What is left has to be enough for a
		// machine that stands still for a moment: otherwise the revocation is pending as well.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := revoke(ctx); !errors.Is(err, driver.ErrNotReplicated) {
			t.Errorf("%s: %v, want ErrNotReplicated", what, err)
		}
	}
	revocations := map[string]func(ctx context.Context) error{
		"Delete":         func(ctx context.Context) error { return careful.Delete(ctx, "n:careful") },
		"InvalidateTags": func(ctx context.Context) error { return careful.InvalidateTags(ctx, "n:t") },
		"a log-out":      func(ctx context.Context) error { return carefulSessions.Strategy.Delete(ctx, "token") },
	}
	for what, revoke := range revocations {
		told(what, revoke)
	}
	present := func(key string) bool {
		t.Helper()
		var value []byte
		var found bool
		until(t, func() (err error) { // a connection that is replaced during the failover may be lost once more
			value, found, err = early.Get(t.Context(), key)
			return err
		})
		if found && string(value) != "v" {
			t.Errorf("%s: %q", key, value)
		}
		return found
	}
	loggedIn := func(sessions sessiontest.Subject) bool {
		t.Helper()
		var session *sessioncache.CachedSession
		var found bool
		until(t, func() (err error) {
			session, found, err = sessions.Strategy.Get(t.Context(), "token")
			return err
		})
		if found && session.User.ID != "42" {
			t.Errorf("the session of %s", session.User.ID)
		}
		return found
	}
	everything := func(want bool, when string) {
		t.Helper()
		for _, key := range []string{"n:early", "n:careful", "n:tagged"} {
			if present(key) != want {
				t.Errorf("%s: %s is there: %t, want %t", when, key, !want, want)
			}
		}
		if loggedIn(hastySessions) != want || loggedIn(carefulSessions) != want {
			t.Errorf("%s: the sessions are there: %t and %t, want %t", when, loggedIn(hastySessions), loggedIn(carefulSessions), want)
		}
	}
	everything(false, "before the failover")

	old.Kill()
	took := until(t, func() error { _, _, err := early.Get(t.Context(), "n:early"); return err })
	t.Logf("reads work again %v after the kill", took)
	if promoted := sentinel.WaitForMaster(old); promoted != replica {
		t.Fatalf("%s was promoted", promoted.Addr())
	}
	everything(true, "after the failover") // no promise, and nothing that Sentinel could do

	old.Restart() // as a replica of the other
	sentinel.WaitReady()
	for what, revoke := range revocations {
		if err := revoke(t.Context()); err != nil {
			t.Errorf("%s, repeated: %v", what, err)
		}
	}
	if present("n:careful") || present("n:tagged") || loggedIn(carefulSessions) {
		t.Error("what was revoked again is there")
	}
}
