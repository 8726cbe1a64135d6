package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/sessioncache/sessiontest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// rueidis closes a connection that the topology no longer needs five seconds later, and looks at a
// topology that was redirected from up to a second later, each in a goroutine that sleeps until
// then, also after Close.
func TestMain(m *testing.M) {
	if address := os.Getenv(fleetVariable); address != "" {
		if err := member(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
	)
}

// on returns strategies with those options.
func on(options redis.Options) func(testing.TB) driver.Strategy {
	return func(t testing.TB) driver.Strategy {
		t.Helper()
		strategy, err := redis.New(options)
		if err != nil {
			t.Fatal(err)
		}
		return strategy
	}
}

// conforms runs both suites, unchanged.
func conforms(t *testing.T, options redis.Options, more ...drivertest.Option) {
	options.Require, options.DialTimeout = true, time.Minute // the first operation needs a connection, on a busy machine too
	t.Run("cache", func(t *testing.T) {
		drivertest.Run(t, on(options), append(more,
			drivertest.Another(func(t testing.TB, _ driver.Strategy) driver.Strategy { return on(options)(t) }),
			drivertest.WallClock(), drivertest.NoEviction(), drivertest.Container(cache.Options{MaxValueBytes: driver.MiB}))...)
	})
	t.Run("sessions", func(t *testing.T) { sessiontest.Run(t, sessiontest.OnStorage(on(options))) })
}

func TestStandalone(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	conforms(t, redis.Options{Addresses: server.Addrs()}, drivertest.Stall(func(testing.TB, driver.Strategy) func() {
		server.Pause()
		return server.Resume
	}))
}

// Several lanes on one server: what a cluster does to the scripts, without one.
func TestLanes(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	conforms(t, redis.Options{Addresses: []string{redistest.Start(t).Addr()}, Lanes: 8})
}

// The ACL rule of docs/redis.md is enough for both suites.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t, leastPrivilege(t))
	conforms(t, redis.Options{Addresses: []string{server.Addr()}, Username: "shop", Password: driver.NewSecret("password")})
}

// leastPrivilege makes the user shop, with the rule of docs/redis.md, but for any namespace: the
// suites have their own.
func leastPrivilege(t *testing.T) redistest.Option {
	t.Helper()
	return redistest.User("shop", "password", strings.NewReplacer("~shop:*", "~*", "&shop:*", "&*").Replace(documentedRule(t)))
}

func documentedRule(t *testing.T) string {
	t.Helper()
	document, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`ACL SETUSER shop on >password (.*)`).FindStringSubmatch(string(document))
	if rule == nil {
		t.Fatal("docs/redis.md has no ACL rule")
	}
	return rule[1]
}

// acl changes the rule of the user shop.
func acl(t *testing.T, server *redistest.Server, rules ...any) {
	t.Helper()
	if _, err := server.Do(t.Context(), append([]any{"ACL", "SETUSER", "shop"}, rules...)...); err != nil {
		t.Fatal(err)
	}
}

// The rule as it stands is enough for every operation in its namespace, and for none in another
// one.
func TestDocumentedRule(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t, redistest.User("shop", "password", documentedRule(t)))
	for _, replicas := range []int{0, 1} {
		for _, namespace := range []string{"shop", "shopping"} {
			allowed := namespace == "shop"
			s := on(redis.Options{
				Addresses: server.Addrs(), Username: "shop", Password: driver.NewSecret("password"), WaitReplicas: replicas, Lanes: 2,
			})(t).(*redis.Strategy)
			// To start, it needs its fingerprint: it is the operations that the rule is to refuse.
			acl(t, server, "~"+namespace+":*")
			if err := s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: namespace, Timeout: 2 * time.Second})); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Destroy(context.Background()) }) // nothing is under way
			acl(t, server, "resetkeys", "~shop:*")
			name := func(n string) string { return namespace + ":" + n }
			opts := driver.SetOptions{TTL: time.Hour, Tags: []string{name("t")}}
			revoked := func(err error) error {
				if replicas > 0 && errors.Is(err, driver.ErrNotReplicated) {
					return nil // there are none
				}
				return err
			}
			ctx := t.Context()
			var lease *driver.Lease
			for _, op := range []struct {
				name string
				run  func() error
			}{
				{"Set", func() error { return s.Set(ctx, name("k"), []byte("v"), opts) }},
				{"Get", func() error { _, _, err := s.Get(ctx, name("k")); return err }},
				{"Get, tags known", func() error { _, _, err := s.Get(ctx, name("k")); return err }},
				{"GetHinted", func() error { _, _, err := s.GetHinted(ctx, name("k"), opts.Tags); return err }},
				{"SetMany", func() error {
					return s.SetMany(ctx, []driver.Item{{Key: name("m"), Value: []byte("v"), Options: opts}})[0]
				}},
				{"GetMany", func() error { return s.GetMany(ctx, []string{name("k"), name("m")}, nil)[1].Err }},
				{"GetOrLease", func() (err error) {
					_, _, lease, err = s.GetOrLease(ctx, name("l"))
					return err
				}},
				{"Fill", func() error {
					stored, err := s.Fill(ctx, lease, []byte("v"), opts)
					if allowed && !stored {
						t.Errorf("%s: not filled", namespace)
					}
					return err
				}},
				{"Lease", func() (err error) { lease, err = s.Lease(ctx, name("l")); return err }},
				{"Release", func() error { return s.Release(ctx, lease) }},
				{"Delete", func() error { return revoked(s.Delete(ctx, name("k"))) }},
				{"InvalidateTags", func() error { return revoked(s.InvalidateTags(ctx, name("t"))) }},
			} {
				var answer *redis.ServerError
				err := op.run()
				switch {
				case allowed && err != nil:
					t.Errorf("%s: %v", op.name, err)
				case !allowed && (op.name == "Fill" || op.name == "Release") && lease == nil: // none was granted
				case !allowed && (!errors.As(err, &answer) || answer.Code != "NOPERM"):
					t.Errorf("%s in another namespace: %v, want NOPERM", op.name, err)
				}
			}
		}
	}
	s := on(redis.Options{Addresses: server.Addrs(), Username: "shop", Password: driver.NewSecret("password"), Lanes: 2})(t).(*redis.Strategy)
	if err := s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: "shop", Timeout: 2 * time.Second})); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Destroy(t.Context()) }() // nothing is under way
	if err := s.Set(t.Context(), "shop:k", []byte("v"), driver.SetOptions{TTL: time.Hour}); err != nil {
		t.Error(err)
	}
	lease, err := s.Lease(t.Context(), "shop:l")
	if err != nil {
		t.Fatal(err)
	}
	told := s.Notify(t.Context(), "shop:l")
	until(t, func() error {
		reply, err := server.Do(t.Context(), "PUBSUB", "SHARDNUMSUB", "shop:l:{1}:l")
		if numbers, ok := reply.([]any); err == nil && (!ok || len(numbers) != 2 || numbers[1] != int64(1)) {
			err = fmt.Errorf("not subscribed yet: %v", reply)
		}
		return err
	})
	if err := s.Release(t.Context(), lease); err != nil {
		t.Error(err)
	}
	<-told
	if err := s.Clear(t.Context()); err != nil {
		t.Errorf("Clear: %v", err)
	}
	if _, found, err := s.Get(t.Context(), "shop:k"); found || err != nil {
		t.Errorf("after Clear: %t, %v", found, err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t, redistest.TLS())
	files := server.TLSFiles()
	options := redis.Options{Addresses: []string{server.Addr()}, TLS: &redis.TLS{CA: files.CA, Cert: files.Cert, Key: files.Key, MinVersion: "1.3"}}
	conforms(t, options)
}
