package cache_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// stale is a policy with a TTL of a minute, and StaleFor of an hour.
func stale() cache.Policy[int] {
	return cache.Policy[int]{TTL: time.Minute, StaleFor: time.Hour, Tags: []string{"static"}, TagsOf: func(int) []string { return []string{"learned"} }}
}

// pass lets d pass, and waits for everything that is due then.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func mustGet(t *testing.T, c *cache.Cache[int], load func(context.Context) (int, error), want int) {
	t.Helper()
	began := time.Now()
	if got, err := c.GetOrLoad(t.Context(), "k", load); got != want || err != nil {
		t.Errorf("GetOrLoad = %v, %v, want %v", got, err, want)
	}
	if took := time.Since(began); took != 0 {
		t.Errorf("GetOrLoad took %v", took)
	}
}

// Past the TTL all callers are served at once, and one load runs for all of them, even in several
// processes.
func TestStaleWhileOneRefreshRuns(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				service := start(t, kind.make(t), cache.Options{})
				// each has refreshes of its own, as another process would
				var nodes []*cache.Cache[int]
				for range 3 {
					nodes = append(nodes, newCache(t, service, "c", stale()))
				}
				mustGet(t, nodes[0], value(1), 1)
				pass(2 * time.Minute)
				if got, found, err := nodes[0].Get(t.Context(), "k"); got != 0 || found || err != nil {
					t.Errorf("Get past the TTL = %v, %v, %v; want a miss", got, found, err)
				}
				var loads atomic.Int32
				release := make(chan struct{})
				load := func(context.Context) (int, error) {
					loads.Add(1)
					<-release
					return 2, nil
				}
				for range 300 {
					for _, c := range nodes {
						mustGet(t, c, load, 1)
					}
				}
				synctest.Wait()
				if n := loads.Load(); n != 1 {
					t.Errorf("%d refreshes run, want 1", n)
				}
				close(release)
				synctest.Wait()
				for _, c := range nodes {
					mustGet(t, c, unexpected[int](t), 2)
				}
				stats := service.Stats()
				if stats.StaleHits != 900 || stats.Refreshes != 1 || stats.Loads != 2 || stats.Filled != 2 || stats.Hits != 903 || stats.Misses != 2 {
					t.Errorf("%+v", stats)
				}
			})
		})
	}
}

// If the loader fails, the last good value is served until StaleFor ends. The loader is tried once
// a second. Each failure is counted, and one in ten seconds is logged.
func TestLastGoodValue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBook)
		service := start(t, newBigcache(t), cache.Options{Logger: log.logger()})
		c := newCache(t, service, "c", stale())
		mustGet(t, c, value(1), 1)
		pass(time.Minute)
		fail := func(context.Context) (int, error) { return 0, errOutage }
		for range 100 { // ten seconds
			mustGet(t, c, fail, 1)
			pass(100 * time.Millisecond)
		}
		stats := service.Stats()
		if stats.Refreshes != 10 || stats.LoadErrors != 10 || stats.StaleHits != 100 {
			t.Errorf("%+v, want 10 refreshes that fail", stats)
		}
		if n := log.count("a refresh failed"); n != 1 || log.count(errOutage.Error()) != 1 {
			t.Errorf("logged %d times:\n%s", n, log)
		}
		pass(time.Hour - 10*time.Second - time.Millisecond)
		mustGet(t, c, fail, 1)
		pass(time.Millisecond)
		if got, err := c.GetOrLoad(t.Context(), "k", fail); got != 0 || err != errOutage { //nolint:errorlint // as it is
			t.Errorf("when StaleFor is over: %v, %v", got, err)
		}
		mustGet(t, c, value(2), 2)
	})
}

// A revocation ends a stale entry. A value that a refresh has read before it is not stored after
// it.
func TestRevocationEndsStale(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		for _, how := range invalidations {
			for _, during := range []bool{false, true} {
				t.Run(kind.name+"/"+how.name, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						service := start(t, kind.make(t), cache.Options{})
						c := newCache(t, service, "c", stale())
						mustGet(t, c, value(1), 1)
						pass(time.Minute)
						release := make(chan struct{})
						if during {
							mustGet(t, c, func(context.Context) (int, error) { <-release; return 1, nil }, 1)
							synctest.Wait()
						}
						if err := how.revoke(t.Context(), service, c); err != nil {
							t.Fatal(err)
						}
						late := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", value(2)) })
						synctest.Wait()
						close(release)
						if got := <-late; got.value != 2 || got.err != nil {
							t.Errorf("the caller from after the revocation got %+v", got)
						}
						synctest.Wait()
						if got, found, err := c.Get(t.Context(), "k"); !found || got != 2 || err != nil {
							t.Errorf("Get = %v, %v, %v", got, found, err)
						}
					})
				})
			}
		}
	}
}

// While a revocation is pending, nothing is served, stale or not, and no refresh is started.
func TestNothingStaleWhileRevocationsArePending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute, StaleFor: time.Hour})
		mustGet(t, c, value(1), 1)
		pass(2 * time.Minute)
		// the Delete itself, and the tries of both reads
		recorder.FailNext(drivertest.OpDelete, 3, errOutage)
		began := time.Now()
		var pending *cache.PendingError
		if err := c.Delete(t.Context(), "k"); !errors.As(err, &pending) {
			t.Fatal(err)
		}
		// A value that another node stored a moment ago can be served for TTL and StaleFor.
		if bound := pending.Until.Sub(began); bound != time.Hour+time.Minute+leaseTTL {
			t.Errorf("others may serve it for %v, want TTL, StaleFor and a lease's life", bound)
		}
		mustGet(t, c, value(2), 2)
		if n := service.Stats().StaleHits; n != 0 {
			t.Errorf("%d stale hits", n)
		}
	})
}

// The storage keeps an entry for TTL and StaleFor, and not beyond max_ttl.
func TestStaleIsKeptInTheStorage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		ttl, staleFor, want time.Duration
	}{
		{time.Minute, time.Hour, time.Hour + time.Minute},
		{0, time.Hour, 24 * time.Hour}, // max_ttl
		{24 * time.Hour, time.Hour, 24 * time.Hour},
		{48 * time.Hour, time.Hour, 24 * time.Hour},
		{time.Minute, 1<<63 - 1, 24 * time.Hour},
	} {
		strategy := new(table)
		clock := drivertest.NewClock(time.Now()) // it stands still: the TTL counts from the start of the load
		service := start(t, strategy, cache.Options{MaxTTL: 24 * time.Hour, Clock: clock})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: test.ttl, StaleFor: test.staleFor})
		for _, store := range []func() error{
			func() error { return c.Set(t.Context(), "k", 1) },
			func() error { _, err := c.Update(t.Context(), "k", value(1)); return err },
			func() error { _, err := c.GetOrLoad(t.Context(), "k", value(1)); return err },
		} {
			if err := errors.Join(c.Delete(t.Context(), "k"), store()); err != nil {
				t.Fatal(err)
			}
			if row, _ := strategy.row("app:c:k"); row.ttl != test.want {
				t.Errorf("TTL %v, StaleFor %v: kept for %v, want %v", test.ttl, test.staleFor, row.ttl, test.want)
			}
		}
	}
}

// Processes with different policies share a storage, as in a rolling deployment. No entry is served
// for longer than its own TTL and the reader's StaleFor, and none counts as damaged.
func TestPoliciesShareAStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := newBigcache(t)
		services := []*cache.Service{start(t, storage, cache.Options{}), peer(t, storage, cache.Options{}), peer(t, storage, cache.Options{})}
		ctx := t.Context()
		plain := newCache(t, services[0], "c", cache.Policy[int]{TTL: time.Minute, Tags: []string{"static"}})
		short := newCache(t, services[1], "c", cache.Policy[int]{TTL: time.Minute, StaleFor: time.Second, Tags: []string{"static"}})
		lasting := newCache(t, services[2], "c", stale())
		get := func(c *cache.Cache[int], want bool) {
			t.Helper()
			if got, found, err := c.Get(ctx, "k"); found != want || found && got != 1 || err != nil {
				t.Errorf("Get = %v, %v, %v", got, found, err)
			}
		}
		if err := lasting.Set(ctx, "k", 1); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*cache.Cache[int]{plain, short, lasting} {
			get(c, true)
		}
		pass(time.Minute + time.Second)
		for _, c := range []*cache.Cache[int]{plain, short, lasting} {
			get(c, false)
		}
		mustGet(t, lasting, func(context.Context) (int, error) { return 0, errOutage }, 1)
		synctest.Wait()
		mustGet(t, short, value(2), 2) // past its own StaleFor
		pass(time.Second)
		mustGet(t, lasting, unexpected[int](t), 2)
		pass(time.Minute + time.Second)
		mustGet(t, plain, value(3), 3)
		mustGet(t, lasting, unexpected[int](t), 3) // without a stamp
		for _, service := range services {
			if stats := service.Stats(); stats.Corrupt != 0 || stats.Foreign != 0 {
				t.Errorf("entries were thought corrupt or foreign: %+v", stats)
			}
		}
	})
}

// A nil pointer to a type that encodes itself is an ordinary value.
func TestStaleNil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[*byPointer]{TTL: time.Minute, StaleFor: time.Hour})
		for _, v := range []*byPointer{nil, {}} {
			if err := c.Set(t.Context(), "k", v); err != nil {
				t.Fatal(err)
			}
			pass(time.Minute)
			got, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (*byPointer, error) { return v, errOutage })
			if (got == nil) != (v == nil) || err != nil {
				t.Errorf("GetOrLoad = %v, %v, want %v", got, err, v)
			}
			pass(time.Second)
		}
	})
}

// Hits, refreshes and revocations run concurrently, for the race detector. A version is never
// served after the revocation that followed it.
func TestStaleBesideRevocations(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Millisecond, StaleFor: time.Hour, EarlyRefresh: 1})
	var row, revoked atomic.Int64
	load := func(context.Context) (int, error) { return int(row.Load()), nil }
	var group sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				least := revoked.Load()
				if got, err := c.GetOrLoad(t.Context(), "k", load); err != nil || int64(got) < least {
					t.Errorf("GetOrLoad = %v, %v after the revocation of all before %d", got, err, least)
					return
				}
			}
		})
	}
	for range 2000 {
		version := row.Add(1)
		if err := c.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		revoked.Store(version)
	}
	close(done)
	group.Wait()
}
