package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// A server that was demoted keeps its connections, and answers PING for ever. Heartbeats tell.
func TestTrackerDemotedMaster(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := track(startTracking(t, redistest.Start(t), redis.Options{}), redis.TrackerOptions{})
	s.set("n:k", time.Minute)
	id := s.kept("n:k").Feed
	s.fresh("n:k")
	s.direct("REPLICAOF", "127.0.0.1", "1") // where nobody is, so nothing is replaced
	until(t, func() error {
		s.tracker.Feed("n:k")
		if s.heard.ends(id) == 0 {
			return errors.New("the feed has not ended")
		}
		return nil
	})
	if _, fresh := s.tracker.Feed("n:k"); fresh {
		t.Error("the feed to a replica is fresh")
	}
	s.direct("REPLICAOF", "NO", "ONE")
	if again := s.kept("n:k").Feed; again == id {
		t.Error("the feed has ended, and is used again")
	}
}

// A feed ends with its connection, and with whatever changes everything. What was read over it is
// then as good as changed, and the next feed is another one.
func TestTrackerFeedEnds(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := track(startTracking(t, server, redis.Options{Addresses: []string{proxy.Addr()}}), redis.TrackerOptions{})
	for name, do := range map[string]func(){
		"cut":         proxy.Cut,
		"FLUSHALL":    func() { s.direct("FLUSHALL") },
		"CLIENT KILL": func() { s.direct("CLIENT", "KILL", "TYPE", "normal") },
		"restart":     server.Restart,
	} {
		until(t, func() error {
			return s.Set(t.Context(), "n:k", []byte("value of n:k"), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}})
		})
		id := s.kept("n:k", "n:t").Feed
		do()
		s.over(id)
		until(t, func() error {
			return s.Set(t.Context(), "n:k", []byte("value of n:k"), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}})
		})
		if again := s.kept("n:k", "n:t").Feed; again == id {
			t.Errorf("%s: the feed has ended, and is used again", name)
		}
		if n := s.heard.ends(id); n != 1 {
			t.Errorf("%s: the end was told %d times", name, n)
		}
	}
}

// While heartbeats are not answered the feed is not fresh, and reads go another way. Afterwards all
// is as before.
func TestTrackerLateHeartbeats(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := track(startTracking(t, server, redis.Options{Addresses: []string{proxy.Addr()}}), redis.TrackerOptions{Lag: 100 * time.Millisecond})
	s.set("n:k", time.Minute, "n:t")
	id := s.kept("n:k", "n:t").Feed
	held := proxy.HoldReply("HELLO")
	s.fresh("n:k") // asks for heartbeats
	<-held.Arrived()
	s.stale("n:k")
	for range 20 {
		s.notKept("n:k", "n:t")
	}
	if again, _ := s.tracker.Feed("n:k"); again == id {
		held.Release()
		s.fresh("n:k")
		s.kept("n:k", "n:t")
	}
	held.Release()
}

// It is when a heartbeat was sent that counts: on a link that takes longer than the lag, nothing is
// ever fresh.
func TestTrackerSlowLink(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := track(startTracking(t, server, redis.Options{Addresses: []string{proxy.Addr()}}), redis.TrackerOptions{Lag: 100 * time.Millisecond})
	s.set("n:k", time.Minute, "n:t")
	id := s.kept("n:k", "n:t").Feed
	proxy.Delay(300 * time.Millisecond)
	s.stale("n:k")
	before := s.tracker.Stats().Answered
	until(t, func() error {
		if again, fresh := s.tracker.Feed("n:k"); fresh && again == id {
			t.Errorf("fresh, though each heartbeat takes 300 ms and the lag is 100 ms: %+v", s.tracker.Stats())
		}
		if answered := s.tracker.Stats().Answered; answered < before+30 {
			return fmt.Errorf("%d heartbeats were answered", answered-before)
		}
		return nil
	})
	proxy.Delay(0)
	s.fresh("n:k")
	s.kept("n:k", "n:t")
}

// Readers that leave early do not fill the connection with reads that nobody waits for, and take no
// places away for good.
func TestTrackerImpatientReaders(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := track(startTracking(t, server, redis.Options{Addresses: []string{proxy.Addr()}}), redis.TrackerOptions{MaxReads: 8})
	s.set("n:k", time.Minute, "n:t")
	s.kept("n:k", "n:t")
	for attempt := 0; s.tracker.Stats().Untracked["too many"] == 0; attempt++ {
		if attempt == 50 {
			t.Fatalf("20 reads are under way, and 8 may be: %+v", s.tracker.Stats())
		}
		s.fresh("n:k")
		held := proxy.HoldReply("HELLO")
		<-held.Arrived()
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := s.tracker.Get(ctx, "n:k", []string{"n:t"})
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		held.Release()
	}
	s.fresh("n:k")
	s.kept("n:k", "n:t")
}

// A feed proves that it tells of changes before anything is read over it.
func TestTrackerProves(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	isProbe := func(args []string) bool {
		return strings.EqualFold(args[0], "SET") && strings.Contains(args[1], ":p:{")
	}
	s := startTracking(t, server, redis.Options{Addresses: []string{proxy.Addr()}})
	s.set("n:k", time.Minute)
	held := proxy.HoldFunc(isProbe)
	tr := track(s, redis.TrackerOptions{})
	id := tr.fresh("n:k")
	<-held.Arrived()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	// It may have to wait behind the probe, and then says nothing.
	if result, err := tr.tracker.Get(ctx, "n:k", nil); err == nil && result.Feed == id {
		t.Error("kept over a feed that has proved nothing")
	}
	held.Release()
	tr.kept("n:k")
	if probes := proxied(t, server, "n:p:*"); probes > 1 {
		t.Errorf("%d probes are left", probes)
	}

	// A proxy that passes no message on: nothing is kept, and the log says so.
	proxy.DropPushes(true)
	proxy.Cut()
	until(t, func() error {
		tr.tracker.Feed("n:k")
		if !strings.Contains(tr.tracker.Stats().Refused, "no message arrives") {
			return errors.New("it was not noticed that no message arrives")
		}
		return nil
	})
	tr.notKept("n:k")
	if tr.log.count("client tracking does not work") == 0 {
		t.Errorf("it was not logged:\n%s", tr.log.all())
	}
	proxy.DropPushes(false)
	tr.kept("n:k")
	if tr.log.count("client tracking works") != 1 {
		t.Errorf("it was not logged that it works again:\n%s", tr.log.all())
	}
}

// proxied is how many keys match.
func proxied(t *testing.T, server *redistest.Server, pattern string) int {
	t.Helper()
	keys, err := server.Do(t.Context(), "KEYS", pattern)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := keys.([]any)
	return len(all)
}

// Where the user may not track, or not say what to track, all goes on without, and the log says
// what to do. It works as soon as it is allowed. The documented rule allows it.
func TestTrackerWithoutPermission(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	rule := strings.NewReplacer("~shop:", "~n:", "&shop:", "&n:").Replace(documentedRule(t))
	server := redistest.Start(t, redistest.User("shop", "password", rule))
	s := startTracking(t, server, redis.Options{Addresses: server.Addrs(), Username: "shop", Password: driver.NewSecret("password")})
	s.set("n:k", time.Minute, "n:t")
	acl(t, server, "-client|tracking")
	tr := track(s, redis.TrackerOptions{})
	refused := func() {
		t.Helper()
		until(t, func() error {
			tr.notKept("n:k", "n:t")
			if tr.log.count("+client|caching") == 0 || tr.tracker.Stats().Refused == "" {
				return errors.New("it was not logged")
			}
			return nil
		})
	}
	refused()
	acl(t, server, "+client|tracking", "-client|caching")
	refused()
	acl(t, server, "+client|caching")
	id := tr.kept("n:k", "n:t").Feed

	// While it works, the permission is withdrawn: MGET succeeds, and is not tracked.
	acl(t, server, "-client|caching")
	until(t, func() error {
		result, err := tr.tracker.Get(t.Context(), "n:k", []string{"n:t"})
		tr.must(err)
		if tr.heard.ends(id) == 0 && result.Feed == 0 {
			return errors.New("the feed has not ended")
		}
		if result.Feed != 0 {
			t.Errorf("kept, although CLIENT CACHING was refused")
		}
		return nil
	})
	tr.notKept("n:k", "n:t")
	acl(t, server, "+client|caching")
	tr.kept("n:k", "n:t")
	for _, secret := range []string{"n:k", "n:t", "password"} {
		if strings.Contains(strings.ReplaceAll(tr.log.all(), "password_file", ""), secret) {
			t.Errorf("the log has %q:\n%s", secret, tr.log.all())
		}
	}
}

// Nothing is fresh without a fingerprint: the nodes may have agreed about another lag.
func TestTrackerFingerprintLost(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := track(startTracking(t, server, redis.Options{Addresses: []string{proxy.Addr()}}), redis.TrackerOptions{})
	s.set("n:k", time.Minute)
	id := s.kept("n:k").Feed
	s.fresh("n:k")
	s.direct("DEL", "n:f:{0}:") // the node puts it back within 10 s
	s.stale("n:k")
	if n := s.heard.ends(id); n != 0 {
		t.Error("the feed has ended")
	}
	s.fresh("n:k")
	s.kept("n:k")
}

// A server that stands still: nothing is fresh meanwhile, and all is as before when it goes on.
func TestTrackerServerStandsStill(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := track(startTracking(t, redistest.Start(t), redis.Options{}), redis.TrackerOptions{Lag: 300 * time.Millisecond})
	s.set("n:k", time.Minute)
	s.kept("n:k")
	s.fresh("n:k")
	s.server.Pause()
	s.stale("n:k")
	s.server.Resume()
	s.fresh("n:k")
	s.kept("n:k")
}

// A server that has no room to remember what was read forgets some of it, and says that it changed.
func TestTrackerTableOverflows(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := track(startTracking(t, redistest.Start(t, redistest.Config("tracking-table-max-keys 10")), redis.Options{}), redis.TrackerOptions{})
	const keys = 50
	var names []string
	for i := range keys {
		key := fmt.Sprint("n:k", i)
		names = append(names, "key "+key)
		s.set(key, time.Minute)
		s.kept(key)
	}
	until(t, func() error {
		s.tracker.Feed("n:k") // the server makes room now and then
		if n := s.heard.of(names...); n < keys-10 {
			return fmt.Errorf("heard of %d keys", n)
		}
		return nil
	})
}

// A script that holds up the server makes nothing fresh, and costs no copies.
func TestTrackerBusyScript(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := track(startTracking(t, redistest.Start(t, redistest.Config("busy-reply-threshold 50")), redis.Options{}), redis.TrackerOptions{})
	s.set("n:k", time.Minute)
	id := s.kept("n:k").Feed
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = s.server.Do(context.Background(), "EVAL", "while true do end", 0) // until it is killed
	}()
	s.stale("n:k")
	until(t, func() error {
		_, err := s.server.Do(t.Context(), "SCRIPT", "KILL")
		return err
	})
	<-ended
	if again := s.fresh("n:k"); again != id {
		t.Error("the feed has ended")
	}
	s.kept("n:k")
}
