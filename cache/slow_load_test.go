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

// during returns a loader that takes d.
func during(d time.Duration, v int) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { <-time.After(d); return v, nil }
}

// slowWays are the ways to store a value that takes long to load.
var slowWays = map[string]func(t *testing.T, c *cache.Cache[int], work func(context.Context) (int, error)){
	"GetOrLoad": func(t *testing.T, c *cache.Cache[int], work func(context.Context) (int, error)) {
		if got, err := c.GetOrLoad(t.Context(), "k", work); got != 2 || err != nil {
			t.Errorf("GetOrLoad = %v, %v", got, err)
		}
	},
	"Update": func(t *testing.T, c *cache.Cache[int], work func(context.Context) (int, error)) {
		if got, err := c.Update(t.Context(), "k", work); got != 2 || err != nil {
			t.Errorf("Update = %v, %v", got, err)
		}
	},
	"refresh": func(t *testing.T, c *cache.Cache[int], work func(context.Context) (int, error)) {
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		mustGet(t, c, work, 1)
		pass(10 * time.Minute)
	},
}

// A value that takes longer than a lease's term is still stored. Meanwhile nobody else gets the
// lease.
func TestSlowLoadIsStored(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		for name, store := range slowWays {
			t.Run(kind.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					service := start(t, kind.make(t), cache.Options{})
					policy := cache.Policy[int]{TTL: time.Hour, StaleFor: 24 * time.Hour}
					c, other := newCache(t, service, "c", policy), newCache(t, service, "c", policy)
					store(t, c, func(context.Context) (int, error) {
						for range 4 { // the term is 30 s
							<-time.After(29 * time.Second)
							if name != "refresh" { // there the old value is served
								if got, err := other.GetOrLoad(t.Context(), "k", value(9)); got != 9 || err != nil {
									t.Errorf("another node: %v, %v", got, err)
								}
							}
						}
						return 2, nil
					})
					if got, found, err := c.Get(t.Context(), "k"); got != 2 || !found || err != nil {
						t.Errorf("Get = %v, %v, %v", got, found, err)
					}
					if stats := service.Stats(); stats.LeaseExpired+stats.Refused+stats.Unfilled != 0 {
						t.Errorf("%+v", stats)
					}
				})
			})
		}
	}
}

// A load that takes longer than LeaseTTL is not stored. It is counted as lease_expired, and a
// warning says what to do.
func TestSlowestLoadIsNotStored(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		synctest.Test(t, func(t *testing.T) {
			log := new(logBook)
			service := start(t, kind.make(t), cache.Options{Logger: log.logger()})
			c, slow := newCache(t, service, "c", cache.Policy[int]{}), newCache(t, service, "reports", cache.Policy[int]{})
			for range 3 {
				if got, err := slow.GetOrLoad(t.Context(), "k", during(driver.MaxLeaseTTL+time.Second, 2)); got != 2 || err != nil {
					t.Errorf("GetOrLoad = %v, %v", got, err)
				}
			}
			if _, found, err := slow.Get(t.Context(), "k"); found || err != nil {
				t.Errorf("Get = %v, %v", found, err)
			}
			if got, err := c.GetOrLoad(t.Context(), "k", value(1)); got != 1 || err != nil {
				t.Error(got, err)
			}
			if stats := service.Stats(); stats.LeaseExpired != 3 || stats.Refused != 0 || stats.Filled != 1 {
				t.Errorf("%+v", stats)
			}
			if n := log.count("outlived its lease"); n != 3 || log.count("cache=reports took=5m1s lease_ttl=30s") != 3 {
				t.Errorf("logged %d times:\n%s", n, log)
			}
		})
	}
}

// The warning is logged once per interval for each cache.
func TestSlowLoadsWarnOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBook)
		service := start(t, plainLeaser{newBigcache(t)}, cache.Options{Logger: log.logger()})
		for _, name := range []string{"one", "two"} {
			c := newCache(t, service, name, cache.Policy[int]{})
			var calls []<-chan outcome[int]
			for _, key := range []string{"a", "b", "c"} {
				calls = append(calls, async(func() (int, error) { return c.GetOrLoad(t.Context(), key, during(time.Minute, 1)) }))
			}
			for _, call := range calls {
				<-call
			}
		}
		if stats := service.Stats(); stats.LeaseExpired != 6 {
			t.Errorf("%+v", stats)
		}
		if log.count("outlived its lease") != 2 || log.count("cache=one took=") != 1 || log.count("cache=two took=") != 1 {
			t.Errorf("%s", log)
		}
	})
}

// plainLeaser is a Leaser whose leases are good for 30 s and cannot be extended.
type plainLeaser struct{ driver.Leaser }

func (s plainLeaser) Init(ctx context.Context, in driver.Injector) error {
	return s.Leaser.(driver.Initializer).Init(ctx, in)
}

func (plainLeaser) LeaseTTL() time.Duration { return 30 * time.Second }

// A value that was revoked while its slow load ran counts as refused, and not as expired.
func TestRevokedDuringASlowLoad(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		for _, how := range invalidations {
			synctest.Test(t, func(t *testing.T) {
				service := start(t, kind.make(t), cache.Options{})
				c := newCache(t, service, "c", tagged())
				_, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
					<-time.After(45 * time.Second)
					err := how.revoke(ctx, service, c)
					<-time.After(2 * time.Minute)
					return 1, err
				})
				if err != nil {
					t.Error(err)
				}
				if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
					t.Errorf("%s: G1: %v, %v", how.name, found, err)
				}
				if stats := service.Stats(); stats.Refused != 1 || stats.LeaseExpired != 0 {
					t.Errorf("%s, %s: %+v", kind.name, how.name, stats)
				}
			})
		}
	}
}

// A lease is extended three times a term, sooner after a failure, and not for quick loads. If an
// extension fails, hangs or panics now and then, nothing is lost. If all of them fail, the lease
// expires. Extending ends when the load has ended, or when nobody waits for it any more.
func TestExtending(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		disturb func(*drivertest.Recorder)
		took    time.Duration
		extends int
		stored  bool
	}{
		"quick":      {func(*drivertest.Recorder) {}, 9 * time.Second, 0, true},
		"once":       {func(*drivertest.Recorder) {}, 19 * time.Second, 1, true},
		"six times":  {func(*drivertest.Recorder) {}, 69 * time.Second, 6, true},
		"fails":      {func(r *drivertest.Recorder) { r.FailNext(drivertest.OpExtend, 2, errOutage) }, 69 * time.Second, 8, true},
		"hangs":      {func(r *drivertest.Recorder) { r.DelayNext(drivertest.OpExtend, 1, time.Hour) }, 69 * time.Second, 7, true},
		"fails ever": {func(r *drivertest.Recorder) { r.FailNext(drivertest.OpExtend, 99, errOutage) }, 69 * time.Second, 9, false},
		"panics": {func(r *drivertest.Recorder) {
			r.Before(drivertest.OpExtend, func(context.Context, string) { r.Before(drivertest.OpExtend, nil); panic("driver bug") })
		}, 69 * time.Second, 7, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{Timeout: time.Second})
			c := newCache(t, service, "c", cache.Policy[int]{})
			test.disturb(recorder)
			if got, err := c.GetOrLoad(t.Context(), "k", during(test.took, 2)); got != 2 || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			pass(time.Hour)
			if n := recorder.Count(drivertest.OpExtend); n != test.extends {
				t.Errorf("%s: extended %d times, want %d", name, n, test.extends)
			}
			stats := service.Stats()
			if got := stats.Filled == 1 && stats.LeaseExpired == 0; got != test.stored || !test.stored && stats.LeaseExpired != 1 {
				t.Errorf("%s: %+v", name, stats)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		_, err := c.GetOrLoad(ctx, "k", during(time.Minute, 2)) // does not listen
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		pass(time.Hour)
		if n := recorder.Count(drivertest.OpExtend); n != 1 {
			t.Errorf("extended %d times for nobody, want once before", n)
		}
	})
}

// If an extension is running when the load ends, it is cancelled and waited for. Nothing runs on
// after Stop.
func TestExtendingEndsWithTheLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{Timeout: time.Hour})
		c := newCache(t, service, "c", cache.Policy[int]{})
		recorder.DelayNext(drivertest.OpExtend, 1, time.Hour)
		began := time.Now()
		if got, err := c.GetOrLoad(t.Context(), "k", during(15*time.Second, 2)); got != 2 || err != nil {
			t.Error(got, err)
		}
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("it took %v", took)
		}
		if got, found, err := c.Get(t.Context(), "k"); got != 2 || !found || err != nil {
			t.Errorf("Get = %v, %v, %v", got, found, err)
		}
	})
}
