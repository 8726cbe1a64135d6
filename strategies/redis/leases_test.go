package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// 100 cold keys of a GetOrLoadMany are one MGET for each lane, and for each lane and 128 keys one
// script that asks for the leases and one that fills: three round trips for each node. After two
// such batches the next one has no MGET, and two round trips.
func TestLoadManyCommands(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	const n = 100
	for name, begin := range map[string]func() (redis.Options, []*redistest.Server){
		"standalone": func() (redis.Options, []*redistest.Server) {
			server := redistest.Start(t)
			return redis.Options{Addresses: []string{server.Addr()}, Connections: 1, Lanes: 1}, []*redistest.Server{server}
		},
		"cluster": func() (redis.Options, []*redistest.Server) {
			cluster := redistest.StartCluster(t, 3, 0)
			return redis.Options{Addresses: cluster.Addrs(), Connections: 1, Lanes: 64, Mode: redis.Cluster}, cluster.Masters()
		},
	} {
		options, servers := begin()
		service, _ := serviceOn(t, on(options)(t), cache.Options{Namespace: "n", Timeout: 5 * time.Second, StrategyName: "redis"})
		loads := 0
		load := func(_ context.Context, missing []string) (map[string]int, error) {
			loads++
			values := map[string]int{}
			for i, key := range missing {
				values[key] = i
			}
			return values, nil
		}
		least := [2]int{math.MaxInt, math.MaxInt} // reads of a node, with and without MGET
		for try := range 4 {                      // the first connects, and sends the texts of the scripts
			c, err := cache.New(service, fmt.Sprint("c", try), cache.Policy[int]{})
			if err != nil {
				t.Fatal(err)
			}
			for batch := range 3 {
				keys, lanes := make([]string, n), map[uint64]int{}
				for i := range keys {
					keys[i] = fmt.Sprint(batch, "/", i)
					hash := fnv.New64a()
					_, _ = fmt.Fprintf(hash, "n:c%d:%s", try, keys[i]) // never fails
					lanes[hash.Sum64()%uint64(options.Lanes)]++
				}
				scripts := 0
				for _, inLane := range lanes {
					scripts += 2 * ((inLane + 127) / 128)
				}
				var values map[string]int
				var err error
				loads = 0
				reads, commands := traffic(t, servers, func() { values, err = c.GetOrLoadMany(t.Context(), keys, load) })
				if err != nil || len(values) != n || loads != 1 {
					t.Fatalf("%s: %d values of %d loads, %v", name, len(values), loads, err)
				}
				if try == 0 {
					continue
				}
				cold, reading := 0, len(lanes)
				if batch == 2 {
					cold, reading = 1, 0
				}
				t.Logf("%s, %d cold keys in %d lanes: reads by node %v; %d MGET, %d EVALSHA", name, n, len(lanes), reads,
					commands["cmdstat_mget"], commands["cmdstat_evalsha"])
				// One for each lane, and one in each script that fills.
				if got := commands["cmdstat_mget"] - scripts/2; got != reading {
					t.Errorf("%s: %d MGET, want %d", name, got, reading)
				}
				if got := commands["cmdstat_evalsha"]; got != scripts || commands["cmdstat_eval"] != 0 {
					t.Errorf("%s: %d scripts, want %d", name, got, scripts)
				}
				least[cold] = min(least[cold], slices.Max(reads))
			}
		}
		// One for each step. The end of a connection counts as a read, too.
		if least[0] > 3 || least[1] > 2 {
			t.Errorf("%s: %d reads by a node, and %d without MGET; want 3 and 2", name, least[0], least[1])
		}
	}
}

// Leases of a batch whose request was answered too late, or not at all, are released.
func TestUnheardLeasesOfABatch(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, LeaseTTL: time.Hour})
	keys := []string{"n:a", "n:b", "n:c", "n:d", "n:e"}
	request := func(ctx context.Context) error { return s.GetOrLeaseMany(ctx, keys)[0].Err }
	until(t, func() error { return request(t.Context()) }) // loads the script
	free := func() { until(t, func() error { return s.Delete(t.Context(), keys...) }) }
	free()
	for how, end := range map[string]func(){
		"late": func() {
			held := proxy.HoldReplyFunc(script(11, 11))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := request(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("late: %v", err)
			}
			<-held.Arrived() // they are out
			freed(t, server, "late")
			held.Release()
		},
		"hung up": func() {
			held := proxy.HoldReplyFunc(script(11, 11))
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- request(ctx) }()
			<-held.Arrived()
			if n := out(t, server); n != len(keys) {
				t.Errorf("%d leases are out: the test proves nothing", n)
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("hung up: %v", err)
			}
			freed(t, server, "hung up")
			held.Release()
		},
		"cut": func() {
			proxy.CutReplyAfter("EVALSHA", 0)
			if err := request(t.Context()); err == nil {
				t.Error("no error beside a cut connection")
			}
			freed(t, server, "cut")
		},
	} {
		until(t, func() error { _, _, err := s.Get(t.Context(), keys[0]); return err }) // the connection is good
		end()
		until(t, func() error {
			for _, r := range s.LeaseMany(t.Context(), keys) {
				if r.Err == nil && r.Lease == nil {
					t.Fatalf("%s: somebody else holds the lease", how)
				}
				if r.Err != nil {
					return r.Err
				}
			}
			return nil
		})
		free()
	}
}

// tardy is an application's own client. While it is held, it sends requests for five leases late,
// whatever their context.
type tardy struct {
	rueidis.Client

	held atomic.Bool
	came chan struct{}
	on   chan struct{} // closed: they are sent
	sent chan struct{} // closed when they were answered
}

func (c *tardy) DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	if c.held.Load() && script(11, 11)(commands[0].Commands()) {
		close(c.came)
		<-c.on
		defer close(c.sent)
		ctx = context.Background()
	}
	return c.Client.DoMulti(ctx, commands...)
}

// Leases that are granted after their caller has given up are released as well.
func TestLateLeasesOfABatch(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	inner, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	client := &tardy{Client: inner, came: make(chan struct{}), on: make(chan struct{}), sent: make(chan struct{})}
	s := on(redis.Options{LeaseTTL: time.Hour})(t).(*redis.Strategy)
	if err := s.Init(t.Context(), lending(t, client)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Destroy(context.Background()) })
	keys := []string{"n:a", "n:b", "n:c", "n:d", "n:e"}
	for i, r := range s.GetOrLeaseMany(t.Context(), keys) { // loads the script
		if r.Err != nil {
			t.Fatal(keys[i], r.Err)
		}
	}
	if err := s.Delete(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	client.held.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.GetOrLeaseMany(ctx, keys)[0].Err }()
	<-client.came
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("GetOrLeaseMany: %v", err)
	}
	client.held.Store(false)
	close(client.on)
	<-client.sent // they are out, if nobody was quicker
	freed(t, server, "late")
}

// So are those whose fills or releases were not answered, and then a late fill is refused.
func TestUnansweredFillsOfABatch(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, LeaseTTL: time.Hour, Connections: 4})
	keys := []string{"n:a", "n:b"}
	for name, test := range map[string]struct {
		least, most int // keys
		use         func(ctx context.Context, leases []*driver.Lease) error
	}{
		"FillMany": {9, 9, func(ctx context.Context, leases []*driver.Lease) error {
			var fills []driver.Fill
			for _, lease := range leases {
				fills = append(fills, driver.Fill{Lease: lease, Value: []byte("late"), Options: driver.SetOptions{TTL: time.Hour}})
			}
			return s.FillMany(ctx, fills)[1].Err
		}},
		"ReleaseMany": {1, 1, func(ctx context.Context, leases []*driver.Lease) error { return s.ReleaseMany(ctx, leases)[1] }},
	} {
		for range 3 { // the first loads the scripts
			leases := make([]*driver.Lease, len(keys))
			until(t, func() error {
				for i, r := range s.LeaseMany(t.Context(), keys) {
					if leases[i] = r.Lease; r.Err != nil {
						return r.Err
					}
				}
				return nil
			})
			held := proxy.HoldFunc(script(test.least, test.most))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if err := test.use(ctx, leases); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
			<-held.Arrived()
			freed(t, server, name)
			held.Release()
			<-held.Answered()
			for _, r := range s.GetMany(t.Context(), keys, nil) {
				if r.Found || r.Err != nil {
					t.Errorf("%s: %q, %v, %v", name, r.Value, r.Found, r.Err)
				}
			}
		}
	}
}

// Values that are too large for a pipeline are filled and read beside the others. One whose body is
// gone is missing.
func TestLargeValuesOfABatch(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	s := startAt(t, redis.Options{Addresses: []string{server.Addr()}})
	ctx := t.Context()
	values := map[string][]byte{"n:large": bytes.Repeat([]byte("l"), 60<<10), "n:small": []byte("s"), "n:lost": bytes.Repeat([]byte("x"), 50<<10)}
	keys := []string{"n:large", "n:small", "n:lost"}
	var fills []driver.Fill
	for i, r := range s.GetOrLeaseMany(ctx, keys) {
		fills = append(fills, driver.Fill{Lease: r.Lease, Value: values[keys[i]], Options: driver.SetOptions{TTL: time.Hour}})
	}
	for i, r := range s.FillMany(ctx, fills) {
		if r.Err != nil || !r.Stored {
			t.Fatalf("%s: %+v", keys[i], r)
		}
	}
	if _, err := server.Do(ctx, "DEL", "n:b:{0}:lost"); err != nil {
		t.Fatal(err)
	}
	for i, r := range s.GetOrLeaseMany(ctx, keys) {
		if key := keys[i]; key == "n:lost" {
			if r.Found || r.Lease == nil || r.Err != nil {
				t.Errorf("%s: found %t, lease %t, %v", key, r.Found, r.Lease != nil, r.Err)
			}
		} else if !bytes.Equal(r.Value, values[key]) || r.Lease != nil || r.Err != nil {
			t.Errorf("%s: %d bytes, %v", key, len(r.Value), r.Err)
		}
	}
}

// The entries of a batch that share a tag share its nonce, which lives as long as the longest of
// them.
func TestNonceOfABatchLivesOn(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	s := startAt(t, redis.Options{Addresses: []string{server.Addr()}})
	ctx := t.Context()
	var fills []driver.Fill
	for i, r := range s.GetOrLeaseMany(ctx, []string{"n:a", "n:b", "n:c"}) {
		ttl := []time.Duration{time.Minute, time.Hour, time.Second}[i]
		fills = append(fills, driver.Fill{Lease: r.Lease, Value: []byte("v"), Options: driver.SetOptions{TTL: ttl, Tags: []string{"n:tag"}}})
	}
	for _, r := range s.FillMany(ctx, fills) {
		if r.Err != nil || !r.Stored {
			t.Fatalf("%+v", r)
		}
	}
	for _, nonce := range []string{"n:t:{0}:", "n:t:{0}:tag"} { // the first is the generation
		if life, err := server.Do(ctx, "PTTL", nonce); err != nil || life.(int64) < time.Hour.Milliseconds() {
			t.Errorf("%s lives for %v ms more, %v; want an hour at least", nonce, life, err)
		}
	}
	if err := s.InvalidateTags(ctx, "n:tag"); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.GetMany(ctx, []string{"n:a", "n:b", "n:c"}, nil) {
		if r.Found || r.Err != nil {
			t.Errorf("after InvalidateTags: %+v", r)
		}
	}
}
