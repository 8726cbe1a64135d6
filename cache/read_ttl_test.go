package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// G2: an entry is served for at most its TTL, counted from the start of the read that produced it,
// however long that took. A value whose TTL has ended by then is not stored. An older entry is
// deleted, and a warning is logged.
func TestTTLCountsFromTheRead(t *testing.T) {
	t.Parallel()
	for name, store := range slowWays {
		for _, took := range []time.Duration{0, time.Minute, time.Hour - time.Millisecond, time.Hour, 2 * time.Hour} {
			if name == "refresh" && took > driver.MaxLeaseTTL {
				continue // a refresh is given up earlier
			}
			synctest.Test(t, func(t *testing.T) {
				log := new(logBook)
				// Leases do not matter here, and last long enough.
				service := start(t, patient{&batching{Leaser: newBigcache(t)}}, cache.Options{Logger: log.logger()})
				policy := cache.Policy[int]{TTL: time.Hour}
				if name == "refresh" {
					policy.StaleFor = 24 * time.Hour
				}
				c := newCache(t, service, "c", policy)
				var began time.Time
				store(t, c, func(context.Context) (int, error) { began = time.Now(); <-time.After(took); return 2, nil })
				left := time.Hour - time.Since(began)
				if got, found, err := c.Get(t.Context(), "k"); found != (left > 0) || found && got != 2 || err != nil {
					t.Errorf("%s, %v: %v, %v, %v with %v left", name, took, got, found, err, left)
				}
				if left <= 0 {
					if log.count("took longer than the TTL") != 1 || log.count("suppressed=0 cache=c took=") != 1 || service.Stats().Unfilled != 1 {
						t.Errorf("%s, %v: %+v\n%s", name, took, service.Stats(), log)
					}
					return
				}
				pass(left - time.Millisecond)
				if got, found, err := c.Get(t.Context(), "k"); got != 2 || !found || err != nil {
					t.Errorf("%s, %v: before the end: %v, %v, %v", name, took, got, found, err)
				}
				pass(time.Millisecond)
				if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
					t.Errorf("%s, %v: G2: %v, %v", name, took, found, err)
				}
			})
		}
	}
}

// With StaleFor, a value that is past its TTL when it is loaded is still stored. It is served while
// it is loaded again.
func TestStaleForCountsFromTheRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[int]{TTL: 2 * time.Second, StaleFor: 8 * time.Second})
		if got, err := c.GetOrLoad(t.Context(), "k", during(3*time.Second, 1)); got != 1 || err != nil {
			t.Fatal(got, err)
		}
		if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
			t.Errorf("Get past the TTL: %v, %v", found, err)
		}
		pass(7*time.Second - time.Millisecond)
		fail := func(context.Context) (int, error) { return 0, errOutage }
		mustGet(t, c, fail, 1)
		pass(time.Millisecond)
		if _, err := c.GetOrLoad(t.Context(), "k", fail); !errors.Is(err, errOutage) {
			t.Errorf("G2: ten seconds after the read: %v", err)
		}
	})
}

// NegativeTTL counts from the read, too.
func TestNegativeTTLCountsFromTheRead(t *testing.T) {
	t.Parallel()
	for _, took := range []time.Duration{3 * time.Second, 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{NegativeTTL: 10 * time.Second})
			_, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { <-time.After(took); return 0, cache.ErrNotFound })
			if !errors.Is(err, cache.ErrNotFound) {
				t.Fatal(err)
			}
			if took > 10*time.Second {
				if recorder.Count(drivertest.OpFill) != 0 || recorder.Count(drivertest.OpRelease) != 1 || service.Stats().Unfilled != 1 {
					t.Errorf("%+v", service.Stats())
				}
				mustGet(t, c, value(1), 1)
				return
			}
			pass(7*time.Second - time.Millisecond)
			if _, err := c.GetOrLoad(t.Context(), "k", unexpected[int](t)); !errors.Is(err, cache.ErrNotFound) {
				t.Error(err)
			}
			pass(time.Millisecond)
			mustGet(t, c, value(1), 1)
		})
	}
}

// setBack is a clock that is set back while a load runs.
type setBack struct{ by time.Duration }

func (c *setBack) Now() time.Time { return time.Now().Round(0).Add(-c.by) }

// If the clock is set back, no TTL gets longer.
func TestClockSetBackDuringTheLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := new(setBack)
		service, recorder, _ := record(t, newBigcache(t), cache.Options{Clock: clock})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Minute})
		got, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { clock.by = time.Hour; return 1, nil })
		if got != 1 || err != nil {
			t.Fatal(got, err)
		}
		for _, o := range recorder.Operations() {
			if o.Name == drivertest.OpFill && o.TTL != time.Minute {
				t.Errorf("stored for %v", o.TTL)
			}
		}
	})
}

// Callers that join a slow flight late get the value that was read before they came only while it
// is good: within its TTL, and fresh by the policy. Callers that were there before the read get it
// in any case.
func TestLatecomersAreJudged(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		policy cache.Policy[int]
		err    error
		shared bool
		fill   time.Duration // how long the storage takes
	}{
		"good":         {cache.Policy[int]{TTL: time.Minute}, nil, true, 0},
		"past its TTL": {cache.Policy[int]{TTL: 2 * time.Second}, nil, false, 0},
		"stale":        {cache.Policy[int]{TTL: 2 * time.Second, StaleFor: time.Minute}, nil, true, 0},
		"too stale":    {cache.Policy[int]{TTL: time.Second, StaleFor: time.Second}, nil, false, 0},
		"not fresh":    {cache.Policy[int]{Fresh: func(v int) bool { return v > 1 }}, nil, false, 0},
		"nothing":      {cache.Policy[int]{NegativeTTL: time.Minute}, cache.ErrNotFound, true, 0},
		// The entry has an expiry of its own, so that the storage's does not matter.
		"over when it is stored": {cache.Policy[int]{TTL: 4 * time.Second, EarlyRefresh: 1e-9}, nil, false, 2 * time.Second},
		"good when it is stored": {cache.Policy[int]{TTL: 6 * time.Second, EarlyRefresh: 1e-9}, nil, true, 2 * time.Second},
		"no more":                {cache.Policy[int]{NegativeTTL: 2 * time.Second}, cache.ErrNotFound, false, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{Timeout: 5 * time.Second})
			recorder.DelayNext(drivertest.OpFill, 1, test.fill)
			c := newCache(t, service, "c", test.policy)
			first := async(func() (int, error) {
				return c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { <-time.After(3 * time.Second); return 1, test.err })
			})
			<-time.After(2500 * time.Millisecond)
			var late []<-chan outcome[int]
			for range 3 {
				late = append(late, async(func() (int, error) { return c.GetOrLoad(t.Context(), "k", value(2)) }))
			}
			if got := <-first; got.value != 1 && test.err == nil || !errors.Is(got.err, test.err) {
				t.Errorf("%s: who was there before got %+v", name, got)
			}
			loads := uint64(2)
			if test.shared {
				loads = 1
			}
			for _, call := range late {
				got := <-call
				if test.shared && (!errors.Is(got.err, test.err) || test.err == nil && got.value != 1) || !test.shared && (got.value != 2 || got.err != nil) {
					t.Errorf("%s: a latecomer got %+v", name, got)
				}
			}
			if n := service.Stats().Loads; n != loads {
				t.Errorf("%s: %d loads, want %d", name, n, loads)
			}
		})
	}
}
