package schedules_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// V3 with ErrNotModified. The value is made of two rows, and the loader only asks whether the first
// one has changed, which it never does. So it says that nothing has changed, and what the cache has
// read is stored anew, with the second row as it was.
//
// Promise (G1): as in TestStaleFill. An invalidation between the read of the value that is to be
// kept and its being stored again wins, and who comes after it does not get that value.
//
// Model: as in TestStaleFill. The version is that of the second row. Entries are never fresh, or
// are past their TTL at once, so that most reads load.
func TestNotModified(t *testing.T) {
	t.Parallel()
	for _, storage := range append(storages, gatedStorage) {
		t.Run(storage.name, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, "not-modified/"+storage.name, 10_000, func(t *testing.T) func(*schedule) {
				strategy, at := storage.make(t)
				service := start(t, strategy, cache.Options{LockWait: time.Second})
				return func(s *schedule) {
					at(s)
					row := newRow(s)
					nodes := row.reloading(t, service)
					n := pick(s, nodes)
					if err := n.Set(context.Background(), s.key(), row.read()); err != nil {
						s.fail("Set: %v", err)
					}
					<-time.After(2 * time.Millisecond) // past the TTL, if that is short
					for i := range 2 + s.random.IntN(2) {
						n, leaves := pick(s, nodes), s.random.IntN(8) == 0
						ctx, cancel := context.WithCancel(context.Background())
						s.actor(fmt.Sprint("loader ", i), func(a actor) { n.keep(ctx, a); cancel() })
						if leaves {
							s.actor(fmt.Sprint("loader ", i, "'s caller"), func(actor) { cancel() })
						}
					}
					for i := range 1 + s.random.IntN(2) {
						n, way := pick(s, nodes), s.random.IntN(ways)
						s.actor(fmt.Sprint("writer ", i), func(a actor) { n.write(a, way) })
					}
					n = pick(s, nodes)
					s.actor("reader", func(a actor) { n.get(a); a.pause("has read"); n.get(a) })
					s.play(2 * time.Second)
					<-time.After(time.Second) // what runs in the background has the lease by now
					s.play(2 * time.Second)
					s.actor("at the end, a reader", func(a actor) { n.get(a) })
					s.play(2 * time.Second)
				}
			})
		})
	}
}

// gated is held with a pause after each read, and after each lease.
type gated struct{ *held }

func (s gated) Get(ctx context.Context, key string) ([]byte, bool, error) {
	value, found, err := s.held.Get(ctx, key)
	s.playing.pause("has read the storage: %t", found)
	return value, found, err
}

func (s gated) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	value, found, lease, err := s.held.GetOrLease(ctx, key)
	s.playing.pause("has read the storage, or has the lease: %t", found)
	return value, found, lease, err
}

func (s gated) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	lease, err := s.held.Lease(ctx, key)
	s.playing.pause("has the lease: %t", lease != nil)
	return lease, err
}

var gatedStorage = struct {
	name string
	make func(t testing.TB) (strategy driver.Strategy, at func(*schedule))
}{"bigcache with gates", func(t testing.TB) (driver.Strategy, func(*schedule)) {
	strategy := &held{Strategy: newBigcache(t)}
	return gated{strategy}, func(s *schedule) { strategy.playing = &actor{s, "the flight"} }
}}

// reloading returns two nodes, which load although there is an entry.
func (r *row) reloading(t testing.TB, services ...*cache.Service) []node {
	t.Helper()
	policy := cache.Policy[int64]{
		Tags: []string{"static:" + r.key()}, TagsOf: func(int64) []string { return []string{"learned:" + r.key()} },
	}
	switch r.random.IntN(3) {
	case 0:
		policy.Fresh = func(int64) bool { return false }
	case 1:
		policy.TTL, policy.StaleFor = time.Millisecond, time.Hour
	default:
		policy.TTL, policy.StaleFor, policy.StaleAfter = time.Millisecond, time.Hour, time.Duration(1+r.random.IntN(200))*time.Millisecond
	}
	nodes := make([]node, 2)
	for i := range nodes {
		service := services[i%len(services)]
		c, err := cache.New(service, "rows of "+r.key(), policy)
		must(t, err)
		nodes[i] = node{c, service, r}
	}
	return nodes
}

// keep is getOrLoad by a loader that keeps what there is.
func (n node) keep(ctx context.Context, a actor) {
	least := n.row.least()
	got, err := n.GetOrLoad(ctx, a.key(), n.loadUnlessKept(a))
	switch {
	case err == nil:
		n.row.judge(a, "GetOrLoad", got, least)
	case ctx.Err() == nil:
		a.fail("GetOrLoad: %v", err)
	}
}

func (n node) loadUnlessKept(a actor) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		a.pause("asks for the previous value")
		if previous, ok := cache.Previous[int64](ctx); ok {
			a.pause("keeps %d", previous)
			return 0, cache.ErrNotModified
		}
		version := n.row.read()
		a.pause("has read %d", version)
		return version, nil
	}
}

// The same for two processes on a real Redis. The steps of all are done in one goroutine. What
// happens between the read of the previous value and its being stored happens in the loader.
func TestNotModifiedOnRedis(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	var services []*cache.Service
	for range 2 {
		strategy, err := redis.New(redis.Options{Addresses: []string{server.Addr()}})
		must(t, err)
		services = append(services, start(t, strategy, cache.Options{Namespace: "n", Timeout: 10 * time.Second, LockWait: time.Second}))
	}
	inRealTime(t, "not-modified/redis", 300, func(s *schedule) {
		row := newRow(s)
		nodes := row.reloading(t, services...)
		if err := nodes[0].Set(context.Background(), s.key(), row.read()); err != nil {
			s.fail("Set: %v", err)
		}
		for i := range 6 {
			loads, writes := s.random.IntN(2), s.random.IntN(2)
			when, way := s.random.IntN(4), s.random.IntN(ways)
			writer := func(now int) {
				if now == when {
					version := row.commit()
					nodes[writes].revoke(actor{s, fmt.Sprint("process ", writes)}, way)
					row.revoked(version)
				}
			}
			a := actor{s, fmt.Sprint("process ", loads, ", load ", i)}
			writer(0)
			least := row.least()
			got, err := nodes[loads].GetOrLoad(context.Background(), s.key(), func(ctx context.Context) (int64, error) {
				writer(1)
				previous, ok := cache.Previous[int64](ctx)
				a.did("has a previous value: %v, %t", previous, ok)
				version := row.read()
				writer(2)
				if ok {
					return 0, cache.ErrNotModified
				}
				return version, nil
			})
			if err != nil {
				a.fail("GetOrLoad: %v", err)
			}
			row.judge(a, "GetOrLoad", got, least)
			writer(3)
			for _, n := range nodes {
				n.get(a)
			}
		}
	})
}
