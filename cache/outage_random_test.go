package cache_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// Many callers use many keys, and revocations fail at random. On this node, nobody gets an older
// version than that of a revocation that has returned.
func TestRandomOutage(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{4, 10_000} {
		strategy, recorder := drivertest.Record(newBigcache(t))
		service := start(t, strategy, cache.Options{MaxPendingRevocations: limit, BreakerFailures: 1 << 20, Timeout: 5 * time.Second})
		// another node, which stores too and whose reads are not checked
		other := start(t, struct{ driver.Leaser }{driver.FeaturesOf(strategy).Leaser}, cache.Options{})
		here, there := newCache(t, service, "c", cache.Policy[int64]{Tags: []string{"t"}}), newCache(t, other, "c", cache.Policy[int64]{Tags: []string{"t"}})
		var database, floors [12]atomic.Int64
		var callers sync.WaitGroup
		var hits, pending atomic.Int64
		for range 8 {
			callers.Go(func() {
				for range 1500 {
					i := rand.N(len(database))
					key := strconv.Itoa(i)
					load := func(context.Context) (int64, error) { v := database[i].Load(); runtime.Gosched(); return v, nil }
					switch rand.N(8) {
					case 0:
						version := database[i].Add(1)
						op, revoke := drivertest.OpDelete, func() error { return here.Delete(t.Context(), key) }
						if rand.N(3) == 0 {
							op, revoke = drivertest.OpInvalidate, func() error { return here.InvalidateTags(t.Context(), "t") }
						}
						if rand.N(2) == 0 {
							recorder.FailNext(op, 1+rand.N(3), errOutage)
						}
						if err := revoke(); errors.Is(err, cache.ErrRevocationPending) {
							pending.Add(1)
						} else if err != nil {
							t.Errorf("revoke: %v", err)
						}
						raise(&floors[i], version)
					case 1, 2:
						_, _ = there.GetOrLoad(t.Context(), key, load)
					case 3, 4:
						floor := floors[i].Load()
						if v, found, _ := here.Get(t.Context(), key); found {
							hits.Add(1)
							if v < floor {
								t.Errorf("Get: version %d, after %d was revoked", v, floor-1)
							}
						}
					default:
						floor := floors[i].Load()
						if v, err := here.GetOrLoad(t.Context(), key, load); err != nil && !errors.Is(err, cache.ErrUnavailable) || err == nil && v < floor {
							t.Errorf("GetOrLoad: version %d, %v, after %d was revoked", v, err, floor-1)
						}
					}
				}
			})
		}
		callers.Wait()
		if hits.Load() < 100 || pending.Load() < 100 {
			t.Errorf("%d hits, %d pending revocations: too few to prove anything", hits.Load(), pending.Load())
		}
		t.Logf("limit %d: %d hits, %d pending", limit, hits.Load(), pending.Load())
	}
}

// A caller that comes after a pending revocation does not get a value that another node stores
// meanwhile, even if an earlier caller waits for that node's lease.
func TestPendingRevocationBesideForeignLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy, recorder := drivertest.Record(newBigcache(t))
		service := start(t, strategy, cache.Options{LockWait: time.Minute})
		other := start(t, struct{ driver.Leaser }{driver.FeaturesOf(strategy).Leaser}, cache.Options{})
		here, there := newCache(t, service, "c", cache.Policy[int]{}), newCache(t, other, "c", cache.Policy[int]{})
		reading, read := make(chan struct{}), make(chan struct{})
		holder := async(func() (int, error) {
			return there.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) {
				close(reading)
				<-read
				return 1, nil
			})
		})
		<-reading
		first := async(func() (int, error) { return here.GetOrLoad(t.Context(), "k", value(2)) })
		synctest.Wait()
		recorder.FailNext(drivertest.OpDelete, 30, errOutage)
		pending(t, here.Delete(t.Context(), "k"))
		close(read)
		if got := <-holder; got.value != 1 {
			t.Errorf("the holder got %v, %v", got.value, got.err)
		}
		second := async(func() (int, error) { return here.GetOrLoad(t.Context(), "k", value(2)) })
		if got := <-second; got.value != 2 || got.err != nil {
			t.Errorf("who came after the revocation got %v, %v", got.value, got.err)
		}
		<-first
		<-time.After(time.Minute)
		wantPending(t, service, 0)
	})
}

// The metric follows the number of pending revocations.
func TestPendingMetric(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		meter := new(meter)
		service, recorder, _ := record(t, newBigcache(t), cache.Options{MeterProvider: meter.provider()})
		gauge := func() int64 {
			for _, one := range meter.collect(t) {
				if one.instrument == "fxcache.pending_revocations" {
					return one.value
				}
			}
			t.Fatal("no such metric")
			return 0
		}
		recorder.FailNext(drivertest.OpDelete, 1, errOutage)
		pending(t, service.Delete(t.Context(), "a", "b"))
		if n := gauge(); n != 2 {
			t.Errorf("%d, want 2", n)
		}
		mustMiss(t, service, "a")
		if n := gauge(); n != 0 {
			t.Errorf("%d after they were applied", n)
		}
	})
}
