package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// An operation that gets no answer ends after exactly Options.Timeout, with ErrUnavailable. If its
// caller leaves, it ends with the caller's error.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]string{
		"Service.Get": drivertest.OpGet, "Service.Set": drivertest.OpSet, "Service.Delete": drivertest.OpDelete,
		"Service.InvalidateTags": drivertest.OpInvalidate, "Cache.Get": drivertest.OpGet,
		"Cache.Set": drivertest.OpSet, "Cache.Delete": drivertest.OpDelete, "Cache.InvalidateTags": drivertest.OpInvalidate,
	} {
		for _, kind := range kinds {
			synctest.Test(t, func(t *testing.T) {
				service, recorder, _ := record(t, kind.make(t), cache.Options{Timeout: 70 * time.Millisecond})
				c := newCache(t, service, "c", cache.Policy[int]{})
				defer recorder.Block(op)()

				began := time.Now()
				err := operations[name](t.Context(), service, c)
				if d := time.Since(began); !errors.Is(err, cache.ErrUnavailable) || d != 70*time.Millisecond {
					t.Errorf("%s over %s: %v after %v", name, kind.name, err, d)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
				defer cancel()
				err = operations[name](ctx, service, c)
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, cache.ErrUnavailable) {
					t.Errorf("%s over %s, the caller's deadline: %v", name, kind.name, err)
				}
				cancelled, cancelNow := context.WithCancel(t.Context())
				call := async(func() (any, error) { return nil, operations[name](cancelled, service, c) })
				synctest.Wait()
				cancelNow()
				if got := <-call; !errors.Is(got.err, context.Canceled) || errors.Is(got.err, cache.ErrUnavailable) {
					t.Errorf("%s over %s, cancelled: %v", name, kind.name, got.err)
				}
			})
		}
	}
}

// deadlines records whether the last operation had a deadline.
type deadlines struct {
	table
	seen bool
}

func (s *deadlines) Get(ctx context.Context, key string) ([]byte, bool, error) {
	_, s.seen = ctx.Deadline()
	return s.table.Get(ctx, key)
}

func (s *deadlines) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	_, s.seen = ctx.Deadline()
	return s.table.Set(ctx, key, value, opts)
}

type localDeadlines struct{ *deadlines }

func (localDeadlines) Local() {}

// A Local strategy gets no deadline, and so no timer. Every other one gets a deadline.
func TestLocalHasNoDeadline(t *testing.T) {
	t.Parallel()
	for _, local := range []bool{false, true} {
		inner := new(deadlines)
		var strategy driver.Strategy = inner
		if local {
			strategy = localDeadlines{inner}
		}
		service := start(t, strategy, cache.Options{})
		mustSet(t, service, "k", 1, cache.SetOptions{})
		if inner.seen == local {
			t.Errorf("local = %v: Set with deadline: %v", local, inner.seen)
		}
		if _, err := service.Get(t.Context(), "k", new(int)); err != nil || inner.seen == local {
			t.Errorf("local = %v: Get with deadline: %v, %v", local, inner.seen, err)
		}
	}
}

// Errors name the operation and the strategy, and keep the cause.
func TestErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ recorded, op string }{
		"Service.Get":            {drivertest.OpGet, "get"},
		"Service.Set":            {drivertest.OpSet, "set"},
		"Service.Delete":         {drivertest.OpDelete, "delete"},
		"Service.InvalidateTags": {drivertest.OpInvalidate, "invalidate"},
		"Service.Clear":          {drivertest.OpClear, "clear"},
	} {
		service, recorder, _ := record(t, newBigcache(t), cache.Options{StrategyName: "bigcache"})
		recorder.FailNext(test.recorded, 1, errOutage)
		err := operations[name](t.Context(), service, newCache(t, service, "c", cache.Policy[int]{}))
		wrapped, ok := err.(*cache.Error) //nolint:errorlint // wrapped once, on the outside
		if !ok || !errors.Is(err, errOutage) || wrapped.Op != test.op || wrapped.Strategy != "bigcache" {
			t.Errorf("%s: %v", name, err)
		}
		text := err.Error()
		if !strings.HasPrefix(text, "cache "+test.op+" (bigcache): ") || !strings.HasSuffix(text, ": connection refused") {
			t.Errorf("%s: %q", name, err)
		}
	}
	service := newService(t, new(table), cache.Options{StrategyName: "-"})
	if name := service.Options().StrategyName; name != "-" {
		t.Errorf("StrategyName = %q", name)
	}
	unnamed, err := cache.NewService(new(table), cache.Options{})
	if err != nil || unnamed.Options().StrategyName != "*cache_test.table" {
		t.Errorf("the default StrategyName is %q, %v", unnamed.Options().StrategyName, err)
	}
}

// stamped fails to decode, with a message that quotes the input.
type stamped struct{ At time.Time }

// V19: whatever goes wrong, no key, tag or value appears in a log or an error message.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	const key, tag, payload = "KEYdistinct", "TAGdistinct", "VALUEdistinct"
	log := new(logBook)
	service, recorder, strategy := record(t, newBigcache(t), cache.Options{MaxKeyBytes: 200, Logger: log.logger()})
	ctx := t.Context()
	var messages []string
	note := func(err error) {
		if err != nil {
			messages = append(messages, fmt.Sprintf("%v|%+v", err, err))
			for unwrapped := err; unwrapped != nil; unwrapped = errors.Unwrap(unwrapped) {
				messages = append(messages, unwrapped.Error())
			}
		}
	}
	get := func(key string, target any) { _, err := service.Get(ctx, key, target); note(err) }
	for _, op := range []string{drivertest.OpGet, drivertest.OpSet, drivertest.OpDelete, drivertest.OpInvalidate, drivertest.OpFill, drivertest.OpGetOrLease} {
		recorder.FailNext(op, 1, errOutage)
	}
	c := newCache(t, service, "c", cache.Policy[string]{Tags: []string{tag}})
	for range 2 {
		get(key, new(string))
		note(service.Set(ctx, key, payload, cache.SetOptions{Tags: []string{tag}}))
		note(service.Delete(ctx, key))
		note(service.InvalidateTags(ctx, tag))
		_, err := c.GetOrLoad(ctx, key, value(payload))
		note(err)
	}
	long := strings.Repeat(key, 30)
	note(service.Set(ctx, key, payload, cache.SetOptions{TTL: -1}))
	note(service.Set(ctx, key, payload, cache.SetOptions{Tags: []string{long}}))
	note(service.Set(ctx, long, payload, cache.SetOptions{}))
	note(service.Set(ctx, key, json.Number(payload), cache.SetOptions{}))
	_, err := c.GetOrLoad(ctx, key+"panic", func(context.Context) (string, error) { panic(payload) })
	note(err)
	_, err = c.Update(ctx, key+"panic", func(context.Context) (string, error) { panic(payload) })
	note(err)
	// These are foreign values. A decoder's message would quote a part of each.
	for i, raw := range []string{`{"At":"` + payload + `"}`, `"` + payload + `"`, payload, `{"At":{}}` + payload} {
		mustSet(t, service, "x", stamped{}, cache.SetOptions{})
		var planted []byte
		planted = append(append(planted, envelopeOf(t, strategy)...), raw...)
		k := fmt.Sprint(key, i)
		if err := strategy.Set(ctx, "app::"+k, planted, cache.SetOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		// a Service has its own throttles
		bare := start(t, strategyOnly{strategy}, cache.Options{Logger: log.logger()})
		if found, err := bare.Get(ctx, k, new(stamped)); found || err != nil {
			t.Errorf("%q: %v, %v", raw, found, err)
		}
	}
	if log.count("could not be decoded") == 0 || log.count("level=WARN") < 3 {
		t.Errorf("the log is too short to prove anything:\n%s", log)
	}
	for _, text := range append(messages, log.String()) {
		for _, secret := range []string{key, tag, payload} {
			if strings.Contains(text, secret) {
				t.Errorf("%s leaks in:\n%s", secret, text)
			}
		}
	}
}

// strategyOnly hides Init and Destroy, so that a second Service can share a started strategy.
type strategyOnly struct{ driver.Strategy }

// envelopeOf returns the header of a stored entry of key "x".
func envelopeOf(t *testing.T, strategy driver.Strategy) []byte {
	t.Helper()
	raw, found, err := strategy.Get(t.Context(), "app::x")
	if !found || err != nil {
		t.Fatal(found, err)
	}
	return raw[:envelope]
}

// Each kind of warning is logged once in ten seconds, with the number of those that were not
// logged.
func TestWarningsAreThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBook)
		service, recorder, _ := record(t, newBigcache(t), cache.Options{Logger: log.logger()})
		c := newCache(t, service, "c", cache.Policy[int]{})
		recorder.FailNext(drivertest.OpGet, 1000, errOutage)
		load := func() {
			t.Helper()
			if got, err := c.GetOrLoad(t.Context(), "k", value(1)); got != 1 || err != nil {
				t.Fatal(got, err)
			}
		}
		for range 8 {
			load()
		}
		<-time.After(10*time.Second - 1)
		load()
		if log.count("reads fail") != 1 || log.count("suppressed=0") != 1 || log.count("strategy=test") != 1 {
			t.Errorf("want one warning:\n%s", log)
		}
		<-time.After(1)
		load()
		if log.count("reads fail") != 2 || log.count("suppressed=8") != 1 {
			t.Errorf("want a second warning that tells of 8 others:\n%s", log)
		}
		// Another kind of warning has an interval of its own.
		recorder.FailNext(drivertest.OpLease, 1, errOutage)
		if _, err := c.Update(t.Context(), "k", value(1)); err != nil {
			t.Fatal(err)
		}
		if log.count("no leases") != 1 {
			t.Errorf("no warning of the other kind:\n%s", log)
		}
	})
}

// Stats and the instruments of OpenTelemetry agree, also after a restart.
func TestMetricsAgreeWithStats(t *testing.T) {
	t.Parallel()
	meter := new(meter)
	recorded, recorder := drivertest.Record(newBigcache(t))
	service := newService(t, recorded, cache.Options{StrategyName: "big", MeterProvider: meter.provider()})
	c := newCache(t, service, "c", cache.Policy[int]{})
	for range 2 {
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for op, n := range map[string]int{drivertest.OpGet: 2, drivertest.OpSet: 1, drivertest.OpDelete: 1, drivertest.OpFill: 1} {
			recorder.FailNext(op, n, errOutage)
		}
		for i := range 5 {
			for _, operation := range operations {
				_ = operation(t.Context(), service, c) // some are to fail
			}
			_, _ = c.GetOrLoad(t.Context(), fmt.Sprint("loaded", i), value(1))
			_ = c.Set(t.Context(), "hit", 1)
			_, _, _ = c.Get(t.Context(), "hit")
			_, _ = c.GetOrLoad(t.Context(), "failing", func(context.Context) (int, error) { return 0, errOutage })
			_, _ = c.GetOrLoad(t.Context(), "refused", func(ctx context.Context) (int, error) { return 0, c.Delete(ctx, "refused") })
		}
		stats := service.Stats()
		want := map[string]uint64{
			"fxcache.reads/hit": stats.Hits, "fxcache.reads/miss": stats.Misses, "fxcache.reads/error": stats.Errors,
			"fxcache.reads/corrupt": stats.Corrupt, "fxcache.reads/foreign": stats.Foreign, "fxcache.loads/started": stats.Loads, "fxcache.loads/failed": stats.LoadErrors, "fxcache.loads/not_found": stats.NotFound,
			"fxcache.loads/not_modified": stats.NotModified, "fxcache.reads/stale": stats.StaleHits, "fxcache.reads/negative": stats.NegativeHits, "fxcache.loads/background": stats.Refreshes,
			"fxcache.loads/shared": stats.SharedLoads, "fxcache.loads/rejected": stats.RejectedLoads, "fxcache.loads/waited": stats.WaitedLoads,
			"fxcache.short_circuits/open": stats.ShortCircuited, "fxcache.pending_revocations/": stats.PendingRevocations,
			"fxcache.loads/lease_timeout": stats.LeaseTimeouts,
			"fxcache.fills/stored":        stats.Filled, "fxcache.fills/refused": stats.Refused, "fxcache.fills/failed": stats.Unfilled,
			"fxcache.fills/lease_expired": stats.LeaseExpired, "fxcache.fills/unstorable": stats.Unstorable,
			"fxcache.sets/ok": stats.Sets, "fxcache.sets/error": stats.SetErrors,
			"fxcache.revocations/ok": stats.Deletes, "fxcache.revocations/error": stats.DeleteErrors,
		}
		if got := counts(t, meter); !maps.Equal(got, want) {
			t.Errorf("metrics %v\nstats %v", got, want)
		}
		if stats.Hits == 0 || stats.Errors == 0 || stats.Unfilled == 0 || stats.Refused == 0 || stats.LoadErrors == 0 || stats.SetErrors == 0 {
			t.Errorf("too little happened to prove anything: %+v", stats)
		}
		if err := service.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := counts(t, meter); len(got) != 0 {
			t.Errorf("a stopped service still measures: %v", got)
		}
	}
}

// counts returns what a meter measures, by instrument and outcome.
func counts(t *testing.T, meter *meter) map[string]uint64 {
	t.Helper()
	counts := map[string]uint64{}
	for _, one := range meter.collect(t) {
		outcome, _ := one.attributes.Value("outcome")
		if strategy, _ := one.attributes.Value("strategy"); strategy.AsString() != "big" {
			t.Errorf("strategy = %q", strategy.AsString())
		}
		counts[one.instrument+"/"+outcome.AsString()] += uint64(one.value)
	}
	return counts
}
