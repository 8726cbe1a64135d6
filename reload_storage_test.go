package fxcache_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// handedOver is the handover of tests in which nothing has to happen within it.
const handedOver = 100 * time.Millisecond

// embedded is a configuration without a namespace.
func embedded(handover time.Duration) string {
	return fmt.Sprintf("cache: {strategy: bigcache, handover: %v, timeout: 5s}\n", handover)
}

// on is a configuration with everything on a Redis. more are further keys of the section.
func on(server *redistest.Server, handover time.Duration, more string) string {
	return fmt.Sprintf("cache: {strategy: redis, namespace: shop, handover: %v, timeout: 30s, redis: {addresses: [%q], dial_timeout: 30s%s}}\n", handover, server.Addr(), more)
}

// The storage of a running application changes with its file, from the process to Redis and back,
// under load: no operation fails, and nothing is stale.
func TestFromBigcacheToRedisAndBack(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	l := startLive(t, embedded(handedOver))
	logIn(t, l.sessions, "token")
	stop := crowd(t, l)
	for range 2 {
		l.edit(t, on(server, handedOver, ""))
		l.uses(t, "redis", server.Addr())
		if loggedIn(t, l.sessions, "token") {
			t.Error("the new storage has a session from earlier")
		}
		logIn(t, l.sessions, "token")
		if having(names(t, server), "shop:") == 0 || !loggedIn(t, l.sessions, "token") {
			t.Error("the session is not on Redis")
		}
		l.edit(t, embedded(handedOver))
		l.uses(t, "bigcache", "")
		if err := l.sessions.Delete(t.Context(), "token"); err != nil {
			t.Error(err)
		}
		connections(t, server, 0)
	}
	if cached, loaded := stop(); cached == 0 || loaded == 0 {
		t.Errorf("%d rows from the cache, %d loaded", cached, loaded)
	}
	if status := l.reloader.Status(); status.Generation != 5 {
		t.Errorf("%+v", status)
	}
}

// Two nodes go from one Redis to another and back, at different times within the handover.
func TestFromRedisToRedisAndBack(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	first, second := redistest.Start(t), redistest.Start(t)
	const handover = 2 * time.Second
	one, other := startLive(t, on(first, handover, "")), startLive(t, on(first, handover, ""))
	stop := crowd(t, one, other)
	former := first
	for _, next := range []*redistest.Server{second, first} {
		one.edit(t, on(next, handover, ""))
		<-time.After(handover / 8)
		other.edit(t, on(next, handover, ""))
		one.uses(t, "redis", next.Addr())
		other.uses(t, "redis", next.Addr())
		connections(t, former, 0)
		former = next
	}
	if cached, loaded := stop(); cached == 0 || loaded == 0 {
		t.Errorf("%d rows from the cache, %d loaded", cached, loaded)
	}
}

// A Redis that is dead can be left. What could not be revoked there blocks no hits of the new one.
func TestAwayFromADeadRedis(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	dead, next := redistest.Start(t), redistest.Start(t)
	l := startLive(t, on(dead, handedOver, ""))
	products := caches(t, l.service, "product", cache.Policy[int]{})
	dead.Kill()
	if err := products.Delete(t.Context(), "1"); !errors.Is(err, cache.ErrRevocationPending) {
		t.Errorf("Delete = %v", err)
	}
	l.edit(t, on(next, handedOver, ""))
	l.uses(t, "redis", next.Addr())
	eventually(t, "a hit", func() bool {
		err := products.Set(t.Context(), "1", 1)
		_, found, _ := products.Get(t.Context(), "1")
		return err == nil && found
	})
	eventually(t, "the end of the old one", func() bool {
		return strings.Contains(l.log.String(), "the handover is over, and revocations could not be applied")
	})
	if err := products.Delete(t.Context(), "1"); err != nil || l.service.Stats().PendingRevocations != 0 {
		t.Errorf("Delete = %v; %+v", err, l.service.Stats())
	}
}

// Other connections to the same Redis are no other storage: nothing is lost, at once. The former
// connections go.
func TestOtherConnectionsToTheSameRedis(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	l := startLive(t, on(server, handedOver, ", client_name: former"))
	products := caches(t, l.service, "product", cache.Policy[int]{})
	if err := products.Set(t.Context(), "1", 1); err != nil {
		t.Fatal(err)
	}
	logIn(t, l.sessions, "token")
	clients := func(name string) int {
		reply, err := server.Do(t.Context(), "CLIENT", "LIST")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(fmt.Sprint(reply), "name="+name+" ")
	}
	if clients("former") == 0 {
		t.Fatal("there are no connections")
	}
	l.edit(t, on(server, handedOver, ", client_name: next, connections: 4"))
	if v, found, err := products.Get(t.Context(), "1"); v != 1 || !found || err != nil || !loggedIn(t, l.sessions, "token") {
		t.Errorf("an entry is lost: %d, %t, %v", v, found, err)
	}
	eventually(t, "the end of the former connections", func() bool { return clients("former") == 0 })
	if v, found, err := products.Get(t.Context(), "1"); v != 1 || !found || err != nil || clients("next") == 0 {
		t.Errorf("an entry is lost: %d, %t, %v", v, found, err)
	}
	if log := l.log.String(); strings.Contains(log, "is being replaced") {
		t.Errorf("logged:\n%s", log)
	}
}

// A revocation that is pending at the former connections is pending at the next ones: they serve no
// hits until it is applied.
func TestPendingMovesToOtherConnections(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	link := redistest.NewProxy(t, server.Addr())
	text := func(name string) string {
		return fmt.Sprintf("cache: {strategy: redis, namespace: shop, handover: 1h, timeout: 200ms, redis: {addresses: [%q], client_name: %s}}\n", link.Addr(), name)
	}
	l := startLive(t, text("former"))
	products := caches(t, l.service, "product", cache.Policy[int]{})
	eventually(t, "an entry", func() bool {
		err := products.Set(t.Context(), "1", 1)
		_, found, _ := products.Get(t.Context(), "1")
		return err == nil && found
	})
	link.Refuse()
	if err := products.Delete(t.Context(), "1"); !errors.Is(err, cache.ErrRevocationPending) {
		t.Errorf("Delete = %v", err)
	}
	l.edit(t, text("next"))
	var held []*redistest.Held // what tries it again, on either connection
	for range 8 {
		held = append(held, link.HoldFunc(func(args []string) bool {
			return slices.Contains([]string{"EVALSHA", "EVAL", "UNLINK", "DEL"}, args[0])
		}))
	}
	link.Accept()
	read := func() error {
		_, found, err := products.Get(t.Context(), "1")
		if found {
			t.Fatal("an entry is served that was revoked")
		}
		return err
	}
	<-held[0].Arrived()
	for looks := time.Now().Add(time.Second); time.Now().Before(looks); { // until Redis would answer
		_ = read()
	}
	for _, h := range held {
		h.Release()
	}
	eventually(t, "an answer", func() bool { return read() == nil })
}

// A password that is replaced in its file is no reason to open Redis anew.
func TestAnotherPasswordIsNoReload(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t, redistest.Password("first"))
	secret := file(t, "password", "first")
	made := 0
	l := startLive(t, on(server, handedOver, ", password_file: "+secret), fxcache.Wrap(func(s driver.Strategy) driver.Strategy { made++; return s }))
	logIn(t, l.sessions, "token")
	if _, err := server.Do(t.Context(), "ACL", "SETUSER", "default", ">second"); err != nil {
		t.Fatal(err)
	}
	put(t, secret, "second")
	eventually(t, "another look", func() bool { return l.meter.value("fxcache.reloads", "unchanged") >= 2 })
	if status := l.reloader.Status(); status.Generation != 1 || status.LastError != nil || made != 1 || !loggedIn(t, l.sessions, "token") {
		t.Errorf("%+v, made %d times", status, made)
	}
}

// One store changes, and the others do not notice.
func TestOneStoreChanges(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	first, second := redistest.Start(t), redistest.Start(t)
	made := map[string]int{}
	text := func(server *redistest.Server) string {
		return sessionsOn(server, "") + "x-none: {}\n"
	}
	brief := fxcache.Override(map[string]any{"cache.handover": handedOver})
	l := startLive(t, text(first), brief, fxcache.WrapStores(func(name string, s driver.Strategy) driver.Strategy { made[name]++; return s }))
	products := caches(t, l.service, "product", cache.Policy[int]{Tags: []string{"all"}})
	if err := products.Set(t.Context(), "1", 1); err != nil {
		t.Fatal(err)
	}
	l.edit(t, text(second))
	eventually(t, "the use of the other server", func() bool { return strings.Contains(l.service.Stores()[1].Location, second.Addr()) })
	connections(t, first, 0)
	logIn(t, l.sessions, "token")
	if having(names(t, second), "session") == 0 || !loggedIn(t, l.sessions, "token") {
		t.Errorf("on the other server there are %q", names(t, second))
	}
	if v, found, err := products.Get(t.Context(), "1"); v != 1 || !found || err != nil {
		t.Errorf("a product is lost: %d, %t, %v", v, found, err)
	}
	if made["default"] != 1 || made["sessions"] != 2 {
		t.Errorf("made %v", made)
	}
}

// A node that never hears of the change goes on with the storage that the others have left. It
// serves what they revoke until stale_after, and no longer.
func TestNodeThatNeverHears(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	first, second := redistest.Start(t), redistest.Start(t)
	const staleAfter = 2 * time.Second
	short := fmt.Sprintf("session_cache: {stale_after: %v}\n", staleAfter)
	hears, never := startLive(t, on(first, handedOver, "")+short), startLive(t, on(first, handedOver, "")+short)
	hears.edit(t, on(second, handedOver, "")+short)
	hears.uses(t, "redis", second.Addr())
	eventually(t, "a session that the other node serves", func() bool {
		logIn(t, never.sessions, "token")
		return loggedIn(t, never.sessions, "token")
	})
	stored := time.Now()
	if err := hears.sessions.Delete(t.Context(), "token"); err != nil {
		t.Error(err)
	}
	<-time.After(time.Until(stored.Add(staleAfter)))
	if loggedIn(t, never.sessions, "token") {
		t.Error("a session is served for longer than stale_after")
	}
}

// Of a strategy that was replaced nothing stays: neither its memory nor its goroutines, for which
// TestMain looks.
func TestFormerStrategyIsFreed(t *testing.T) {
	t.Parallel()
	var former []weak.Pointer[bigcache.Strategy]
	l := startLive(t, embedded(handedOver), fxcache.Wrap(func(s driver.Strategy) driver.Strategy {
		former = append(former, weak.Make(s.(*bigcache.Strategy)))
		return s
	}))
	logIn(t, l.sessions, "token")
	for _, size := range []string{"16MiB", "32MiB", "16MiB", "32MiB"} {
		l.edit(t, strings.Replace(embedded(handedOver), "timeout", "bigcache: {max_size: "+size+"}, timeout", 1))
		l.uses(t, "bigcache", size)
	}
	eventually(t, "the end of four of five", func() bool {
		runtime.GC()
		freed := 0
		for _, pointer := range former {
			if pointer.Value() == nil {
				freed++
			}
		}
		return len(former) == 5 && freed == 4
	})
}

// A change back comes before the first one is in use: until its turn, the storage in use serves.
func TestBackWithinTheHandover(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	first, second := redistest.Start(t), redistest.Start(t)
	l := startLive(t, on(first, handedOver, ""))
	logIn(t, l.sessions, "token")
	stop := crowd(t, l)
	defer stop()
	l.edit(t, on(second, time.Hour, ""))
	l.edit(t, on(first, handedOver, ""))
	if l.uses(t, "redis", first.Addr()); !loggedIn(t, l.sessions, "token") {
		t.Error("the storage that was in use all the time has lost a session")
	}
}

// A change to a third storage comes soon after one to a second. The newest wins.
func TestThirdStorage(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	first, second, third := redistest.Start(t), redistest.Start(t), redistest.Start(t)
	l := startLive(t, on(first, time.Second, ""))
	stop := crowd(t, l)
	defer stop()
	l.edit(t, on(second, time.Second, ""))
	l.edit(t, on(third, time.Second, ""))
	l.uses(t, "redis", third.Addr())
	connections(t, first, 0)
}

// An application starts again with the configuration that was in force when it stopped.
func TestStartAgainAfterAReload(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	path := yamlPath(t)
	put(t, path, embedded(handedOver))
	var reloader *fxcache.Reloader
	var service *cache.Service
	app := newApp(fxcache.ConfigFile(path), fx.Populate(&reloader, &service))
	start(t, app)
	put(t, path, on(server, time.Hour, ""))
	if err := reloader.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop(t, app)
	connections(t, server, 0)
	start(t, app)
	defer stop(t, app)
	if store := service.Stores()[0]; store.Strategy != "redis" || !strings.Contains(store.Location, server.Addr()) {
		t.Errorf("%+v", store)
	}
	eventually(t, "a hit", func() bool {
		found, err := service.Get(t.Context(), "k", new(int))
		return found && err == nil || service.Set(t.Context(), "k", 1, cache.SetOptions{}) != nil
	})
}
