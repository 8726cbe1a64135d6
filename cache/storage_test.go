package cache_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/noop"
)

// shared is a storage that outlives its Services. It can be down.
type shared struct {
	*table
	id   atomic.Pointer[string]
	down atomic.Bool
}

func newShared(id string) *shared {
	s := &shared{table: new(table)}
	s.id.Store(&id)
	return s
}

func (s *shared) StorageID() string { return *s.id.Load() }

func (s *shared) Delete(ctx context.Context, keys ...string) error {
	if s.down.Load() {
		return errOutage
	}
	return s.table.Delete(ctx, keys...)
}

// outboxAfterKill returns the outbox of a Service on s that was stopped while the deletion of k was
// pending.
func outboxAfterKill(t *testing.T, s *shared, options cache.Options) *rows {
	t.Helper()
	outbox := new(rows)
	service := newService(t, s, options)
	if err := service.Start(t.Context(), in(t, service, func() cache.Outbox { return outbox })); err != nil {
		t.Fatal(err)
	}
	if err := service.Set(t.Context(), "k", 1, cache.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	s.down.Store(true)
	pending(t, service.Delete(t.Context(), "k"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := service.Stop(ctx); !errors.Is(err, cache.ErrRevocationPending) {
		t.Fatalf("Stop = %v", err)
	}
	s.down.Store(false)
	outbox.has(t, cache.Revocation{Key: ":k"})
	return outbox
}

// A pending revocation of one storage is not settled by another storage. When the process comes
// back on the first one, it is applied before a hit is served.
func TestPendingRevocationNamesItsStorage(t *testing.T) {
	t.Parallel()
	shop := cache.Options{Namespace: "shop", StrategyName: "redis"}
	other := shop
	other.Namespace = "other"
	for name, test := range map[string]struct {
		strategy func(s *shared) driver.Strategy
		options  cache.Options
		applied  bool // harmless, and it may be needed
	}{
		"noop":                  {func(*shared) driver.Strategy { return noop.Strategy{} }, shop, false},
		"bigcache":              {func(*shared) driver.Strategy { return newBigcache(t) }, shop, false},
		"bigcache, decorated":   {func(*shared) driver.Strategy { s, _ := drivertest.Record(newBigcache(t)); return s }, shop, false},
		"another namespace":     {func(*shared) driver.Strategy { return newShared("two") }, other, false},
		"another strategy":      {func(*shared) driver.Strategy { return new(table) }, cache.Options{Namespace: "shop", StrategyName: "memcached"}, false},
		"another server":        {func(*shared) driver.Strategy { return newShared("two") }, shop, true},
		"one that is not known": {func(*shared) driver.Strategy { return newShared("") }, shop, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			first := newShared("one")
			outbox := outboxAfterKill(t, first, shop)
			log := new(logBook)
			options := test.options
			options.Logger = log.logger()
			between := startWith(t, test.strategy(first), options, outbox)
			if err := between.Delete(t.Context(), "k"); err != nil {
				t.Errorf("%s: Delete = %v", name, err)
			}
			<-time.After(time.Second)
			if err := between.Stop(t.Context()); err != nil {
				t.Errorf("%s: Stop = %v", name, err)
			}
			outbox.has(t, cache.Revocation{Key: ":k"})
			if warned := log.count("for another storage"); (warned == 0) != test.applied {
				t.Errorf("%s: warned %d times:\n%s", name, warned, log)
			}
			again := startWith(t, first, shop, outbox)
			mustMiss(t, again, "k")
			<-time.After(time.Second)
			outbox.has(t)
		})
	}
}

// A row is recognised even if its storage comes back under another name of its strategy, as with
// tiered. It is also recognised if it names no storage, because it is from an earlier release, or
// no id, because the storage had never been reached.
func TestPendingRevocationsOfKnownStorages(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Hour).UTC()
	for name, row := range map[string]cache.Revocation{
		"an earlier release":       {Key: ":k"},
		"another strategy":         {Key: ":k", Storage: "tiered/shop/one", Until: until},
		"an outage from the start": {Key: ":k", Storage: "redis/shop/", Until: until},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newShared("one")
			if err := s.Set(t.Context(), "shop::k", []byte("1"), cache.SetOptions{TTL: time.Hour}); err != nil {
				t.Fatal(err)
			}
			row := row
			if !row.Until.IsZero() {
				row.Until = time.Now().Add(time.Hour).UTC()
			}
			outbox := &rows{kept: map[cache.Revocation]bool{row: true}}
			service := startWith(t, s, cache.Options{Namespace: "shop", StrategyName: "redis"}, outbox)
			mustMiss(t, service, "k")
			<-time.After(time.Second)
			if _, found := s.row("shop::k"); found {
				t.Errorf("%s: not applied", name)
			}
			outbox.has(t)
		})
	}
}

// Rows that have expired leave the outbox at the next start, whichever storage they are for. So do
// the rows of storages that ended with their processes.
func TestOutboxIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := newShared("one")
		outbox := outboxAfterKill(t, first, cache.Options{Namespace: "shop", StrategyName: "redis", MaxTTL: 24 * time.Hour})
		local, recorder := drivertest.Record(newBigcache(t))
		recorder.FailNext(drivertest.OpDelete, 1000, errOutage)
		service := newService(t, local, cache.Options{})
		if err := service.Start(t.Context(), in(t, service, func() cache.Outbox { return outbox })); err != nil {
			t.Fatal(err)
		}
		pending(t, service.Delete(t.Context(), "local"))
		outbox.has(t, cache.Revocation{Key: ":k"}, cache.Revocation{Key: ":local"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = service.Stop(ctx) // a revocation is pending
		next := func() {
			service := startWith(t, noop.Strategy{}, cache.Options{}, outbox)
			<-time.After(time.Second)
			if err := service.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
		next()
		outbox.has(t, cache.Revocation{Key: ":k"})
		<-time.After(26 * time.Hour)
		next()
		outbox.has(t)
	})
}

// A revocation that is added again and again for hours leaves the outbox, even if the outbox tells
// rows apart by all their fields.
func TestOutboxForgetsWhatWasPendingForHours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outbox, strategy := new(rows), newFragile(t)
		service := startWith(t, strategy, cache.Options{}, outbox)
		strategy.revocations.Store(true)
		for range 3 {
			pending(t, service.Delete(t.Context(), "k"))
			pending(t, service.Delete(t.Context(), "k"))
			<-time.After(time.Hour)
		}
		strategy.revocations.Store(false)
		<-time.After(time.Second)
		outbox.has(t)
	})
}

// Two applications with the same namespace on one storage would read each other's entries. So the
// default is refused.
func TestSharedStorageNeedsANamespace(t *testing.T) {
	t.Parallel()
	recorded, _ := drivertest.Record(newShared("one"))
	for name, strategy := range map[string]driver.Strategy{"shared": newShared("one"), "decorated": recorded} {
		for namespace, refused := range map[string]bool{"": true, "app": true, "shop": false} {
			_, err := cache.NewService(strategy, cache.Options{Namespace: namespace, StrategyName: "redis"})
			var option *cache.OptionError
			if refused != (errors.As(err, &option) && option.Name == "namespace" && strings.Contains(option.Reason, "redis is shared")) || !refused && err != nil {
				t.Errorf("%s, namespace %q: %v", name, namespace, err)
			}
		}
	}
	if _, err := cache.NewService(newBigcache(t), cache.Options{}); err != nil {
		t.Errorf("bigcache: %v", err)
	}
}
