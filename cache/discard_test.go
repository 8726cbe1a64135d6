package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// sick is a Codec that cannot decode data that begins with "bad".
type sick struct {
	cache.JSON
	met func()
}

func (c sick) Unmarshal(data []byte, target any) error {
	if strings.HasPrefix(string(data), `"bad`) {
		if c.met != nil {
			c.met()
		}
		return errors.New("cannot be decoded")
	}
	return c.JSON.Unmarshal(data, target)
}

// A storage refuses to delete an entry that cannot be decoded. That affects this entry only: no
// revocation is pending, other keys are hits, and the breaker stays closed.
func TestDiscardIsBestEffort(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		synctest.Test(t, func(t *testing.T) {
			outbox, inner := new(rows), kind.make(t)
			recorded, recorder := drivertest.Record(inner)
			service := startWith(t, recorded, cache.Options{Codec: sick{}, BreakerFailures: 3}, outbox)
			c := newCache(t, service, "c", cache.Policy[string]{})
			if err := c.SetMany(t.Context(), map[string]string{"a": "bad", "b": "bad too", "good": "good"}); err != nil {
				t.Fatal(err)
			}
			recorder.FailNext(drivertest.OpDelete, 1<<20, fmt.Errorf("NOREPLICAS: %w", cache.ErrUnavailable))
			good := func() {
				t.Helper()
				if _, found, err := c.Get(t.Context(), "good"); !found || err != nil {
					t.Fatalf("%s: another key: %v, %v", kind.name, found, err)
				}
			}
			for range 20 {
				for _, key := range []string{"a", "b"} {
					if _, found, err := c.Get(t.Context(), key); found || err != nil {
						t.Errorf("%s: Get = %v, %v", kind.name, found, err)
					}
				}
				good()
				if found, err := c.GetMany(t.Context(), "a", "b", "good"); len(found) != 1 || err != nil {
					t.Errorf("%s: GetMany = %v, %v", kind.name, found, err)
				}
			}
			if tries := recorder.Count(drivertest.OpDelete); tries != 1 {
				t.Errorf("%s: %d tries on a storage that refuses, want one in breaker_pause", kind.name, tries)
			}
			pass(time.Second)
			if _, _, err := c.Get(t.Context(), "a"); err != nil || recorder.Count(drivertest.OpDelete) != 2 {
				t.Errorf("%s: after breaker_pause: %v, %d tries", kind.name, err, recorder.Count(drivertest.OpDelete))
			}
			if got, err := c.GetOrLoad(t.Context(), "a", value("loaded")); got != "loaded" || err != nil {
				t.Errorf("%s: GetOrLoad = %v, %v", kind.name, got, err)
			}
			good()
			outbox.has(t)
			if stats := service.Stats(); stats.PendingRevocations != 0 || stats.DeleteErrors != 0 || stats.ShortCircuited != 0 || stats.Errors != 0 {
				t.Errorf("%s: %+v", kind.name, stats)
			}
		})
	}
}

// Many damaged entries are discarded in one call.
func TestDiscardOfMany(t *testing.T) {
	t.Parallel()
	for name, strategy := range manyKinds(t) {
		if strings.HasPrefix(name, "hashed") {
			continue
		}
		service, recorder, _ := record(t, strategy, cache.Options{Codec: sick{}, Timeout: time.Minute})
		c := newCache(t, service, "c", cache.Policy[string]{})
		values, keys := map[string]string{"good": "good"}, []string{"good"}
		for i := range 100 {
			key := fmt.Sprint(i)
			values[key], keys = "bad", append(keys, key)
		}
		if err := c.SetMany(t.Context(), values); err != nil {
			t.Fatal(err)
		}
		recorder.Reset()
		got, err := c.GetMany(t.Context(), keys...)
		if len(got) != 1 || err != nil {
			t.Errorf("%s: GetMany = %v, %v", name, got, err)
		}
		var deletions []drivertest.Operation
		for _, o := range recorder.Operations() {
			if o.Name == drivertest.OpDelete {
				deletions = append(deletions, o)
			}
		}
		if len(deletions) != 1 || len(deletions[0].Keys) != 100 || slices.Contains(deletions[0].Keys, "app:c:good") {
			t.Errorf("%s: %d deletions, want one of 100 keys", name, len(deletions))
		}
		if stats := service.Stats(); stats.Corrupt != 100 || stats.Misses != 100 || stats.Hits != 1 {
			t.Errorf("%s: %+v", name, stats)
		}
	}
}

// Nothing is discarded for a caller that has left.
func TestNoDiscardAfterTheEnd(t *testing.T) {
	t.Parallel()
	var leave context.CancelFunc
	service, recorder, _ := record(t, newBigcache(t), cache.Options{Codec: sick{met: func() { leave() }}})
	c := newCache(t, service, "c", cache.Policy[string]{})
	if err := c.SetMany(t.Context(), map[string]string{"a": "bad", "b": "bad"}); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(context.Context) error{
		"Get":     func(ctx context.Context) error { _, _, err := c.Get(ctx, "a"); return err },
		"GetMany": func(ctx context.Context) error { _, err := c.GetMany(ctx, "a", "b"); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		leave = cancel
		if err := read(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if ctx.Err() == nil {
			t.Errorf("%s: the context has not ended, and the test proves nothing", name)
		}
	}
	if stats := service.Stats(); recorder.Count(drivertest.OpDelete) != 0 || stats.PendingRevocations != 0 || stats.Corrupt != 3 {
		t.Errorf("%d deletions, %+v", recorder.Count(drivertest.OpDelete), stats)
	}
	leave = func() {}
	if _, _, err := c.Get(t.Context(), "a"); err != nil || recorder.Count(drivertest.OpDelete) != 1 {
		t.Errorf("the next reader: %v, %d deletions", err, recorder.Count(drivertest.OpDelete))
	}
}

// If a decoder says that it does not know the form of an entry, such as that of a later release,
// the entry stays.
type tomorrow struct{}

func (tomorrow) AppendBinary(dst []byte) ([]byte, error) { return append(dst, 2), nil }
func (*tomorrow) UnmarshalBinary([]byte) error           { return fmt.Errorf("version 2: %w", cache.ErrForeign) }

func TestForeignForItsDecoder(t *testing.T) {
	t.Parallel()
	storage := new(table)
	service := start(t, storage, cache.Options{})
	values := newCache(t, service, "values", cache.Policy[tomorrow]{})
	pointers := newCache(t, service, "pointers", cache.Policy[*tomorrow]{})
	if err := errors.Join(values.Set(t.Context(), "k", tomorrow{}), pointers.Set(t.Context(), "k", &tomorrow{})); err != nil {
		t.Fatal(err)
	}
	_, found, err := values.Get(t.Context(), "k")
	_, foundToo, errToo := pointers.Get(t.Context(), "k")
	if found || foundToo || err != nil || errToo != nil {
		t.Errorf("%v, %v; %v, %v", found, err, foundToo, errToo)
	}
	for _, key := range []string{"app:values:k", "app:pointers:k"} {
		if _, kept := storage.row(key); !kept {
			t.Errorf("%s is gone", key)
		}
	}
	if stats := service.Stats(); stats.Foreign != 2 || stats.Corrupt != 0 || stats.Misses != 2 {
		t.Errorf("%+v", stats)
	}
}

// A loaded value that cannot be stored hides the value that it should have replaced. If the lease
// was granted because there was no entry, nothing is deleted, so no revocation can be pending.
func TestUnstorableFill(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		for _, old := range []string{"", "stale", "damaged", "foreign"} {
			for _, down := range []bool{false, true} {
				name := fmt.Sprintf("%s, old value %q, storage fails %v", kind.name, old, down)
				synctest.Test(t, func(t *testing.T) {
					outbox := new(rows)
					storage, recorder := drivertest.Record(kind.make(t))
					service := startWith(t, storage, cache.Options{Codec: sick{}, MaxValueBytes: 100}, outbox)
					c := newCache(t, service, "c", cache.Policy[string]{Fresh: func(v string) bool { return v != "stale" }})
					switch old {
					case "foreign":
						if err := newCache(t, peer(t, storage, cache.Options{}), "c", cache.Policy[point]{}).Set(t.Context(), "k", point{}); err != nil {
							t.Fatal(err)
						}
					case "damaged":
						if err := c.Set(t.Context(), "k", "bad"); err != nil {
							t.Fatal(err)
						}
						// it cannot be discarded
						recorder.FailNext(drivertest.OpDelete, 1, errOutage)
					case "stale":
						if err := c.Set(t.Context(), "k", old); err != nil {
							t.Fatal(err)
						}
					}
					got, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (string, error) {
						recorder.Reset()
						if down {
							recorder.FailNext(drivertest.OpDelete, 5, errOutage)
							recorder.FailNext(drivertest.OpRelease, 5, errOutage)
						}
						return strings.Repeat("x", 200), nil
					})
					if len(got) != 200 || err != nil {
						t.Errorf("%s: GetOrLoad = %d bytes, %v", name, len(got), err)
					}
					synctest.Wait()
					pendings := service.Stats().PendingRevocations
					if hides := old != ""; (recorder.Count(drivertest.OpDelete) > 0) != hides || (pendings > 0) != (hides && down) {
						t.Errorf("%s: %d deletions, %d pending", name, recorder.Count(drivertest.OpDelete), pendings)
					}
					if old == "" {
						outbox.has(t)
					}
					recorder.Reset()
					if down { // the outage ends
						pass(time.Minute)
					}
					if _, found, _ := storage.Get(t.Context(), "app:c:k"); found {
						t.Errorf("%s: the old value is still there", name)
					}
					// The lease was given up, or has expired.
					began := time.Now()
					if got, err := c.GetOrLoad(t.Context(), "k", value("small")); got != "small" || err != nil || time.Since(began) != 0 {
						t.Errorf("%s: the next load: %q, %v after %v", name, got, err, time.Since(began))
					}
				})
			}
		}
	}
}

// badKey is a strategy that holds something other than an entry under one key.
type badKey struct {
	driver.Leaser
	key string
}

func (s badKey) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if key == s.key {
		return nil, false, fmt.Errorf("WRONGTYPE: %w", driver.ErrBadEntry)
	}
	return s.Leaser.Get(ctx, key)
}

func (s badKey) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	if key == s.key {
		return nil, false, nil, fmt.Errorf("WRONGTYPE: %w", driver.ErrBadEntry)
	}
	return s.Leaser.GetOrLease(ctx, key)
}

func (s badKey) Delete(ctx context.Context, keys ...string) error {
	if slices.Contains(keys, s.key) {
		return fmt.Errorf("WRONGTYPE: %w", driver.ErrBadEntry)
	}
	return s.Leaser.Delete(ctx, keys...)
}

// A key that the storage cannot read does not make other keys fail. But a revocation of that key is
// not done.
func TestBadEntryIsNoOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newBigcache(t)
		if err := inner.Init(t.Context(), drivertest.NewInjector(t, cache.Options{}.WithDefaults())); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = inner.Destroy(context.Background()) }()
		service := newService(t, badKey{inner, "app:c:bad"}, cache.Options{BreakerFailures: 2})
		if err := service.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = service.Stop(context.Background()) }()
		c := newCache(t, service, "c", cache.Policy[int]{})
		if err := c.Set(t.Context(), "good", 1); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			pass(time.Second) // failures that last open the circuit breaker
			if _, found, err := c.Get(t.Context(), "bad"); found || !errors.Is(err, driver.ErrBadEntry) {
				t.Errorf("Get = %v, %v", found, err)
			}
			if got, err := c.GetOrLoad(t.Context(), "bad", value(2)); got != 2 || err != nil {
				t.Errorf("GetOrLoad = %v, %v", got, err)
			}
			if _, err := c.GetMany(t.Context(), "bad", "bad"); !errors.Is(err, driver.ErrBadEntry) {
				t.Errorf("GetMany: %v", err)
			}
		}
		if got, found, err := c.Get(t.Context(), "good"); got != 1 || !found || err != nil {
			t.Errorf("another key = %v, %v, %v", got, found, err)
		}
		if n := service.Stats().ShortCircuited; n != 0 {
			t.Errorf("%d operations were not tried", n)
		}
		pending(t, c.Delete(t.Context(), "bad"))
	})
}

// If all of many keys fail, and the error of one of them shows an outage, the batch counts as a
// failure.
func TestBadEntriesDoNotHideAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strategy := &batching{Leaser: newBigcache(t), fails: map[string]error{"app:c:a": driver.ErrBadEntry, "app:c:b": cache.ErrUnavailable, "app:c:c": driver.ErrBadEntry}}
		service := start(t, strategy, cache.Options{BreakerFailures: 1, BreakerPause: time.Hour, Timeout: 50 * time.Millisecond})
		c := newCache(t, service, "c", cache.Policy[int]{})
		// The breaker opens only if failures go on for some timeouts.
		again := func(want error, keys ...string) {
			t.Helper()
			for range 4 {
				if _, err := c.GetMany(t.Context(), keys...); !errors.Is(err, want) {
					t.Error(err)
				}
				<-time.After(4 * service.Options().Timeout)
			}
		}
		again(driver.ErrBadEntry, "a", "c")
		if n := service.Stats().ShortCircuited; n != 0 {
			t.Errorf("%d operations were not tried", n)
		}
		again(cache.ErrUnavailable, "a", "b", "c")
		if _, _, err := c.Get(t.Context(), "d"); !errors.Is(err, cache.ErrUnavailable) || service.Stats().ShortCircuited != 1 {
			t.Errorf("%v, %d operations were not tried", err, service.Stats().ShortCircuited)
		}
	})
}
