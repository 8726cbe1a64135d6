package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Clear ends what the Service's namespace has, on every node, whatever bytes that consists of, and
// nothing else; leases that are out are refused. Later nothing of it is left in Redis.
func TestClear(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, test := range map[string]struct {
		options redis.Options
		start   func(*testing.T) []*redistest.Server
	}{
		"standalone": {redis.Options{Lanes: 3}, func(t *testing.T) []*redistest.Server { return []*redistest.Server{redistest.Start(t)} }},
		"cluster": {redis.Options{Mode: redis.Cluster, Lanes: 5}, func(t *testing.T) []*redistest.Server {
			return redistest.StartCluster(t, 3, 0).Masters()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := test.start(t)
			for _, server := range servers {
				test.options.Addresses = append(test.options.Addresses, server.Addr())
			}
			if test.options.Mode != redis.Cluster {
				test.options.Addresses = test.options.Addresses[:1]
			}
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
			if err := strategies[0].Clear(t.Context()); err != nil {
				t.Fatal(err)
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
			until(t, func() error {
				left := int64(0)
				for _, server := range servers {
					n, err := server.Do(t.Context(), "EVAL", `
						local n = 0
						for _, key in ipairs(redis.call('KEYS', '*:v:{*')) do
							if string.sub(key, 1, #ARGV[1]) == ARGV[1] then n = n + 1 end
						end
						return n`, "0", `a*[b]?\%7Bc%7D:`)
					if err != nil {
						return err
					}
					left += n.(int64)
				}
				if left > 0 {
					return fmt.Errorf("%d entries are left in Redis", left)
				}
				return nil
			})
		})
	}
}

// Clear is judged by every way to read, of every kind of entry, on every node. It does not look at
// the entries.
func TestClearIsJudgedEverywhere(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	clearing, reader := start(t, server, redis.Options{}), start(t, server, redis.Options{})
	reader.direct("ACL", "SETUSER", "default", "-scan") // so nothing is removed
	ctx := t.Context()
	values := map[string][]byte{"small": []byte("value"), "large": large("n")}
	for _, way := range readings {
		for _, known := range []bool{true, false} { // whether this node has read the entry before
			for size, value := range values {
				for _, tags := range [][]string{{"n:t"}, nil} {
					if known {
						reader.must(reader.Set(ctx, "n:k", value, driver.SetOptions{TTL: time.Minute, Tags: tags}))
						for _, warm := range readings[:2] {
							if _, found, err := warm.read(ctx, reader.Strategy, "n:k"); !found || err != nil {
								t.Fatalf("%s, before: %t, %v", warm.name, found, err)
							}
						}
					} else {
						reader.must(clearing.Set(ctx, "n:k", value, driver.SetOptions{TTL: time.Minute, Tags: tags}))
					}
					reader.must(clearing.Clear(ctx))
					if reader.direct("EXISTS", "n:v:{0}:k") != int64(1) {
						t.Fatal("the entry is not there: the test proves nothing")
					}
					if got, found, err := way.read(ctx, reader.Strategy, "n:k"); found || err != nil {
						t.Errorf("%s, %s, tags %q, known %t, after Clear: %d bytes, %t, %v", way.name, size, tags, known, len(got), found, err)
					}
					reader.must(reader.Set(ctx, "n:k", value, driver.SetOptions{TTL: time.Minute, Tags: tags}))
					if got, found, err := way.read(ctx, reader.Strategy, "n:k"); !found || err != nil || !slices.Equal(got, value) {
						t.Errorf("%s, %s, tags %q, stored after Clear: %d bytes, %t, %v", way.name, size, tags, len(got), found, err)
					}
				}
			}
		}
	}
}

// No lease from before Clear is good for anything, however it was granted, whatever its value is.
func TestClearRefusesLeases(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	ctx := t.Context()
	for name, grant := range map[string]func() (*driver.Lease, error){
		"Lease": func() (*driver.Lease, error) { return s.Lease(ctx, "n:k") },
		"GetOrLease": func() (*driver.Lease, error) {
			_, _, lease, err := s.GetOrLease(ctx, "n:k")
			return lease, err
		},
		"Lease, extended": func() (*driver.Lease, error) {
			lease, err := s.Lease(ctx, "n:k")
			if err == nil {
				_, err = s.Extend(ctx, lease)
			}
			return lease, err
		},
	} {
		for _, value := range [][]byte{[]byte("old"), large("n")} {
			for _, tags := range [][]string{nil, {"n:t"}} {
				lease, err := grant()
				s.must(err)
				s.must(s.Clear(ctx))
				if stored, err := s.Fill(ctx, lease, value, driver.SetOptions{TTL: time.Minute, Tags: tags}); stored || err != nil {
					t.Errorf("%s: Fill after Clear: %t, %v", name, stored, err)
				}
				if s.found("n:k") {
					t.Errorf("%s: what was filled after Clear is found", name)
				}
			}
		}
	}
	s.must(s.Clear(ctx))
	lease, err := s.Lease(ctx, "n:k")
	s.must(err)
	if stored, err := s.Fill(ctx, lease, []byte("value of n:k"), driver.SetOptions{TTL: time.Minute}); !stored || err != nil || !s.found("n:k") {
		t.Errorf("a lease from after Clear: %t, %v", stored, err)
	}
}

// If the generation is lost, or is not one of ours, nothing from before comes back, not even when
// it is made anew.
func TestLostGeneration(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	ctx, opts := t.Context(), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}}
	for name, lose := range map[string]func(){
		"lost":            func() { s.direct("DEL", "n:t:{0}:") },
		"of another type": func() { s.direct("DEL", "n:t:{0}:"); s.direct("HSET", "n:t:{0}:", "a", "b") },
		"of another size": func() { s.direct("SET", "n:t:{0}:", "") },
	} {
		seen := map[any]bool{}
		for _, way := range readings {
			s.must(s.Set(ctx, "n:k", []byte("v"), opts))
			if _, found, err := way.read(ctx, s.Strategy, "n:k"); !found || err != nil {
				t.Fatalf("%s: %s: %t, %v", name, way.name, found, err)
			}
			lose()
			if _, found, err := way.read(ctx, s.Strategy, "n:k"); found || err != nil {
				t.Errorf("%s: %s: %t, %v", name, way.name, found, err)
			}
			s.set("n:other", time.Minute, "n:t")
			if _, found, err := way.read(ctx, s.Strategy, "n:k"); found || err != nil {
				t.Errorf("%s, and made anew: %s: %t, %v", name, way.name, found, err)
			}
			made := s.direct("GET", "n:t:{0}:")
			if seen[made] || !s.found("n:other") {
				t.Errorf("%s: the generation %q was there before, or is of no use", name, made)
			}
			seen[made] = true
		}
	}
}

// What a release without generations has left is a miss: its nodes' and this one's Clear do not
// concern each other's entries.
func TestEntriesOfEarlierFormats(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	ctx := t.Context()
	for format, value := range map[string][]byte{"\x01": []byte("value"), "\x02": large("n")} {
		for _, way := range readings {
			s.must(s.Set(ctx, "n:k", value, driver.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}}))
			raw := s.direct("GET", "n:v:{0}:k").(string)
			if raw[9:13] != "\x00\x02\x00\x00" {
				t.Fatalf("%q does not begin with the generation and another tag", raw[:40])
			}
			for _, earlier := range []string{format + raw[1:], format + raw[1:9] + "\x00\x01" + raw[29:]} {
				s.direct("SET", "n:v:{0}:k", earlier, "KEEPTTL")
				if _, found, err := way.read(ctx, s.Strategy, "n:k"); found || err != nil {
					t.Errorf("%s, format %x: %t, %v", way.name, format, found, err)
				}
			}
		}
	}
	if s.direct("GET", "n:f:{0}:").(string)[:11] != `{"format":3` {
		t.Errorf("the fingerprint is %v", s.direct("GET", "n:f:{0}:"))
	}
}

// What Clear has ended is removed from Redis, bodies without an entry as well. What was stored
// later stays, and so does a body whose entry may still come.
func TestSweep(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	clearing, s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}}), start(t, server, redis.Options{Lanes: 1})
	ctx, opts := t.Context(), driver.SetOptions{TTL: time.Minute}
	for _, key := range []string{"n:ended", "n:replaced", "n:orphan"} {
		s.must(s.Set(ctx, key, large("old"), opts))
	}
	for i := range 2000 {
		s.set(fmt.Sprint("n:", i), time.Minute)
	}
	s.direct("DEL", "n:v:{0}:orphan")
	s.direct("SET", "n:b:{0}:early", "body", "PX", "9000")
	s.direct("HSET", "n:v:{0}:hash", "a", "b")
	lease, err := s.Lease(ctx, "n:leased")
	s.must(err)
	held := proxy.Hold("scan")
	s.must(clearing.Clear(ctx))
	<-held.Arrived()
	s.must(s.Set(ctx, "n:replaced", large("new"), opts))
	s.set("n:0", time.Minute, "n:t")
	held.Release()
	want := []string{
		"n:b:{0}:early", "n:b:{0}:replaced", "n:f:{0}:", "n:g:{0}:", "n:l:{0}:leased", "n:t:{0}:", "n:t:{0}:t", "n:v:{0}:0", "n:v:{0}:replaced",
	}
	until(t, func() error {
		var left []string
		for _, key := range s.direct("KEYS", "*").([]any) {
			left = append(left, key.(string))
		}
		if slices.Sort(left); !slices.Equal(left, want) {
			return fmt.Errorf("left in Redis: %.300q, want %q", left, want)
		}
		return nil
	})
	if got, found, err := s.Get(ctx, "n:replaced"); !found || err != nil || !slices.Equal(got, large("new")) || !s.found("n:0") {
		t.Errorf("what was stored later: %d bytes, %t, %v", len(got), found, err)
	}
	s.must(s.Release(ctx, lease))
}

// A Clear that comes during a sweep has one of its own: here it ends entries that are where the
// first sweep has been.
func TestSweepAgain(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	clearing, s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}}), start(t, server, redis.Options{})
	items := make([]driver.Item, 1500)
	for i := range items {
		items[i] = driver.Item{Key: fmt.Sprint("n:", i), Value: []byte("v"), Options: driver.SetOptions{TTL: time.Minute}}
	}
	s.must(errors.Join(s.SetMany(t.Context(), items)...))
	proxy.Delay(30 * time.Millisecond) // each of the eight steps of a sweep
	s.must(clearing.Clear(t.Context()))
	until(t, func() error {
		if left := s.size(); left > int64(len(items)-200) {
			return fmt.Errorf("nothing was removed, %d are left", left)
		}
		return nil
	})
	s.must(errors.Join(s.SetMany(t.Context(), items)...))
	s.must(clearing.Clear(t.Context()))
	until(t, func() error {
		if left := s.size(); left > 0 {
			return fmt.Errorf("%d keys are left", left)
		}
		return nil
	})
}

// Clear returns when everything is unreadable, and a sweep ends with the strategy.
func TestClearWaitsForNoSweep(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	clearing := on(redis.Options{Addresses: []string{proxy.Addr()}})(t).(*redis.Strategy)
	if err := clearing.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: time.Second})); err != nil {
		t.Fatal(err)
	}
	other := start(t, server, redis.Options{})
	other.set("n:k", time.Minute)
	held := proxy.Hold("scan")
	defer held.Release()
	other.must(clearing.Clear(t.Context()))
	<-held.Arrived()
	if other.found("n:k") {
		t.Error("found after Clear")
	}
	if err := clearing.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	if err := clearing.Clear(t.Context()); !errors.Is(err, driver.ErrClosed) {
		t.Errorf("Clear after Destroy: %v", err)
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
