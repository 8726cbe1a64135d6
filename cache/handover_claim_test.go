package cache_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// What the new storage holds from earlier is cleared before its first read, unless another node has
// done so since this one began to tell the storage of its revocations: then there is a claim that
// was not there when it began.
func TestClaims(t *testing.T) {
	t.Parallel()
	const claim = "shop:claim"
	for name, test := range map[string]struct {
		before, during func(t *testing.T, b watched) // the announcement, and the first phase
		cleared        bool
	}{
		"none":    {cleared: true},
		"older":   {before: func(t *testing.T, b watched) { b.put(t, claim, []byte("x")) }, cleared: true},
		"younger": {during: func(t *testing.T, b watched) { b.put(t, claim, []byte("x")) }},
		"younger than an older one": {
			before: func(t *testing.T, b watched) { b.put(t, claim, []byte("x")) },
			during: func(t *testing.T, b watched) { b.put(t, claim, []byte("y")) },
		},
		"lost": {
			before:  func(t *testing.T, b watched) { b.put(t, claim, []byte("x")) },
			during:  func(t *testing.T, b watched) { _ = b.Delete(t.Context(), claim) },
			cleared: true,
		},
		"unreadable at first": {
			before:  func(t *testing.T, b watched) { b.FailNext(drivertest.OpGet, 1, errOutage) },
			during:  func(t *testing.T, b watched) { b.put(t, claim, []byte("x")) },
			cleared: true,
		},
		"hanging at first": {
			before: func(t *testing.T, b watched) { b.DelayNext(drivertest.OpGet, 1, time.Hour) },
			during: func(t *testing.T, b watched) {
				pass(shop.Timeout)
				b.put(t, claim, []byte("x"))
			},
			cleared: true,
		},
		"unreadable at last": {during: func(t *testing.T, b watched) {
			b.put(t, claim, []byte("x"))
			b.FailNext(drivertest.OpGet, 1, errOutage)
		}, cleared: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
				s := newSwapping(t, a.strategy, shop)
				s.load(1, 1)
				b.raw(t, a.server)
				if test.before != nil {
					test.before(t, b)
				}
				s.to(b.strategy)
				if test.during != nil {
					test.during(t, b)
				}
				pass(handover)
				if n := b.Count(drivertest.OpClear); (n == 1) != test.cleared {
					t.Errorf("cleared %d times, want %t", n, test.cleared)
				}
				if _, found, err := s.Get(t.Context(), "k"); found == test.cleared || err != nil {
					t.Errorf("what was there is found: %t, %v", found, err)
				}
				if encoded, found, err := b.Get(t.Context(), claim); !found || len(encoded) == 0 || err != nil {
					t.Errorf("there is a claim for the others: %t, %v", found, err)
				}
			})
		})
	}
}

// A storage that is down at the switch serves no hits until it was cleared. Loads go on. If its
// turn is over before that, it is left alone.
func TestNewStorageIsDown(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]bool{"comes back": true, "is replaced": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
				s := newSwapping(t, a.strategy, shop)
				s.load(1, 1)
				b.raw(t, a.server)
				b.FailNext(drivertest.OpClear, 1e6, errOutage)
				s.to(b.strategy)
				pass(handover)
				s.load(2, 2)
				if _, found, err := s.Get(t.Context(), "k"); found || !errors.Is(err, cache.ErrUnavailable) {
					t.Errorf("Get = %t, %v, want no hits", found, err)
				}
				if h := s.service.Health(t.Context()); h.Status != cache.Degraded {
					t.Errorf("%+v", h)
				}
				if !back {
					s.to(watch(newServer(t, "c")).strategy)
					pass(2 * handover)
					b.Reset()
					pass(time.Hour)
					if n := len(b.Operations()); n > 0 || b.destroyed.Load() != 1 {
						t.Errorf("%d operations after its turn, destroyed %d times", n, b.destroyed.Load())
					}
					s.load(3, 3)
					s.load(4, 3)
					return
				}
				// The same storage again does not open it unseen.
				again := watch(b.server)
				again.FailNext(drivertest.OpClear, 3, errOutage)
				s.to(again.strategy)
				s.load(3, 3)
				pass(10 * time.Second)
				if n := again.Count(drivertest.OpClear); n != 4 {
					t.Errorf("%d tries, want 4", n)
				}
				s.load(4, 4)
				s.load(5, 4)
			})
		})
	}
}

// A claim that cannot be stored costs another Clear of another node, and nothing else.
func TestClaimThatCannotBeStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
		s := newSwapping(t, a.strategy, shop)
		b.FailNext(drivertest.OpSet, 1, driver.ErrInvalidKey)
		s.to(b.strategy)
		pass(handover)
		s.load(1, 1)
		s.load(2, 1)
	})
}

// Two nodes that are within one handover of each other: the second one does not clear what the
// first one has stored.
func TestSecondNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newServer(t, "a"), newServer(t, "b")
		nodes := []*swapping{newSwapping(t, watch(a).strategy, shop), newSwapping(t, watch(a).strategy, shop)}
		late := watch(b)
		nodes[0].to(watch(b).strategy)
		pass(handover - time.Second)
		nodes[1].to(late.strategy)
		pass(2 * time.Second)
		nodes[0].load(1, 1)
		nodes[1].load(2, 2)
		if err := nodes[1].Delete(t.Context(), "k"); err != nil { // reaches the other's storage
			t.Error(err)
		}
		nodes[0].load(3, 3)
		pass(handover)
		nodes[1].load(4, 3)
		if n := late.Count(drivertest.OpClear); n != 0 {
			t.Errorf("cleared %d times", n)
		}
	})
}

// Another strategy for the storage in use takes its place at once. Nothing is cleared, what is set
// stays, and what is pending stays pending.
func TestSameStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, "one")
		first, second := watch(server), watch(server)
		var log logBook
		options := shop
		options.Logger = log.logger()
		s := newSwapping(t, first.strategy, options)
		s.load(1, 1)
		s.to(second.strategy)
		s.load(2, 1)
		s.asks(1, first, second)
		if err := s.Set(t.Context(), "k", 3); err != nil {
			t.Error(err)
		}
		s.load(4, 3)
		if got, err := s.Update(t.Context(), "k", value(5)); got != 5 || err != nil {
			t.Errorf("Update = %d, %v", got, err)
		}
		s.load(6, 5)
		pass(handover)
		if n := first.Count(drivertest.OpClear) + second.Count(drivertest.OpClear); n != 0 || first.destroyed.Load() != 1 {
			t.Errorf("%d Clears, the old strategy is destroyed %d times", n, first.destroyed.Load())
		}
		s.tells([]watched{first, second}, false, true)

		second.FailNext(drivertest.OpDelete, 1e6, errOutage)
		s.load(7, 7)
		pending(t, s.Delete(t.Context(), "k"))
		third := watch(server)
		release := third.Block(drivertest.OpDelete)
		s.to(third.strategy)
		if _, found, err := s.Get(t.Context(), "k"); found || !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("Get = %t, %v while a revocation is pending", found, err)
		}
		s.load(8, 8)
		pass(2 * handover) // the old strategy is gone, and the revocation is pending all the same
		if n := second.destroyed.Load(); n != 1 || log.count("clear it before you go back") != 0 {
			t.Errorf("destroyed %d times, log:\n%s", n, log.String())
		}
		if _, found, err := s.Get(t.Context(), "k"); found || !errors.Is(err, cache.ErrRevocationPending) {
			t.Errorf("Get = %t, %v while a revocation is pending", found, err)
		}
		release()
		pass(time.Minute)
		s.load(9, 9)
		s.load(10, 9)
		wantPending(t, s.service, 0)
	})
}

// A storage is known by its address, unless its ID says that another one is there now.
func TestOneAddress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		id   string
		uses int // at once
	}{"the same": {"a", 1}, "not known yet": {"", 1}, "another one": {"b", 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := watch(newServer(t, "a")), watch(newServer(t, test.id))
				a.where, b.where = "redis:6379", "redis:6379"
				s := newSwapping(t, a.strategy, shop)
				s.load(1, 1)
				b.raw(t, a.server)
				s.to(b.strategy)
				s.asks(test.uses, a, b)
				pass(handover)
				s.asks(1, a, b)
				if _, found, err := s.Get(t.Context(), "k"); found != (test.uses == 1) || err != nil {
					t.Errorf("what was there is found: %t, %v", found, err)
				}
			})
		})
	}
}

// A strategy that is fenced does not see what happens by another one, so it is told.
func TestSameStorageFenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := newShared("one"), newShared("one")
		second.table = first.table
		strategy, recorder := drivertest.Record(first)
		s := newSwapping(t, strategy, shop)
		release := recorder.Block(drivertest.OpSet)
		loaded := async(func() (int, error) { return s.GetOrLoad(t.Context(), "k", value(1)) })
		synctest.Wait()
		s.to(second)
		set := async(func() (int, error) { return 0, s.Set(t.Context(), "k", 2) })
		synctest.Wait()
		release() // the fill of what was loaded before
		<-loaded
		if got := <-set; got.err != nil {
			t.Error(got.err)
		}
		if got, found, err := s.Get(t.Context(), "k"); found && got != 2 || err != nil {
			t.Errorf("Get = %d, %v", got, err)
		}
	})
}

// Revocations that an earlier process has left for the new storage are applied to it.
func TestOutboxOfTheNewStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
		outbox := new(rows)
		if err := outbox.Add(t.Context(), []cache.Revocation{{Tag: "all", Storage: "test/shop/b", Until: time.Now().Add(time.Hour)}}); err != nil {
			t.Fatal(err)
		}
		options := shop
		options.StrategyName = "another"
		service := startWith(t, a.strategy, options, outbox)
		outbox.has(t, cache.Revocation{Tag: "all"})
		b.FailNext(drivertest.OpInvalidate, 1, errOutage)
		if err := reconfigure(service, b.strategy, shop); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if n := b.Count(drivertest.OpInvalidate); n != 2 {
			t.Errorf("%d invalidations, want one that fails and one more", n)
		}
		outbox.has(t)
	})
}
