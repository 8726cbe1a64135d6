package redis_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Clear removes what the Service's namespace has, on every node, whatever bytes that consists of,
// and nothing else; leases that are out are refused.
func TestClear(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, test := range map[string]struct {
		options redis.Options
		start   func(*testing.T) []string
	}{
		"standalone": {redis.Options{Lanes: 3}, func(t *testing.T) []string { return redistest.Start(t).Addrs() }},
		"cluster":    {redis.Options{Mode: redis.Cluster, Lanes: 5}, func(t *testing.T) []string { return redistest.StartCluster(t, 3, 0).Addrs() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.options.Addresses = test.start(t)
			const entries = 3000
			// Of these, the first as a pattern would match the second, and the third begins like
			// it.
			namespaces := []string{`a*[b]?\{c}`, `axbyc`, `a*[b]?\{c}d`}
			strategies := make([]*redis.Strategy, len(namespaces))
			prefixes := make([]string, len(namespaces))
			for i, namespace := range namespaces {
				options := cache.Options{Namespace: namespace, Timeout: 5 * time.Second}
				strategies[i] = on(test.options)(t).(*redis.Strategy)
				prefixes[i] = options.KeyPrefix()
				if err := strategies[i].Init(t.Context(), drivertest.NewInjector(t, options)); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = strategies[i].Destroy(context.Background()) })
				var writers sync.WaitGroup
				for worker := range 16 {
					writers.Go(func() {
						for n := worker; n < entries; n += 16 {
							err := strategies[i].Set(t.Context(), fmt.Sprint(prefixes[i], "}:", n), []byte("v"), driver.SetOptions{TTL: time.Hour, Tags: []string{prefixes[i] + "t"}})
							if err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				writers.Wait()
			}
			found := func(i int) (n int) {
				t.Helper()
				for e := range entries {
					_, ok, err := strategies[i].Get(t.Context(), fmt.Sprint(prefixes[i], "}:", e))
					if err != nil {
						t.Fatal(err)
					}
					if ok {
						n++
					}
				}
				return n
			}
			lease, err := strategies[0].Lease(t.Context(), prefixes[0]+"leased")
			if err != nil {
				t.Fatal(err)
			}
			if other, err := strategies[0].Lease(t.Context(), prefixes[0]+"unused"); other == nil || err != nil {
				t.Fatal(other, err)
			}
			if err := strategies[0].Clear(t.Context()); err != nil {
				t.Fatal(err)
			}
			// Before the other lease is used: using it ends it.
			if again, err := strategies[0].Lease(t.Context(), prefixes[0]+"unused"); again == nil || err != nil {
				t.Errorf("the key is still leased: %v, %v", again, err)
			}
			for i, want := range []int{0, entries, entries} {
				if n := found(i); n != want {
					t.Errorf("%q: %d entries, want %d", namespaces[i], n, want)
				}
			}
			stored, err := strategies[0].Fill(t.Context(), lease, []byte("old"), driver.SetOptions{TTL: time.Hour})
			if stored || err != nil {
				t.Errorf("a lease from before: %t, %v", stored, err)
			}
			if again, err := strategies[0].Lease(t.Context(), prefixes[0]+"leased"); again == nil || err != nil {
				t.Errorf("the key is still leased: %v, %v", again, err)
			}
		})
	}
}

// An entry of a slot that migrates may move, behind the first scan, to a node that has been
// scanned. Here it appears when the only page of the first scan is on its way.
func TestClearScansTwice(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	clearing, direct := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}}), start(t, server, redis.Options{})
	direct.set("n:before", time.Hour)
	held := proxy.HoldReplyFunc(func(args []string) bool { return args[0] == "SCAN" })
	ended := make(chan error, 1)
	go func() { ended <- clearing.Clear(t.Context()) }()
	<-held.Arrived()
	direct.set("n:moved", time.Hour)
	held.Release()
	direct.must(<-ended)
	if direct.found("n:before") || direct.found("n:moved") {
		t.Error("Clear has left an entry")
	}
}

// Replicas have nothing that must be cleared, and may be down.
func TestClearWithoutAReplica(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3, 1)
	options := redis.Options{Mode: redis.Cluster, Addresses: cluster.Addrs()}
	strategy := on(options)(t).(*redis.Strategy)
	service := cache.Options{Namespace: "n", Timeout: 2 * time.Second}
	if err := strategy.Init(t.Context(), drivertest.NewInjector(t, service)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = strategy.Destroy(context.Background()) })
	for i := range 50 {
		if err := strategy.Set(t.Context(), fmt.Sprint("n:", i), []byte("v"), driver.SetOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	cluster.ReplicasOf(cluster.Masters()[0])[0].Kill()
	if err := strategy.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if _, found, err := strategy.Get(t.Context(), fmt.Sprint("n:", i)); found || err != nil {
			t.Errorf("%d: %t, %v", i, found, err)
		}
	}
}

// From the first step of Clear on no lease from before is good: an entry that comes between could
// be one that SCAN has passed. And no step takes longer than one operation may.
func TestClearBesideFill(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	const timeout, step, grace = 100 * time.Millisecond, time.Second, 700 * time.Millisecond
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	clearing := on(redis.Options{Addresses: []string{proxy.Addr()}})(t).(*redis.Strategy)
	if err := clearing.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: timeout})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = clearing.Destroy(context.Background()) })
	other := start(t, server, redis.Options{})
	lease, err := other.Lease(t.Context(), "n:k")
	other.must(err)
	held := proxy.Hold("scan")
	ended := make(chan error, 1)
	var took time.Duration
	go func() {
		began := time.Now()
		err := clearing.Clear(context.Background())
		took = time.Since(began)
		ended <- err
	}()
	<-held.Arrived()
	stored, err := other.Fill(t.Context(), lease, []byte("value of n:k"), driver.SetOptions{TTL: time.Hour})
	if stored || err != nil {
		t.Errorf("Fill while Clear looks for entries: %t, %v; want it refused", stored, err)
	}
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) || took > step+grace {
		t.Errorf("Clear without an answer to SCAN: %v after %v, want %v", err, took, step)
	}
	held.Release()
}
