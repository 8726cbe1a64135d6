package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// A storage that is replaced serves until the handover is over; then the new one does, and the old
// one is destroyed after as long again. Revocations go to both all the time.
func TestReplacedStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, next := newBigcache(t), newBigcache(t)
		service := start(t, old, cache.Options{Handover: handover})
		c := newCache(t, service, "c", cache.Policy[int]{Tags: []string{"all"}})
		loads := 0
		load := func(want int) {
			t.Helper()
			if _, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { loads++; return loads, nil }); err != nil || loads != want {
				t.Errorf("%d loads, %v, want %d", loads, err, want)
			}
		}
		load(1)
		if err := service.Reconfigure(t.Context(), nil, cache.Store{Strategy: next, Options: cache.Options{Handover: handover}}); err != nil {
			t.Fatal(err)
		}
		load(1)
		if err := c.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		load(2)
		pass(handover)
		load(3)
		load(3)
		if err := c.InvalidateTags(t.Context(), "all"); err != nil {
			t.Fatal(err)
		}
		load(4)
		pass(handover)
		load(4)
	})
}

// Whatever revokes or replaces an entry goes to both storages, before and after the new one is in
// use. What is not in use is neither read nor filled.
func TestBothStoragesAreTold(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, test := range map[string]struct {
		do    func(*swapping) error
		other string // what the storage that is not in use is asked
	}{
		"Delete":         {func(s *swapping) error { return s.Delete(ctx, "k") }, drivertest.OpDelete},
		"InvalidateTags": {func(s *swapping) error { return s.InvalidateTags(ctx, "all") }, drivertest.OpInvalidate},
		"Clear":          {func(s *swapping) error { return s.service.Clear(ctx) }, drivertest.OpClear},
		"Set":            {func(s *swapping) error { return s.Set(ctx, "k", 5) }, drivertest.OpDelete},
		"SetMany":        {func(s *swapping) error { return s.SetMany(ctx, map[string]int{"k": 5}) }, drivertest.OpDelete},
		"Service.Set":    {func(s *swapping) error { return s.service.Set(ctx, "k", 5, cache.SetOptions{}) }, drivertest.OpDelete},
		"Update": {func(s *swapping) error {
			_, err := s.Update(ctx, "k", value(5))
			return err
		}, drivertest.OpDelete},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
				s := newSwapping(t, a.strategy, shop)
				s.load(1, 1)
				s.to(b.strategy)
				b.Reset()
				act := func(other watched) {
					t.Helper()
					other.Reset()
					if err := test.do(s); err != nil {
						t.Error(err)
					}
					if _, err := s.GetOrLoad(ctx, "other", value(1)); err != nil {
						t.Error(err)
					}
					if got := names(other.Recorder); fmt.Sprint(got) != fmt.Sprint([]string{test.other}) {
						t.Errorf("the storage that is not in use is asked %v, want %s", got, test.other)
					}
				}
				act(b)
				pass(handover)
				if b.Count(drivertest.OpClear) == 0 {
					t.Error("the new storage was not cleared")
				}
				act(a)
				pass(handover)
				a.Reset()
				if err := test.do(s); err != nil || len(a.Operations()) > 0 || a.destroyed.Load() != 1 {
					t.Errorf("after the end: %v, the old storage is asked %v, destroyed %d times", err, names(a.Recorder), a.destroyed.Load())
				}
			})
		})
	}
}

// A revocation that began before the new storage was announced, and ends after, reaches it too.
func TestRevocationAcrossTheAnnouncement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
		s := newSwapping(t, a.strategy, shop)
		release := a.Block(drivertest.OpDelete)
		deleted := async(func() (int, error) { return 0, s.Delete(t.Context(), "k") })
		synctest.Wait()
		s.to(b.strategy)
		if n := b.Count(drivertest.OpDelete); n != 0 {
			t.Errorf("%d deletions at once, want none yet", n)
		}
		hold := b.Block(drivertest.OpDelete)
		release()
		synctest.Wait()
		select {
		case <-deleted:
			t.Fatal("Delete has returned before the new storage has done it")
		default:
		}
		hold()
		if d := <-deleted; d.err != nil {
			t.Error(d.err)
		}
	})
}

// What a load that began on the old storage returns after the switch is not stored, and nobody gets
// it who came after the switch.
func TestLoadAcrossTheSwitch(t *testing.T) {
	t.Parallel()
	many := func(ctx context.Context, s *swapping, load func(context.Context) (int, error)) (int, error) {
		values, err := s.GetOrLoadMany(ctx, []string{"k"}, func(ctx context.Context, _ []string) (map[string]int, error) {
			v, err := load(ctx)
			return map[string]int{"k": v}, err
		})
		return values["k"], err
	}
	for name, get := range map[string]func(context.Context, *swapping, func(context.Context) (int, error)) (int, error){
		"GetOrLoad": func(ctx context.Context, s *swapping, load func(context.Context) (int, error)) (int, error) {
			return s.GetOrLoad(ctx, "k", load)
		},
		"GetOrLoadMany": many,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
				options := shop
				options.LockWait = time.Hour
				s := newSwapping(t, a.strategy, options)
				s.to(b.strategy)
				gate := make(chan struct{})
				first := async(func() (int, error) {
					return get(t.Context(), s, func(context.Context) (int, error) { <-gate; return 1, nil })
				})
				pass(handover)
				second := async(func() (int, error) { return get(t.Context(), s, value(2)) })
				synctest.Wait()
				a.Reset()
				close(gate)
				if got := <-first; got.value != 1 || got.err != nil {
					t.Errorf("who came before the switch got %d, %v", got.value, got.err)
				}
				if got := <-second; got.value != 2 || got.err != nil {
					t.Errorf("who came after the switch got %d, %v, want a load of its own", got.value, got.err)
				}
				if n := a.Count(drivertest.OpFill) + a.Count(drivertest.OpFillMany); n != 0 {
					t.Errorf("%d fills of the old storage", n)
				}
				s.load(3, 2)
			})
		})
	}
}

// An old storage that is dead: revocations say so, and the new one serves. What is pending there is
// reported once, at the end, and dropped.
func TestDeadOldStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
		var log logBook
		options := shop
		options.Logger = log.logger()
		s := newSwapping(t, a.strategy, options)
		s.to(b.strategy)
		pass(handover)
		s.load(1, 1)
		a.FailNext(drivertest.OpDelete, 1e4, errOutage)
		pending(t, s.Delete(t.Context(), "k"))
		wantPending(t, s.service, 1)
		if h := s.service.Health(t.Context()); h.Status != cache.Ready || len(h.Reasons) != 1 {
			t.Errorf("%+v, want that it is ready, and what is pending", h)
		}
		s.load(2, 2)
		s.load(3, 2)
		pass(handover)
		wantPending(t, s.service, 0)
		if n := strings.Count(log.String(), "clear it before you go back to it"); n != 1 || a.destroyed.Load() != 1 {
			t.Errorf("%d reports, and destroyed %d times: %s", n, a.destroyed.Load(), log.String())
		}
		a.Reset()
		if err := s.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		pass(time.Hour)
		if got := names(a.Recorder); len(got) > 0 {
			t.Errorf("after the end, the old storage is asked %v", got)
		}
	})
}

// Further changes while one is under way: each node uses what it saw one handover ago, and tells
// every storage that another node may use.
func TestChangesInARow(t *testing.T) {
	t.Parallel()
	type at struct {
		when  time.Duration
		uses  int
		tells []bool
	}
	yes, no := true, false
	for name, test := range map[string]struct {
		second time.Duration // when the second change comes
		back   bool          // to the first storage
		want   []at
	}{
		"a third one, in the first phase": {10 * time.Second, false, []at{
			{11 * time.Second, 0, []bool{yes, yes, yes}}, {31 * time.Second, 1, []bool{yes, yes, yes}}, {41 * time.Second, 2, []bool{yes, yes, yes}},
			{61 * time.Second, 2, []bool{no, yes, yes}}, {71 * time.Second, 2, []bool{no, no, yes}},
		}},
		"a third one, in the second phase": {45 * time.Second, false, []at{
			{46 * time.Second, 1, []bool{yes, yes, yes}}, {61 * time.Second, 1, []bool{no, yes, yes}}, {76 * time.Second, 2, []bool{no, yes, yes}},
			{106 * time.Second, 2, []bool{no, no, yes}},
		}},
		"back, in the first phase": {10 * time.Second, true, []at{
			{11 * time.Second, 0, []bool{yes, yes, yes}}, {31 * time.Second, 1, []bool{yes, yes, yes}}, {41 * time.Second, 2, []bool{yes, yes, yes}},
			{61 * time.Second, 2, []bool{no, yes, yes}}, {71 * time.Second, 2, []bool{no, no, yes}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				first := newServer(t, "a")
				storages := []watched{watch(first), watch(newServer(t, "b")), watch(newServer(t, "c"))}
				if test.back {
					storages[2] = watch(first)
				}
				s := newSwapping(t, storages[0].strategy, shop)
				began := time.Now()
				s.to(storages[1].strategy)
				pass(test.second)
				s.to(storages[2].strategy)
				for _, want := range test.want {
					pass(want.when - time.Since(began))
					s.asks(want.uses, storages...)
					s.tells(storages, want.tells...)
				}
				for i, w := range storages[:2] {
					if n := w.destroyed.Load(); n != 1 {
						t.Errorf("storage %d is destroyed %d times", i, n)
					}
				}
			})
		})
	}
}

// A handover that is made shorter does not let a later change overtake an earlier one.
func TestShorterHandover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storages := []watched{watch(newServer(t, "a")), watch(newServer(t, "b")), watch(newServer(t, "c"))}
		s := newSwapping(t, storages[0].strategy, shop)
		s.to(storages[1].strategy)
		options := shop
		options.Handover = time.Second
		if err := reconfigure(s.service, storages[2].strategy, options); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		s.asks(0, storages...)
		pass(handover)
		s.asks(2, storages...)
		pass(handover)
		s.tells(storages, false, false, true)
		if n, m := storages[0].destroyed.Load(), storages[1].destroyed.Load(); n != 1 || m != 1 {
			t.Errorf("destroyed %d and %d times", n, m)
		}
	})
}

// A Stop in the middle of a handover ends it. Another Start uses the new storage, after it was
// cleared.
func TestStopInAHandover(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"first phase": handover / 2, "second phase": handover * 3 / 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
				s := newSwapping(t, a.strategy, shop)
				s.load(1, 1)
				s.to(b.strategy)
				pass(after)
				if after < handover {
					b.raw(t, a.server)
				}
				if err := s.service.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				if err := reconfigure(s.service, watch(a.server).strategy, shop); !errors.Is(err, cache.ErrClosed) {
					t.Errorf("Reconfigure after Stop: %v", err)
				}
				if n, m := a.destroyed.Load(), b.destroyed.Load(); n != 1 || m != 1 {
					t.Errorf("destroyed %d and %d times", n, m)
				}
				if err := s.service.Start(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				s.load(2, 2)
				s.asks(1, a, b)
				s.tells([]watched{a, b}, false, true)
				pass(3 * handover)
				s.asks(1, a, b)
				if n := a.destroyed.Load(); n != 1 {
					t.Errorf("the old storage is destroyed %d times", n)
				}
			})
		})
	}
}

// A storage that has another namespace has the same entries, under other names.
func TestOtherNamespace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := watch(newServer(t, "a")), watch(newServer(t, "b"))
		s := newSwapping(t, a.strategy, shop)
		other := shop
		other.Namespace = "market:2"
		if err := reconfigure(s.service, b.strategy, other); err != nil {
			t.Fatal(err)
		}
		b.Reset()
		if err := errors.Join(s.Delete(t.Context(), "k"), s.InvalidateTags(t.Context(), "all")); err != nil {
			t.Error(err)
		}
		pass(handover)
		s.load(1, 1)
		s.load(2, 1)
		if _, err := s.Update(t.Context(), "k", value(3)); err != nil {
			t.Error(err)
		}
		if err := s.SetMany(t.Context(), map[string]int{"l": 4}); err != nil {
			t.Error(err)
		}
		got, err := s.GetOrLoadMany(t.Context(), []string{"k", "l", "m"}, func(_ context.Context, missing []string) (map[string]int, error) {
			return map[string]int{"m": 5}, nil
		})
		if err != nil || fmt.Sprint(got) != "map[k:3 l:4 m:5]" {
			t.Errorf("%v, %v", got, err)
		}
		mustSet(t, s.service, "own", 1, cache.SetOptions{Tags: []string{"all"}})
		if err := s.InvalidateTags(t.Context(), "all"); err != nil {
			t.Error(err)
		}
		s.load(6, 6)
		for _, o := range b.Operations() {
			for _, name := range append(o.Keys, o.Tags...) {
				if !strings.HasPrefix(name, "market%3A2:") {
					t.Errorf("%s is asked about %q", o.Name, name)
				}
			}
		}
		mustMiss(t, s.service, "own")
		a.FailNext(drivertest.OpDelete, 1, errOutage)
		b.FailNext(drivertest.OpDelete, 1, errOutage)
		pending(t, s.Delete(t.Context(), "k"))
		pass(time.Second)
		wantPending(t, s.service, 0)
		if err := reconfigure(s.service, nil, shop); err == nil || !strings.Contains(err.Error(), "namespace: cannot change without a new storage") {
			t.Errorf("another namespace alone: %v", err)
		}
	})
}

// A strategy that cannot be asked to clear what it shares with others is refused with words.
// Strategies that lack other parts are not.
func TestStrategiesOfThirdParties(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSwapping(t, newBigcache(t), shop)
		b := newServer(t, "b")
		err := reconfigure(s.service, unclearableShared{b}, shop)
		if !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), "restart the application") {
			t.Errorf("shared, and no Clearer: %v", err)
		}
		for name, strategy := range map[string]driver.Strategy{
			"not shared, no Clearer": unclearable{new(table)},
			"no leases":              new(table),
			"guarded":                newFragile(t),
			"shared":                 newShared("x"),
		} {
			s.load(1, 1)
			if err := reconfigure(s.service, strategy, shop); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			pass(handover)
			s.load(2, 2)
			s.load(3, 2)
			if err := s.Delete(t.Context(), "k"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, found, err := s.Get(t.Context(), "k"); found || err != nil {
				t.Errorf("%s: Get = %t, %v", name, found, err)
			}
			pass(handover)
		}
	})
}

// unclearableShared is shared, and not a Clearer.
type unclearableShared struct{ *server }

func (s unclearableShared) Clear()            {}
func (s unclearableShared) StorageID() string { return s.id }
