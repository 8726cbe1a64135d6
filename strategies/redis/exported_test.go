package redis_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// lending is the container of an application that has a client of its own.
func lending(t *testing.T, own rueidis.Client) driver.Injector {
	t.Helper()
	container := drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: 2 * time.Second})
	if err := container.Provide(func() rueidis.Client { return own }); err != nil {
		t.Fatal(err)
	}
	return container
}

// An application's own client is used, and not closed.
func TestExportedClient(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	own, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	s := on(redis.Options{Addresses: []string{"127.0.0.1:1"}})(t).(*redis.Strategy) // would not answer
	if err := s.Init(t.Context(), lending(t, own)); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), "n:k", []byte("v"), driver.SetOptions{TTL: time.Minute}); err != nil {
		t.Error(err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	// The entry, the generation and the fingerprint.
	if n, err := own.Do(t.Context(), own.B().Dbsize().Build()).AsInt64(); n != 3 || err != nil {
		t.Errorf("after Destroy the application's client answers %d, %v", n, err)
	}
}

// moody is an application's own client, with a wrapper that panics.
type moody struct {
	rueidis.Client

	well   atomic.Bool
	panics atomic.Int64
}

func (m *moody) Do(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	if m.well.Load() {
		return m.Client.Do(ctx, command)
	}
	m.panics.Add(1)
	panic("Do")
}

func (m *moody) DoMulti(context.Context, ...rueidis.Completed) []rueidis.RedisResult {
	m.panics.Add(1)
	panic("DoMulti")
}

func (m *moody) Dedicate() (rueidis.DedicatedClient, func()) {
	m.panics.Add(1)
	panic("Dedicate")
}

func (m *moody) Dedicated(func(rueidis.DedicatedClient) error) error {
	m.panics.Add(1)
	panic("Dedicated")
}

func (m *moody) Receive(context.Context, rueidis.Completed, func(rueidis.PubSubMessage)) error {
	m.panics.Add(1)
	panic("Receive")
}

// No panic of an application's client crosses our API, whichever goroutine it happens in.
func TestPanickingClient(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	own, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: server.Addrs(), DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for _, replicas := range []int{0, 1} {
		client := &moody{Client: own}
		client.well.Store(true) // until it has said that all nodes agree
		s := on(redis.Options{WaitReplicas: replicas, Lanes: 4})(t).(*redis.Strategy)
		service, err := cache.NewService(s, cache.Options{Namespace: "n", Timeout: 2 * time.Second, LockWait: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if err := service.Start(t.Context(), lending(t, client)); err != nil {
			t.Fatal(err)
		}
		client.well.Store(false)
		c, err := cache.New(service, "c", cache.Policy[int]{Tags: []string{"t"}})
		if err != nil {
			t.Fatal(err)
		}
		large, err := cache.New(service, "large", cache.Policy[[]byte]{})
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		// Reads first: they do not reach the client any more when a revocation is pending.
		for _, op := range []struct {
			name string
			run  func() error
		}{
			{"Get", func() error { _, _, err := c.Get(ctx, "k"); return err }},
			{"GetMany", func() error { _, err := c.GetMany(ctx, "a", "b"); return err }},
			{"GetOrLoad", func() error {
				got, err := c.GetOrLoad(ctx, "k", func(context.Context) (int, error) { return 1, nil })
				if got != 1 || err != nil {
					t.Errorf("GetOrLoad: %d, %v", got, err)
				}
				return errors.ErrUnsupported // it is to go on without the client
			}},
			{"Set", func() error { return c.Set(ctx, "k", 1) }},
			{"SetMany", func() error { return c.SetMany(ctx, map[string]int{"a": 1, "b": 2}) }},
			{"Set, large", func() error { return large.Set(ctx, "k", make([]byte, 100_000)) }},
			{"SetMany, large", func() error {
				return large.SetMany(ctx, map[string][]byte{"a": make([]byte, 100_000), "b": nil})
			}},
			{"Delete", func() error { return c.Delete(ctx, "a", "b") }},
			{"InvalidateTags", func() error { return c.InvalidateTags(ctx, "t") }},
			{"Clear", func() error { return service.Clear(ctx) }},
		} {
			before := client.panics.Load()
			if err := op.run(); err == nil {
				t.Errorf("%s: no error", op.name)
			}
			if client.panics.Load() == before {
				t.Errorf("%s: nothing has panicked: the test proves nothing", op.name)
			}
		}
		before := client.panics.Load()
		s.Notify(ctx, "n:c:k")
		until(t, func() error {
			if client.panics.Load() == before {
				return context.Canceled
			}
			return nil
		})
		ending, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		if err := service.Stop(ending); !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("Stop: %v, want ErrRevocationPending", err)
		}
		cancel()
	}
}

// scriptless is an application's own client that panics when it is to run a script.
type scriptless struct {
	rueidis.Client
	panics atomic.Bool
}

func (c *scriptless) Do(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	if c.panics.Load() && strings.HasPrefix(command.Commands()[0], "EVAL") {
		panic("Do")
	}
	return c.Client.Do(ctx, command)
}

// SetMany stores large values in goroutines of its own, where nobody else would recover.
func TestPanicWhileLargeValuesAreStored(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	own, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: redistest.Start(t).Addrs(), DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	client := &scriptless{Client: own}
	s := on(redis.Options{})(t).(*redis.Strategy)
	if err := s.Init(t.Context(), lending(t, client)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Destroy(context.Background()) }()
	client.panics.Store(true)
	opts := driver.SetOptions{TTL: time.Minute}
	for _, err := range s.SetMany(t.Context(), []driver.Item{{Key: "n:a", Value: large("a"), Options: opts}, {Key: "n:b", Value: large("b"), Options: opts}}) {
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("SetMany: %v, want ErrUnavailable", err)
		}
	}
}
