package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// script matches calls of a script with so many keys: 3 are those of lease.lua, 1 that of
// release.lua, and of get.lua.
func script(least, most int) func([]string) bool {
	return func(words []string) bool {
		if !strings.HasPrefix(strings.ToUpper(words[0]), "EVAL") || len(words) < 3 {
			return false
		}
		keys, err := strconv.Atoi(words[2])
		return err == nil && least <= keys && keys <= most
	}
}

// freed waits until no lease is out. Leases last for an hour here.
func freed(t *testing.T, server *redistest.Server, what string) {
	t.Helper()
	until(t, func() error {
		keys, err := server.Do(t.Context(), "KEYS", "*:l:*")
		if list, ok := keys.([]any); err == nil && (!ok || len(list) > 0) {
			err = fmt.Errorf("%s: leases are out: %v", what, keys)
		}
		return err
	})
}

func out(t *testing.T, server *redistest.Server) int {
	t.Helper()
	keys, err := server.Do(t.Context(), "KEYS", "*:l:*")
	if err != nil {
		t.Fatal(err)
	}
	return len(keys.([]any))
}

// A lease whose request was answered too late, or whose caller hung up meanwhile, or whose
// connection was lost, is granted for all that the server knows, and nobody knows of it: it is
// released, and not left to expire.
func TestUnheardLeaseIsReleased(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	requests := map[string]func(ctx context.Context, s *redis.Strategy) error{
		"GetOrLease": func(ctx context.Context, s *redis.Strategy) error {
			_, _, _, err := s.GetOrLease(ctx, "n:k")
			return err
		},
		"Lease": func(ctx context.Context, s *redis.Strategy) error { _, err := s.Lease(ctx, "n:k"); return err },
	}
	for _, lanes := range []int{1, 4} {
		server := redistest.Start(t)
		proxy := redistest.NewProxy(t, server.Addr())
		s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, LeaseTTL: time.Hour, Lanes: lanes})
		for name, request := range requests {
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			until(t, func() error { return request(t.Context(), s) }) // loads the script
			must(s.Delete(t.Context(), "n:k"))
			for how, end := range map[string]func(call func(ctx context.Context) error){
				"late": func(call func(ctx context.Context) error) {
					held := proxy.HoldReplyFunc(script(3, 3))
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					defer cancel()
					if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: %v", name, err)
					}
					<-held.Arrived() // it is out
					freed(t, server, name+", late reply")
					held.Release()
				},
				"hung up": func(call func(ctx context.Context) error) {
					held := proxy.HoldReplyFunc(script(3, 3))
					ctx, cancel := context.WithCancel(t.Context())
					ended := make(chan error, 1)
					go func() { ended <- call(ctx) }()
					<-held.Arrived()
					if n := out(t, server); n != 1 {
						t.Errorf("%d leases are out: the test proves nothing", n)
					}
					cancel()
					if err := <-ended; !errors.Is(err, context.Canceled) {
						t.Errorf("%s: %v", name, err)
					}
					freed(t, server, name+", hung up")
					held.Release()
				},
				"cut": func(call func(ctx context.Context) error) {
					proxy.CutReplyAfter("EVALSHA", 0)
					if err := call(t.Context()); err == nil {
						t.Errorf("%s: no error beside a cut connection", name)
					}
					freed(t, server, name+", cut")
				},
			} {
				until(t, func() error { _, _, err := s.Get(t.Context(), "n:k"); return err }) // the connection is good
				end(func(ctx context.Context) error { return request(ctx, s) })
				// The next reader has it.
				until(t, func() error {
					lease, err := s.Lease(t.Context(), "n:k")
					if err == nil && lease == nil {
						t.Fatalf("%s, %s: somebody else holds the lease", name, how)
					}
					return err
				})
				until(t, func() error { return s.Delete(t.Context(), "n:k") })
			}
		}
	}
}

// A release may be faster, on another connection, than the request for the lease: it is tried
// again.
func TestOrphanIsReleasedLater(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, LeaseTTL: time.Hour, Connections: 4})
	lease, err := s.Lease(t.Context(), "n:k") // loads the scripts
	if err == nil {
		err = s.Release(t.Context(), lease)
	}
	if err != nil {
		t.Fatal(err)
	}
	held, tried := proxy.HoldFunc(script(3, 3)), proxy.HoldReplyFunc(script(1, 1))
	tried.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Lease(ctx, "n:k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lease: %v", err)
	}
	<-tried.Answered()
	held.Release()
	<-held.Answered() // now it is out
	freed(t, server, "a request on its way")
}

// So is one whose fill was not answered, and then a late fill is refused, and one whose release
// failed.
func TestUnansweredFillAndRelease(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, LeaseTTL: time.Hour, Connections: 4})
	for name, test := range map[string]struct {
		least, most int // keys
		use         func(ctx context.Context, lease *driver.Lease) error
	}{
		"Fill": {3, 9, func(ctx context.Context, lease *driver.Lease) error {
			_, err := s.Fill(ctx, lease, []byte("late"), driver.SetOptions{TTL: time.Hour})
			return err
		}},
		"Release": {1, 1, s.Release},
	} {
		for range 3 { // the first loads the scripts
			var lease *driver.Lease
			until(t, func() (err error) { lease, err = s.Lease(t.Context(), "n:k"); return err })
			if lease == nil {
				t.Fatal("no lease")
			}
			held := proxy.HoldFunc(script(test.least, test.most))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if err := test.use(ctx, lease); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
			<-held.Arrived()
			freed(t, server, name)
			held.Release()
			<-held.Answered()
			if value, found, err := s.Get(t.Context(), "n:k"); found || err != nil {
				t.Errorf("%s: %q, %v, %v", name, value, found, err)
			}
		}
	}
}

// A server that stands still while leases are asked for, given up and abandoned: when it goes on,
// nothing stays blocked, although nothing was sent past the bulkhead that is closed meanwhile.
func TestLeasesOfAHungServer(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{LeaseTTL: time.Hour})
	var leases []*driver.Lease
	for i := range 20 {
		lease, err := s.Lease(t.Context(), fmt.Sprint("n:held", i))
		s.must(err)
		leases = append(leases, lease)
	}
	s.hang()
	var calls sync.WaitGroup
	for i, lease := range leases {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := s.Release(ctx, lease); err == nil {
				t.Error("Release returned nil")
			}
			if _, err := s.Lease(ctx, fmt.Sprint("n:asked", i)); err == nil {
				t.Error("Lease returned nil")
			}
		})
	}
	calls.Wait()
	s.server.Resume()
	freed(t, s.server, "after the hang")
}

// An anonymous client that hangs up blocks no key: neither those it asked for, nor anybody who
// comes next.
func TestAbortedRequestsBlockNothing(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	strategy := on(redis.Options{Addresses: []string{proxy.Addr()}, LeaseTTL: time.Hour})(t)
	service, c := serviceOn(t, strategy, cache.Options{Namespace: "shop", Timeout: 5 * time.Second, LockWait: time.Hour})
	if _, err := c.GetOrLoad(t.Context(), "warm", func(context.Context) (int, error) { return 1, nil }); err != nil {
		t.Fatal(err)
	}
	const requests = 43
	aborted := 0
	for i := range requests {
		held := proxy.HoldReplyFunc(script(3, 3))
		ctx, hangUp := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := c.GetOrLoad(ctx, fmt.Sprint(i), func(ctx context.Context) (int, error) { return 1, ctx.Err() })
			done <- err
		}()
		<-held.Arrived()
		hangUp()
		if err := <-done; errors.Is(err, context.Canceled) {
			aborted++
		}
		held.Release()
	}
	freed(t, server, "aborted requests")
	t.Logf("%d of %d requests aborted, 0 keys blocked", aborted, requests)
	for i := range requests {
		if got, err := c.GetOrLoad(t.Context(), fmt.Sprint(i), func(context.Context) (int, error) { return 2, nil }); got != 2 || err != nil {
			t.Fatalf("the next request for %d: %v, %v", i, got, err)
		}
	}
	if stats := service.Stats(); aborted != requests || stats.LeaseTimeouts != 0 {
		t.Errorf("%+v", stats)
	}
}

// serviceOn starts a Service, with a cache "c" of an hour.
func serviceOn(t *testing.T, strategy driver.Strategy, options cache.Options) (*cache.Service, *cache.Cache[int]) {
	t.Helper()
	options.Logger, options.MeterProvider = slog.New(slog.DiscardHandler), metricnoop.NewMeterProvider()
	service, err := cache.NewService(strategy, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	c, err := cache.New(service, "c", cache.Policy[int]{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return service, c
}

// A load that takes longer than lease_ttl, and than the ledger lives, is stored: both are
// prolonged.
func TestSlowLoadOnRedis(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	const term = 1500 * time.Millisecond
	strategy, recorder := drivertest.Record(on(redis.Options{Addresses: server.Addrs(), LeaseTTL: term})(t))
	service, c := serviceOn(t, strategy, cache.Options{Namespace: "shop", Timeout: 5 * time.Second})
	got, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) {
		until(t, func() error { // they come three times a term; the ledger lives for two terms and a second
			if n := recorder.Count(drivertest.OpExtend); n < 10 {
				return fmt.Errorf("extended %d times", n)
			}
			return nil
		})
		return 1, nil
	})
	if got != 1 || err != nil {
		t.Fatal(got, err)
	}
	if _, found, err := c.Get(t.Context(), "k"); !found || err != nil {
		t.Errorf("it was not stored: %v, %+v", err, service.Stats())
	}
}

// Extend, by what it must not do: it revives nothing, and takes nobody's lease.
func TestExtendOnRedis(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{LeaseTTL: 10 * time.Second})
	lease, err := s.Lease(t.Context(), "n:k")
	s.must(err)
	const key = "n:l:{0}:k"
	if _, err := s.server.Do(t.Context(), "PEXPIRE", key, "1000"); err != nil {
		t.Fatal(err)
	}
	held, err := s.Extend(t.Context(), lease)
	s.must(err)
	left, err := s.server.Do(t.Context(), "PTTL", key)
	s.must(err)
	if n, ok := left.(int64); !held || !ok || n <= 1000 {
		t.Errorf("held %t; %v ms are left", held, left)
	}
	if _, err := s.server.Do(t.Context(), "DEL", key); err != nil { // it has expired
		t.Fatal(err)
	}
	if held, err := s.Extend(t.Context(), lease); held || err != nil {
		t.Errorf("an expired lease: %t, %v", held, err)
	}
	other, err := s.Lease(t.Context(), "n:k")
	s.must(err)
	if held, err := s.Extend(t.Context(), lease); other == nil || held || err != nil {
		t.Errorf("somebody else's lease: %t, %v", held, err)
	}
	if held, err := s.Extend(t.Context(), nil); held || err != nil {
		t.Errorf("no lease: %t, %v", held, err)
	}
}
