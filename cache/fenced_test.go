package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// gated is a table whose first Set is held after the fence has let it through. It goes on when the
// storage has been invalidated. If the invalidation waits for the Set, as it must, the Set goes on
// after a moment.
type gated struct {
	table
	arrived, invalidated chan struct{}
	first, done          sync.Once
}

func newGated() *gated { return &gated{arrived: make(chan struct{}), invalidated: make(chan struct{})} }

// Local spares the test the deadline.
func (s *gated) Local() {}

func (s *gated) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	s.first.Do(func() {
		close(s.arrived)
		select {
		case <-s.invalidated:
		case <-time.After(20 * time.Millisecond):
		}
	})
	return s.table.Set(ctx, key, value, opts)
}

func (s *gated) InvalidateTags(ctx context.Context, tags ...string) error {
	defer s.done.Do(func() { close(s.invalidated) })
	return s.table.InvalidateTags(ctx, tags...)
}

func (s *gated) Delete(ctx context.Context, keys ...string) error {
	defer s.done.Do(func() { close(s.invalidated) })
	return s.table.Delete(ctx, keys...)
}

func (s *gated) Clear(ctx context.Context) error {
	defer s.done.Do(func() { close(s.invalidated) })
	return s.table.Clear(ctx)
}

// An invalidation comes while a fill that the fence has let through is being stored. The
// invalidation waits for the fill, and then removes the entry.
func TestFenceWaitsForAFillUnderWay(t *testing.T) {
	t.Parallel()
	for _, how := range invalidations {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			strategy := newGated()
			service := start(t, strategy, cache.Options{})
			c := newCache(t, service, "c", tagged())
			ctx := t.Context()
			loading := async(func() (int, error) { return c.GetOrLoad(ctx, "k", value(1)) })
			<-strategy.arrived
			if err := how.revoke(ctx, service, c); err != nil {
				t.Errorf("the invalidation: %v", err)
			}
			if got := <-loading; got.value != 1 || got.err != nil {
				t.Errorf("GetOrLoad = %+v", got)
			}
			if got, found, err := c.Get(ctx, "k"); found || err != nil {
				t.Errorf("G1: Get = %v, %v, %v", got, found, err)
			}
		})
	}
}

// A fill comes while an invalidation with many tags is running. The fence must be closed before the
// wait for running fills. Otherwise a fill could start after the wait and before the fence is
// closed.
func TestFenceClosesBeforeItWaits(t *testing.T) {
	t.Parallel()
	tags := make([]string, 20_000)
	for i := range tags {
		tags[i] = fmt.Sprint(i)
	}
	tags[len(tags)-1] = "static"
	for round := range 30 {
		strategy := newGated()
		service := start(t, strategy, cache.Options{})
		c := newCache(t, service, "c", tagged())
		ctx := t.Context()
		read, release := make(chan struct{}), make(chan struct{})
		loading := async(func() (int, error) {
			return c.GetOrLoad(ctx, "k", func(context.Context) (int, error) {
				close(read)
				<-release
				return 1, nil
			})
		})
		<-read
		revoking := async(func() (int, error) { return 0, c.InvalidateTags(ctx, tags...) })
		<-time.After(time.Duration(round) * 200 * time.Microsecond) // a different moment each round
		close(release)
		if got := <-revoking; got.err != nil {
			t.Fatal(got.err)
		}
		if got := <-loading; got.value != 1 || got.err != nil {
			t.Errorf("GetOrLoad = %+v", got)
		}
		if got, found, err := c.Get(ctx, "k"); found || err != nil {
			t.Fatalf("round %d: G1: Get = %v, %v, %v", round, got, found, err)
		}
	}
}

// latch is a table whose invalidations let the test act after the fence is closed and before the
// storage invalidates.
type latch struct {
	table
	invalidating func()
}

func (s *latch) InvalidateTags(ctx context.Context, tags ...string) error {
	err := s.table.InvalidateTags(ctx, tags...)
	s.invalidating()
	return err
}

func (s *latch) Delete(ctx context.Context, keys ...string) error {
	err := s.table.Delete(ctx, keys...)
	s.invalidating()
	return err
}

func (s *latch) Clear(ctx context.Context) error {
	err := s.table.Clear(ctx)
	s.invalidating()
	return err
}

// A fill comes after the storage has invalidated, but before the call has returned. The fence must
// already be closed.
func TestFenceClosesBeforeTheStorageInvalidates(t *testing.T) {
	t.Parallel()
	for _, how := range invalidations {
		strategy := new(latch)
		service := start(t, strategy, cache.Options{})
		c := newCache(t, service, "c", tagged())
		ctx := t.Context()
		read, release := make(chan struct{}), make(chan struct{})
		loading := async(func() (int, error) {
			return c.GetOrLoad(ctx, "k", func(context.Context) (int, error) {
				close(read)
				<-release
				return 1, nil
			})
		})
		<-read
		strategy.invalidating = func() {
			close(release)
			if got := <-loading; got.value != 1 || got.err != nil {
				t.Errorf("%s: GetOrLoad = %+v", how.name, got)
			}
		}
		if err := how.revoke(ctx, service, c); err != nil {
			t.Fatal(err)
		}
		if got, found, err := c.Get(ctx, "k"); found || err != nil {
			t.Errorf("%s: G1: Get = %v, %v, %v", how.name, got, found, err)
		}
	}
}

// A plain Set through the fence replaces what a running load would store.
func TestFenceSetRevokesTheLease(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		service := start(t, kind.make(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{})
		got, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) { return 1, c.Set(ctx, "k", 2) })
		if got != 1 || err != nil {
			t.Errorf("%s: GetOrLoad = %v, %v", kind.name, got, err)
		}
		if got, found, err := c.Get(t.Context(), "k"); got != 2 || !found || err != nil {
			t.Errorf("%s: Get = %v, %v, %v", kind.name, got, found, err)
		}
	}
}

// A strategy without leases sees only Get, Set, Delete and InvalidateTags. Its failures come
// through.
func TestFenceOverAFailingStrategy(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, new(table), cache.Options{})
	c := newCache(t, service, "c", tagged())
	ctx := t.Context()
	if _, err := c.GetOrLoad(ctx, "k", value(1)); err != nil {
		t.Fatal(err)
	}
	for _, o := range recorder.Operations() {
		if o.Name != drivertest.OpGet && o.Name != drivertest.OpSet {
			t.Errorf("it saw %+v", o)
		}
		if o.Name == drivertest.OpSet && !slices.Equal(o.Tags, []string{"app:static", "app:learned"}) {
			t.Errorf("it saw %+v", o)
		}
	}
	for op, call := range map[string]func() error{
		drivertest.OpDelete:     func() error { return c.Delete(ctx, "k") },
		drivertest.OpInvalidate: func() error { return c.InvalidateTags(ctx, "static") },
		drivertest.OpClear:      func() error { return service.Clear(ctx) },
		drivertest.OpSet:        func() error { return c.Set(ctx, "k", 1) },
	} {
		recorder.FailNext(op, 1, errOutage)
		if err := call(); !errors.Is(err, errOutage) {
			t.Errorf("%s: %v", op, err)
		}
	}
	// If the fill fails, the value is returned, and the next call stores it.
	if err := c.Delete(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	recorder.FailNext(drivertest.OpSet, 1, errOutage)
	for want := range 2 {
		if got, err := c.GetOrLoad(ctx, "k", value(want)); got != want || err != nil {
			t.Errorf("GetOrLoad = %v, %v", got, err)
		}
	}
	if got, found, err := c.Get(ctx, "k"); got != 1 || !found || err != nil {
		t.Errorf("Get = %v, %v, %v", got, found, err)
	}
}
