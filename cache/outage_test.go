package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A revocation is not pending if it was refused, if it was applied but not replicated, if it came
// before Start or after Stop, or if it has no keys.
func TestNotPending(t *testing.T) {
	t.Parallel()
	behind := fmt.Errorf("%w: 0 of 1 replicas have it", cache.ErrNotReplicated)
	for _, test := range []struct {
		err     error
		pending uint64
	}{
		{cache.ErrInvalidKey, 0}, {cache.ErrInvalidTTL, 0}, {cache.ErrValueTooLarge, 0}, {cache.ErrTooManyTags, 0},
		{cache.ErrUnsupported, 0}, {behind, 0}, {fmt.Errorf("in 2 of 4 lanes: %w", errors.Join(behind, behind)), 0},
		{fmt.Errorf("in 2 of 4 lanes: %w", errors.Join(behind, errOutage)), 1}, {context.Canceled, 1},
	} {
		for _, way := range revocations {
			synctest.Test(t, func(t *testing.T) {
				service, recorder, _ := record(t, newBigcache(t), cache.Options{})
				recorder.FailNext(way.operation, 1, test.err)
				err := way.revoke(t.Context(), service, newCache(t, service, "c", cache.Policy[int]{}))
				if !errors.Is(err, test.err) || errors.Is(err, cache.ErrRevocationPending) != (test.pending > 0) {
					t.Errorf("%s: %v", way.name, err)
				}
				wantPending(t, service, test.pending)
			})
		}
	}
	service, recorder, _ := record(t, newBigcache(t), cache.Options{})
	recorder.FailNext(drivertest.OpDelete, 1, errOutage)
	if err := service.Delete(t.Context()); errors.Is(err, cache.ErrRevocationPending) {
		t.Errorf("no keys: %v", err)
	}
	idle := newService(t, newBigcache(t), cache.Options{})
	for _, want := range []error{cache.ErrNotStarted, cache.ErrClosed} {
		for _, way := range revocations {
			if err := way.revoke(t.Context(), idle, newCache(t, idle, "c", cache.Policy[int]{})); !errors.Is(err, want) || errors.Is(err, cache.ErrRevocationPending) {
				t.Errorf("%s: %v", way.name, err)
			}
		}
		wantPending(t, idle, 0)
		if err := errors.Join(idle.Start(t.Context(), nil), idle.Stop(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// A pending revocation stays pending if it was applied but not replicated: a failover would undo
// it.
func TestNotReplicatedStaysPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		recorder.FailNext(drivertest.OpDelete, 1, errOutage)
		recorder.FailNext(drivertest.OpDelete, 2, cache.ErrNotReplicated)
		pending(t, service.Delete(t.Context(), "k"))
		for range 2 {
			if _, err := service.Get(t.Context(), "k", new(int)); !errors.Is(err, cache.ErrRevocationPending) {
				t.Errorf("Get: %v, want no hits before replicas have confirmed", err)
			}
			wantPending(t, service, 1)
		}
		mustMiss(t, service, "k")
		wantPending(t, service, 0)
	})
}

// Stop applies pending revocations, or says how many are left when its time is up. Those are still
// pending after the next Start.
func TestStopFlushes(t *testing.T) {
	t.Parallel()
	for _, healthy := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			inner := new(table)
			strategy, recorder := drivertest.Record(inner)
			service := newService(t, strategy, cache.Options{})
			if err := service.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			mustSet(t, service, "k", 1, cache.SetOptions{})
			mustSet(t, service, "other", 1, cache.SetOptions{})
			recorder.FailNext(drivertest.OpDelete, 1, errOutage)
			pending(t, service.Delete(t.Context(), "k"))
			release := func() {}
			if !healthy {
				release = recorder.Block(drivertest.OpDelete)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			began := time.Now()
			err := service.Stop(ctx)
			_, found := inner.row("app::k")
			if healthy {
				if err != nil || found || time.Since(began) != 0 {
					t.Errorf("Stop = %v after %v, still there: %v", err, time.Since(began), found)
				}
				return
			}
			var wrapped *cache.Error
			if !errors.As(err, &wrapped) || wrapped.Op != "stop" || !errors.Is(err, cache.ErrRevocationPending) || !found {
				t.Errorf("Stop = %v", err)
			}
			if d := time.Since(began); d != time.Second {
				t.Errorf("Stop took %v of 2s, want half", d)
			}
			wantPending(t, service, 1)
			release()
			recorder.Reset()
			if err := service.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if found, err := service.Get(t.Context(), "other", new(int)); !found || err != nil {
				t.Errorf("Get = %v, %v", found, err)
			}
			if order := names(recorder); len(order) != 2 || order[0] != "delete" || order[1] != "get" {
				t.Errorf("after the next Start: %v", order)
			}
			if err := service.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Stop returns when its context ends, even if a Clear hangs in the background.
func TestStopBesideHungClear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy, recorder := drivertest.Record(newBigcache(t))
		service := newService(t, strategy, cache.Options{})
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		recorder.FailNext(drivertest.OpClear, 1, errOutage)
		pending(t, service.Clear(t.Context()))
		defer recorder.Block(drivertest.OpClear)()
		<-time.After(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := service.Stop(ctx); !errors.Is(err, cache.ErrRevocationPending) || time.Since(began) > time.Second {
			t.Errorf("Stop = %v after %v", err, time.Since(began))
		}
	})
}

// A caller that comes after a revocation, even a pending one, never gets a value that was read
// before it, although the storage would store that value.
func TestPendingRevocationBesideLoad(t *testing.T) {
	t.Parallel()
	for _, test := range revocations {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{Tags: []string{"t"}})
			reading, read := make(chan struct{}), make(chan struct{})
			first := async(func() (int, error) {
				return c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) {
					close(reading)
					<-read
					return 1, nil
				})
			})
			<-reading
			recorder.FailNext(test.operation, 2, errOutage) // also when the second caller tries
			pending(t, test.revoke(t.Context(), service, c))
			second := async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", value(2)) })
			for service.Stats().SharedLoads == 0 {
				runtime.Gosched()
			}
			close(read)
			if got := <-first; got.value != 1 || got.err != nil {
				t.Errorf("%s: the first caller got %v, %v", test.name, got.value, got.err)
			}
			if got := <-second; got.value != 2 || got.err != nil {
				t.Errorf("%s: who came after the revocation got %v, %v", test.name, got.value, got.err)
			}
		})
	}
}

// In an outage, at most max_concurrent_loads keys are loaded at once. Callers of the same key share
// a load. Further callers wait until their contexts end.
func TestMaxConcurrentLoads(t *testing.T) {
	t.Parallel()
	const room = 3
	for name, end := range map[string]func() (int, error){
		"value": func() (int, error) { return 1, nil }, "error": func() (int, error) { return 0, errOutage },
		"panic": func() (int, error) { panic("loader bug") }, "Goexit": func() (int, error) { runtime.Goexit(); return 0, nil },
	} {
		for _, healthy := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				strategy := newFragile(t)
				service, _, _ := record(t, strategy, cache.Options{MaxConcurrentLoads: room})
				c := newCache(t, service, "c", cache.Policy[int]{})
				strategy.others.Store(!healthy)
				for round := range 2 { // in the second, all places are free again
					synctest.Wait() // a place is given back when the caller has its answer already
					before := service.Stats()
					gate := make(chan struct{})
					var running atomic.Int32
					load := func(context.Context) (int, error) {
						running.Add(1)
						<-gate
						return end()
					}
					var calls []<-chan outcome[int]
					for i := range room {
						for range 2 {
							calls = append(calls, async(func() (int, error) { return c.GetOrLoad(t.Context(), fmt.Sprint(round, i), load) }))
						}
					}
					synctest.Wait()
					if n := running.Load(); n != room {
						t.Errorf("%s, round %d: %d loaders for %d keys", name, round, n, room)
					}
					began := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					got := <-async(func() (int, error) { return c.GetOrLoad(ctx, fmt.Sprint(round, "more"), value(7)) })
					cancel()
					if healthy != (got.err == nil) || !healthy && (!errors.Is(got.err, context.DeadlineExceeded) || time.Since(began) != time.Second) {
						t.Errorf("%s, healthy %v: one more got %v, %v after %v", name, healthy, got.value, got.err, time.Since(began))
					}
					synctest.Wait()
					if stats := service.Stats(); !healthy && (stats.RejectedLoads != before.RejectedLoads+1 || stats.WaitedLoads != before.WaitedLoads+1) ||
						healthy && stats.RejectedLoads+stats.WaitedLoads != 0 {
						t.Errorf("%s: %d rejected, %d waited", name, stats.RejectedLoads, stats.WaitedLoads)
					}
					patient := async(func() (int, error) { return c.GetOrLoad(t.Context(), fmt.Sprint(round, "patient"), value(8)) })
					synctest.Wait()
					close(gate)
					if got := <-patient; got.value != 8 || got.err != nil {
						t.Errorf("%s, healthy %v: who waited got %v, %v", name, healthy, got.value, got.err)
					}
					for _, call := range calls {
						<-call
					}
				}
			})
		}
	}
}

// A strategy that hangs costs each call exactly its timeout, and no goroutine is left but those of
// the calls.
func TestHungStrategy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const timeout = 50 * time.Millisecond
		service, recorder, _ := record(t, newBigcache(t), cache.Options{Timeout: timeout, MaxConcurrentLoads: 10_000})
		c := newCache(t, service, "c", cache.Policy[int]{})
		for _, op := range []string{drivertest.OpGet, drivertest.OpGetOrLease, drivertest.OpSet, drivertest.OpDelete, drivertest.OpInvalidate, drivertest.OpClear} {
			defer recorder.Block(op)()
		}
		var calls sync.WaitGroup
		worst := new(atomic.Int64)
		timed := func(call func() error) {
			calls.Go(func() {
				began := time.Now()
				_ = call()
				for d := int64(time.Since(began)); ; {
					if old := worst.Load(); d <= old || worst.CompareAndSwap(old, d) {
						return
					}
				}
			})
		}
		ctx := t.Context()
		for i := range 300 {
			key := strconv.Itoa(i)
			timed(func() error { _, err := service.Get(ctx, key, new(int)); return err })
			timed(func() error { return service.Set(ctx, key, 1, cache.SetOptions{}) })
			timed(func() error { return service.Delete(ctx, key) })
			timed(func() error { return service.InvalidateTags(ctx, key) })
			timed(func() error { // it may take longer: the caller's deadline counts
				ctx, cancel := context.WithTimeout(ctx, timeout)
				defer cancel()
				return service.Clear(ctx)
			})
			timed(func() error { _, err := c.GetOrLoad(ctx, key, value(1)); return err })
			if i%100 == 99 {
				<-time.After(30 * time.Millisecond)
			}
		}
		calls.Wait()
		if d := time.Duration(worst.Load()); d != timeout {
			t.Errorf("the slowest call took %v, want %v", d, timeout)
		}
		if n := service.Stats().PendingRevocations; n != 601 {
			t.Errorf("%d are pending, want 300 keys, 300 tags and everything", n)
		}
	})
}

// Clear has more time, because a storage may have to look for its entries. It ends after that time,
// too.
func TestClearIsPatient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{Timeout: 50 * time.Millisecond})
		release := recorder.Block(drivertest.OpClear)
		began := time.Now()
		time.AfterFunc(9*time.Second, release)
		if err := service.Clear(t.Context()); err != nil || time.Since(began) != 9*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		defer recorder.Block(drivertest.OpClear)()
		began = time.Now()
		if err := service.Clear(t.Context()); !errors.Is(err, cache.ErrRevocationPending) || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A pending revocation lasts longer than the TTL in this process's policy: another process may give
// entries a longer TTL.
func TestPendingRevocationOutlivesThePolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
		before := newCache(t, peer(t, strategy, cache.Options{}), "c", cache.Policy[int]{TTL: time.Hour})
		after := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute})
		if err := before.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		recorder.FailNext(drivertest.OpDelete, 605, errOutage) // for five minutes, twice a second
		pending(t, after.Delete(t.Context(), "k"))
		<-time.After(3 * time.Minute)
		wantPending(t, service, 1)
		if _, found, _ := after.Get(t.Context(), "k"); found {
			t.Error("it is served although it was revoked")
		}
		<-time.After(10 * time.Minute)
		wantPending(t, service, 0)
	})
}

// If one revocation keeps failing, the others are still applied.
func TestPendingRevocationsAreAppliedApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, strategy := record(t, newBigcache(t), cache.Options{})
		mustSet(t, service, "tagged", 1, cache.SetOptions{Tags: []string{"t"}})
		recorder.FailNext(drivertest.OpDelete, 6, errOutage)
		recorder.FailNext(drivertest.OpInvalidate, 1, errOutage)
		pending(t, service.Delete(t.Context(), "k"))
		pending(t, service.InvalidateTags(t.Context(), "t"))
		<-time.After(100 * time.Millisecond)
		if n := service.Stats().PendingRevocations; n != 1 {
			t.Errorf("%d are pending, want the one that fails", n)
		}
		if _, found, err := strategy.Get(t.Context(), "app::tagged"); found || err != nil {
			t.Errorf("the tag was not invalidated: %t, %v", found, err)
		}
	})
}
