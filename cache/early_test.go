package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// slowly returns a loader that takes ten seconds.
func slowly(v int) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		<-time.After(10 * time.Second)
		return v, nil
	}
}

// This is the exact rule of XFetch: a hit refreshes if the rest of the TTL is at most
// delta·beta·-ln(random).
func TestEarlyRefresh(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		beta   float64
		random float64 // in [0, 1); the paper's is 1 minus it
		left   time.Duration
		early  bool
	}{
		{1, 1 - math.Exp(-2), 20*time.Second + time.Millisecond, false},
		{1, 1 - math.Exp(-2), 20*time.Second - time.Millisecond, true},
		{2, 1 - math.Exp(-2), 40*time.Second + time.Millisecond, false},
		{2, 1 - math.Exp(-2), 40*time.Second - time.Millisecond, true},
		{0.5, 1 - math.Exp(-2), 10*time.Second + time.Millisecond, false},
		{0.5, 1 - math.Exp(-2), 10*time.Second - time.Millisecond, true},
		{1, 0, time.Millisecond, false},
		{1, math.Nextafter(1, 0), 360 * time.Second, true}, // the least likely number of all
		{1, math.Nextafter(1, 0), 380 * time.Second, false},
		{0, math.Nextafter(1, 0), time.Millisecond, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			service := start(t, newBigcache(t), cache.Options{})
			c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Hour, EarlyRefresh: test.beta})
			c.SetRandom(func() float64 { return test.random })
			if _, err := c.GetOrLoad(t.Context(), "k", slowly(1)); err != nil {
				t.Fatal(err)
			}
			// the TTL counts from the start of the load
			pass(time.Hour - test.left - 10*time.Second)
			mustGet(t, c, slowly(2), 1)
			pass(11 * time.Second)
			stats := service.Stats()
			if got := stats.Refreshes == 1; got != test.early {
				t.Errorf("%+v: refreshed: %v", test, got)
			}
			if !test.early {
				return
			}
			if got, found, err := c.Get(t.Context(), "k"); got != 2 || !found || err != nil {
				t.Errorf("after the refresh: %v, %v, %v", got, found, err)
			}
			if stats.StaleHits != 0 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// With real random numbers, a hit at one delta before the end refreshes with probability 1/e.
func TestEarlyRefreshProbability(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys = 4000
		service := start(t, newBigcache(t), cache.Options{MaxConcurrentLoads: keys})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Hour, EarlyRefresh: 1})
		var loading []<-chan outcome[int]
		for i := range keys {
			loading = append(loading, async(func() (int, error) { return c.GetOrLoad(t.Context(), fmt.Sprint(i), slowly(1)) }))
		}
		for _, call := range loading {
			if got := <-call; got.err != nil {
				t.Fatal(got.err)
			}
		}
		// the time that the load took, and the time that should be left
		pass(time.Hour - 10*time.Second - 10*time.Second)
		for i := range keys {
			if got, err := c.GetOrLoad(t.Context(), fmt.Sprint(i), slowly(2)); got != 1 || err != nil {
				t.Fatal(got, err)
			}
		}
		synctest.Wait()
		refreshed, want := float64(service.Stats().Refreshes), keys/math.E
		t.Logf("%v of %d refreshed, expected %.0f", refreshed, keys, want)
		if sigma := math.Sqrt(want * (1 - 1/math.E)); math.Abs(refreshed-want) > 6*sigma {
			t.Errorf("more than six standard deviations from what is expected")
		}
		pass(11 * time.Second)
	})
}

// A value that was not loaded has no load time, so it is not refreshed early. Past the TTL it is
// too late.
func TestNoEarlyRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{TTL: time.Hour, EarlyRefresh: 100})
		c.SetRandom(func() float64 { return math.Nextafter(1, 0) })
		for name, store := range map[string]func() error{
			"Set": func() error { return c.Set(t.Context(), "k", 1) },
			"Update": func() error {
				_, err := c.Update(t.Context(), "k", slowly(1))
				return err
			},
		} {
			began := time.Now() // of the write: the TTL counts from there
			if err := store(); err != nil {
				t.Fatal(err)
			}
			pass(time.Hour - time.Millisecond - time.Since(began))
			mustGet(t, c, unexpected[int](t), 1)
			synctest.Wait()
			pass(time.Millisecond)
			if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
				t.Errorf("%s: past the TTL: %v, %v", name, found, err)
			}
		}
		if n := service.Stats().Refreshes; n != 0 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// Jitter spreads TTLs evenly between the shortest and the full one. A TTL is at least 1 ms.
func TestJitter(t *testing.T) {
	t.Parallel()
	strategy := new(table)
	ttl := func(policy cache.Policy[int], random float64) time.Duration {
		t.Helper()
		service := newService(t, strategy, cache.Options{MaxTTL: 24 * time.Hour})
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		// 2,000 of them: not at the end of the test
		defer func() { _ = service.Stop(t.Context()) }()
		c := newCache(t, service, "c", policy)
		if random >= 0 {
			c.SetRandom(func() float64 { return random })
		}
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		row, _ := strategy.row("app:c:k")
		return row.ttl
	}
	for _, test := range []struct {
		policy cache.Policy[int]
		random float64
		want   time.Duration
	}{
		{cache.Policy[int]{TTL: time.Minute}, 0.5, time.Minute},
		{cache.Policy[int]{TTL: time.Minute, Jitter: 0.5}, 0, time.Minute},
		{cache.Policy[int]{TTL: time.Minute, Jitter: 0.5}, 0.5, 45 * time.Second},
		{cache.Policy[int]{Jitter: 0.5}, 0.5, 18 * time.Hour},
		{cache.Policy[int]{TTL: 48 * time.Hour, Jitter: 0.5}, 0.5, 18 * time.Hour},
		{cache.Policy[int]{TTL: time.Minute, Jitter: 1}, math.Nextafter(1, 0), time.Millisecond},
		{cache.Policy[int]{TTL: time.Minute, Jitter: 0.5, StaleFor: time.Hour}, 0.5, time.Hour + 45*time.Second},
		{cache.Policy[int]{TTL: time.Hour, Jitter: 0.5, TTLOf: func(int) time.Duration { return time.Minute }}, 0.5, 45 * time.Second},
	} {
		if got := ttl(test.policy, test.random); got != test.want {
			t.Errorf("%+v, random %v: %v, want %v", test.policy, test.random, got, test.want)
		}
	}
	const entries = 2000
	var sum time.Duration
	for range entries {
		got := ttl(cache.Policy[int]{TTL: time.Hour, Jitter: 0.1}, -1)
		if got > time.Hour || got < 54*time.Minute {
			t.Fatalf("a TTL of an hour became %v", got)
		}
		sum += got
	}
	// The mean of a uniform distribution over six minutes is six standard errors from 57 minutes at
	// most.
	mean, sigma := sum/entries, 6*60.0/math.Sqrt(12*entries)
	t.Logf("mean %v", mean)
	if off := (mean - 57*time.Minute).Abs().Seconds(); off > 6*sigma {
		t.Errorf("the mean is %v, want 57m", mean)
	}
}

// An unusable policy is an OptionError that names the field.
func TestPolicyValidation(t *testing.T) {
	t.Parallel()
	service := start(t, new(table), cache.Options{})
	fresh := func(int) bool { return true }
	for _, test := range []struct {
		name   string
		policy cache.Policy[int]
	}{
		{"Jitter", cache.Policy[int]{Jitter: -0.1}},
		{"Jitter", cache.Policy[int]{Jitter: 1.1}},
		{"Jitter", cache.Policy[int]{Jitter: math.NaN()}},
		{"StaleFor", cache.Policy[int]{StaleFor: -1}},
		{"StaleFor", cache.Policy[int]{StaleFor: 1, Fresh: fresh}},
		{"StaleAfter", cache.Policy[int]{StaleFor: time.Hour, StaleAfter: -time.Second}},
		{"StaleAfter", cache.Policy[int]{StaleAfter: time.Second}},
		{"EarlyRefresh", cache.Policy[int]{EarlyRefresh: -1}},
		{"EarlyRefresh", cache.Policy[int]{EarlyRefresh: math.Inf(1)}},
		{"EarlyRefresh", cache.Policy[int]{EarlyRefresh: math.NaN()}},
		{"EarlyRefresh", cache.Policy[int]{EarlyRefresh: 1, Fresh: fresh}},
		{"NegativeTTL", cache.Policy[int]{NegativeTTL: -1}},
		{"", cache.Policy[int]{Jitter: 1, EarlyRefresh: 100, StaleFor: time.Millisecond, NegativeTTL: time.Millisecond}},
		{"", cache.Policy[int]{Jitter: 1, NegativeTTL: time.Millisecond, Fresh: fresh}},
	} {
		_, err := cache.New(service, "c", test.policy)
		var option *cache.OptionError
		if errors.As(err, &option) != (test.name != "") || option != nil && option.Name != test.name {
			t.Errorf("%+v: %v, want one about %q", test.policy, err, test.name)
		}
	}
}
