package cache_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/cachetest"
)

// gated is a table whose Sets can be held after they were checked and before they are stored.
type gated struct {
	table
	arrived, release chan struct{}
	once             sync.Once
}

func newGated() *gated { return &gated{arrived: make(chan struct{}), release: make(chan struct{})} }

func (s *gated) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	s.once.Do(func() {
		close(s.arrived)
		<-s.release
	})
	return s.table.Set(ctx, key, value, opts)
}

type gatedLocal struct{ *gated } // no deadline ends what the test holds

func (gatedLocal) Local() {}

// A fill that was found good and is being stored when an invalidation comes: the invalidation waits
// for it and then removes it.
func TestFenceWaitsForAFillUnderWay(t *testing.T) {
	t.Parallel()
	for _, how := range invalidations {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			strategy := newGated()
			service := start(t, gatedLocal{strategy}, cache.Options{})
			c := newCache(t, service, "c", tagged())
			ctx := t.Context()
			loading := async(func() (int, error) { return c.GetOrLoad(ctx, "k", value(1)) })
			<-strategy.arrived
			revoking := async(func() (int, error) { return 0, how.revoke(ctx, service, c) })
			// Whether it waits or not cannot be seen without waiting; that it must can be, below.
			for range 100 {
				if _, _, err := c.Get(ctx, "other"); err != nil {
					t.Error(err)
				}
			}
			close(strategy.release)
			if got := <-loading; got.value != 1 || got.err != nil {
				t.Errorf("GetOrLoad = %+v", got)
			}
			if got := <-revoking; got.err != nil {
				t.Errorf("the invalidation: %v", got.err)
			}
			if got, found, err := c.Get(ctx, "k"); found || err != nil {
				t.Errorf("G1: Get = %v, %v, %v", got, found, err)
			}
		})
	}
}

// latch is a table whose invalidations let the test act between the fence and the storage.
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

// A fill that comes when the storage has invalidated already, and the call has not returned: the
// fence must have been closed before.
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

// Through the fence, too, a plain Set replaces what a running load would store.
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

// What the strategy without leases sees of it all is Get, Set, Delete and InvalidateTags, and its
// failures come through.
func TestFenceOverAFailingStrategy(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, new(table), cache.Options{})
	c := newCache(t, service, "c", tagged())
	ctx := t.Context()
	if _, err := c.GetOrLoad(ctx, "k", value(1)); err != nil {
		t.Fatal(err)
	}
	for _, o := range recorder.Operations() {
		if o.Name != cachetest.OpGet && o.Name != cachetest.OpSet {
			t.Errorf("it saw %+v", o)
		}
		if o.Name == cachetest.OpSet && !slices.Equal(o.Tags, []string{"app:static", "app:learned"}) {
			t.Errorf("it saw %+v", o)
		}
	}
	for op, call := range map[string]func() error{
		cachetest.OpDelete:     func() error { return c.Delete(ctx, "k") },
		cachetest.OpInvalidate: func() error { return c.InvalidateTags(ctx, "static") },
		cachetest.OpClear:      func() error { return service.Clear(ctx) },
		cachetest.OpSet:        func() error { return c.Set(ctx, "k", 1) },
	} {
		recorder.FailNext(op, 1, errOutage)
		if err := call(); !errors.Is(err, errOutage) {
			t.Errorf("%s: %v", op, err)
		}
	}
	// A failed fill: the value is returned, and the next call stores.
	if err := c.Delete(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	recorder.FailNext(cachetest.OpSet, 1, errOutage)
	for want := range 2 {
		if got, err := c.GetOrLoad(ctx, "k", value(want)); got != want || err != nil {
			t.Errorf("GetOrLoad = %v, %v", got, err)
		}
	}
	if got, found, err := c.Get(ctx, "k"); got != 1 || !found || err != nil {
		t.Errorf("Get = %v, %v, %v", got, found, err)
	}
}
