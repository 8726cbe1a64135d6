package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// fingerprint is where the tests find that of the namespace "shop".
const fingerprint = "shop:f:{0}:"

// node returns a strategy of the namespace "shop", not yet initialised, and what Init is given.
func node(t *testing.T, options redis.Options) (*redis.Strategy, func() error, *lines) {
	t.Helper()
	s, log := on(options)(t).(*redis.Strategy), &lines{}
	in := drivertest.NewInjector(t, cache.Options{Namespace: "shop", Timeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(log, nil))})
	t.Cleanup(func() { _ = s.Destroy(context.Background()) })
	return s, func() error { return s.Init(context.Background(), in) }, log
}

func mustInit(t *testing.T, init func() error) {
	t.Helper()
	if err := init(); err != nil {
		t.Fatal(err)
	}
}

// refused checks that err tells the operator which lanes there are, and what to do.
func refused(t *testing.T, err error, here, there int) {
	t.Helper()
	var option *driver.OptionError
	if !errors.As(err, &option) || option.Name != "lanes" || !strings.Contains(option.Reason, fmt.Sprintf("is %d here and %d on the nodes", here, there)) ||
		!strings.Contains(option.Reason, "docs/redis.md") {
		t.Errorf("lanes %d beside %d: Init = %v", here, there, err)
	}
}

// Nodes with another number of lanes do not start, whichever way they reach Redis; the others go
// on.
func TestLanesMustAgree(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	at := func(lanes int) redis.Options { return redis.Options{Addresses: server.Addrs(), Lanes: lanes} }
	s, init, log := node(t, at(4))
	mustInit(t, init)
	_, init, _ = node(t, at(1))
	refused(t, init(), 1, 4)
	_, init, _ = node(t, at(8))
	refused(t, init(), 8, 4)
	same, init, _ := node(t, at(4))
	mustInit(t, init)
	if id := s.StorageID(); id == "" || same.StorageID() != id {
		t.Errorf("storage ids %q, %q", id, same.StorageID())
	}
	own, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: server.Addrs(), DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	external := on(redis.Options{})(t).(*redis.Strategy)
	container := drivertest.NewInjector(t, cache.Options{Namespace: "shop", Timeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err := container.Provide(func() rueidis.Client { return own }); err != nil {
		t.Fatal(err)
	}
	refused(t, external.Init(t.Context(), container), 1, 4)
	if err := s.Set(t.Context(), "shop:k", []byte("v"), driver.SetOptions{TTL: time.Minute}); err != nil {
		t.Error(err)
	}
	if _, found, err := same.Get(t.Context(), "shop:k"); !found || err != nil {
		t.Errorf("Get = %v, %v", found, err)
	}
	if text := log.text.String(); text != "" {
		t.Errorf("logged: %s", text)
	}
}

// The lanes of a client of a Cluster are not those of one that takes a node of it for a server of
// its own.
func TestLanesMustAgreeInACluster(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3, 0)
	_, init, _ := node(t, redis.Options{Mode: redis.Cluster, Addresses: cluster.Addrs()})
	mustInit(t, init)
	_, init, _ = node(t, redis.Options{Mode: redis.Cluster, Addresses: cluster.Addrs(), Lanes: 16})
	refused(t, init(), 16, 64)
	slot := cluster.NodeForSlot(cluster.SlotOf(fingerprint))
	_, init, _ = node(t, redis.Options{Addresses: slot.Addrs()})
	var mode *redis.ModeError
	if err := init(); !errors.As(err, &mode) {
		t.Errorf("standalone, at a node of the cluster: Init = %v", err)
	}
}

// A node that was started while Redis was down finds out when it is there: it says so, serves and
// stores nothing, and none of its revocations counts as applied, nor does one that is tried again.
func TestLanesThatDifferLater(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	proxy.Refuse()
	late, log := on(redis.Options{Addresses: []string{proxy.Addr()}, Lanes: 1})(t).(*redis.Strategy), &lines{}
	service, err := cache.NewService(late, cache.Options{Namespace: "shop", Timeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		if err := service.Stop(ctx); !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("Stop = %v, want ErrRevocationPending", err)
		}
	})
	first, init, _ := node(t, redis.Options{Addresses: server.Addrs(), Lanes: 4})
	mustInit(t, init)
	ctx, opts := t.Context(), driver.SetOptions{TTL: time.Minute, Tags: []string{"shop:t"}}
	for i := range 20 {
		if err := first.Set(ctx, fmt.Sprint("shop:", i), []byte("v"), opts); err != nil {
			t.Fatal(err)
		}
	}
	proxy.Accept()
	until(t, func() error {
		if log.count("level=ERROR") == 0 {
			return errors.New("it has not noticed")
		}
		return nil
	})
	if log.count("level=ERROR") != 1 || log.count("lanes=1") == 0 || log.count(`"lanes of the others"=4`) == 0 {
		t.Errorf("logged: %s", log.text.String())
	}
	for i := range 20 {
		key := fmt.Sprint("shop:", i)
		if _, found, err := late.Get(ctx, key); found || !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("Get = %v, %v", found, err)
		}
		if results := late.GetMany(ctx, []string{key}, opts.Tags); results[0].Found || results[0].Err == nil {
			t.Errorf("GetMany = %+v", results)
		}
		if lease, err := late.Lease(ctx, key); lease != nil || err == nil {
			t.Errorf("Lease = %v, %v", lease, err)
		}
		if err := errors.Join(late.SetMany(ctx, []driver.Item{{Key: key, Value: []byte("w"), Options: opts}})...); err == nil {
			t.Error("SetMany stores")
		}
		for _, err := range []error{
			late.Set(ctx, key, []byte("w"), opts), late.Delete(ctx, key), late.InvalidateTags(ctx, opts.Tags...), late.Clear(ctx),
		} {
			if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "do not agree") {
				t.Errorf("%v, want that the nodes do not agree", err)
			}
		}
	}
	var pending *cache.PendingError
	if err := service.Delete(ctx, "0"); !errors.As(err, &pending) {
		t.Errorf("Delete = %v, want a PendingError", err)
	}
	until(t, func() error {
		if log.count("revocations cannot be applied") == 0 {
			return errors.New("it was not tried again")
		}
		return nil
	})
	if n := service.Stats().PendingRevocations; n != 1 {
		t.Errorf("%d revocations are pending, want 1", n)
	}
	if n, err := server.Do(ctx, "EVAL", "return #redis.call('KEYS', 'shop:v:*')", 0); err != nil || n != int64(20) {
		t.Errorf("%v entries, %v", n, err)
	}
}

// What docs/redis.md says about changing lanes: the nodes with the new number start when the
// fingerprint was deleted and the old ones are gone, delete what those have left, and only then
// serve; so nothing that was revoked comes back when the lanes are changed there and back.
func TestChangingLanes(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	ctx, opts := t.Context(), driver.SetOptions{TTL: time.Hour, Tags: []string{"shop:t"}}
	before := 4
	s, init, _ := node(t, redis.Options{Addresses: server.Addrs(), Lanes: before})
	mustInit(t, init)
	for _, lanes := range []int{1, 4} {
		for i := range 50 {
			if err := s.Set(ctx, fmt.Sprint("shop:", i), []byte("v"), opts); err != nil {
				t.Fatal(err)
			}
		}
		id := s.StorageID()
		if err := s.Destroy(ctx); err != nil {
			t.Fatal(err)
		}
		_, init, _ := node(t, redis.Options{Addresses: server.Addrs(), Lanes: lanes})
		refused(t, init(), lanes, before)
		if n, err := server.Do(ctx, "DEL", fingerprint); n != int64(1) || err != nil {
			t.Fatalf("DEL = %v, %v", n, err)
		}
		began := time.Now()
		s, init, _ = node(t, redis.Options{Addresses: server.Addrs(), Lanes: lanes})
		mustInit(t, init)
		if err := s.Delete(ctx, "shop:0"); !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("lanes %d: Delete = %v, want an error while other nodes may not have noticed", lanes, err)
		}
		until(t, func() error {
			_, found, err := s.Get(ctx, "shop:0")
			if found {
				t.Errorf("lanes %d: an entry is served", lanes)
			}
			return err
		})
		if took := time.Since(began); took < 20*time.Second {
			t.Errorf("lanes %d: in use after %v, want two intervals", lanes, took)
		}
		if n, err := server.Do(ctx, "EVAL", "return #redis.call('KEYS', 'shop:*')", 0); err != nil || n != int64(1) {
			t.Errorf("lanes %d: %v keys, %v; want the fingerprint alone", lanes, n, err)
		}
		if s.StorageID() == id {
			t.Errorf("lanes %d: still the same storage, but its contents are gone", lanes)
		}
		before = lanes
	}
}

// A fingerprint that is lost or damaged while nodes use it costs nothing, and is put back.
func TestLostFingerprint(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, lose := range map[string][]any{
		"FLUSHALL":    {"FLUSHALL"},
		"evicted":     {"DEL", fingerprint},
		"wrong type":  {"EVAL", "redis.call('DEL', KEYS[1]) redis.call('LPUSH', KEYS[1], 'x')", 1, fingerprint},
		"overwritten": {"SET", fingerprint, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s, init, log := node(t, redis.Options{Addresses: server.Addrs(), Lanes: 4})
			mustInit(t, init)
			was, err := server.Do(t.Context(), "GET", fingerprint)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := server.Do(t.Context(), lose...); err != nil {
				t.Fatal(err)
			}
			until(t, func() error {
				key := fmt.Sprint("shop:", time.Now().UnixNano())
				if err := s.Set(t.Context(), key, []byte("v"), driver.SetOptions{TTL: time.Minute}); err != nil {
					t.Fatalf("Set = %v", err)
				}
				if _, found, err := s.Get(t.Context(), key); !found || err != nil {
					t.Fatalf("Get = %v, %v", found, err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Fatalf("Delete = %v", err)
				}
				now, err := server.Do(t.Context(), "GET", fingerprint)
				if err == nil && now != was {
					err = fmt.Errorf("the fingerprint is %v, want %v", now, was)
				}
				return err
			})
			if text := log.text.String(); text != "" {
				t.Errorf("logged: %s", text)
			}
		})
	}
}

// A server that is another one, or a new one, is not used before its fingerprint was read: behind
// the same address there may be nodes with other lanes.
func TestFingerprintOfAnotherServer(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s, init, log := node(t, redis.Options{Addresses: []string{proxy.Addr()}, Lanes: 4})
	mustInit(t, init)
	if err := s.Set(t.Context(), "shop:k", []byte("v"), driver.SetOptions{TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	proxy.Refuse()
	server.Stop()
	server.Restart() // empty, and somebody else is faster
	if _, err := server.Do(t.Context(), "SET", fingerprint, `{"format":3,"lanes":1,"id":"other","settled":true}`); err != nil {
		t.Fatal(err)
	}
	proxy.Accept()
	until(t, func() error {
		if err := s.Delete(t.Context(), "shop:k"); err == nil {
			t.Fatal("a revocation counts as applied that nobody heeds")
		}
		if log.count("level=ERROR") == 0 {
			return errors.New("it has not noticed")
		}
		return nil
	})
}
