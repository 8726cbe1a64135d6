package cache_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// fragile is a strategy with leases. A test can make its revocations fail, or its other operations,
// or both.
type fragile struct {
	*bigcache.Strategy
	remote                          //nolint:unused // two Local at one depth are none
	revocations, others atomic.Bool // whether they fail
}

// remote hides that the storage of the embedding strategy ends with the process.
type remote struct{} //nolint:unused // as above

func (remote) Local() {} //nolint:unused // as above

func newFragile(t testing.TB) *fragile { return &fragile{Strategy: newBigcache(t)} }

func fails(down *atomic.Bool) error {
	if down.Load() {
		return errOutage
	}
	return nil
}

func (s *fragile) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := fails(&s.others); err != nil {
		return nil, false, err
	}
	return s.Strategy.Get(ctx, key)
}

func (s *fragile) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	if err := fails(&s.others); err != nil {
		return nil, false, nil, err
	}
	return s.Strategy.GetOrLease(ctx, key)
}

func (s *fragile) Delete(ctx context.Context, keys ...string) error {
	return errors.Join(fails(&s.revocations), unless(&s.revocations, func() error { return s.Strategy.Delete(ctx, keys...) }))
}

func (s *fragile) InvalidateTags(ctx context.Context, tags ...string) error {
	return errors.Join(fails(&s.revocations), unless(&s.revocations, func() error { return s.Strategy.InvalidateTags(ctx, tags...) }))
}

func (s *fragile) Clear(ctx context.Context) error {
	return errors.Join(fails(&s.revocations), unless(&s.revocations, func() error { return s.Strategy.Clear(ctx) }))
}

func unless(down *atomic.Bool, perform func() error) error {
	if down.Load() {
		return nil
	}
	return perform()
}

// pending checks that err says that a revocation is pending.
func pending(t testing.TB, err error) {
	t.Helper()
	_ = pendingError(t, err)
}

// pendingError returns the PendingError in err, which must be in an Error on the outside.
func pendingError(t testing.TB, err error) *cache.PendingError {
	t.Helper()
	wrapped, outside := err.(*cache.Error) //nolint:errorlint // wrapped once, on the outside
	var p *cache.PendingError
	if !outside || !errors.As(wrapped.Err, &p) || !errors.Is(err, cache.ErrRevocationPending) {
		t.Fatalf("%v, want a *cache.Error with a *cache.PendingError", err)
	}
	return p
}

// wantPending checks how many revocations of service are pending.
func wantPending(t testing.TB, service *cache.Service, want uint64) {
	t.Helper()
	if n := service.Stats().PendingRevocations; n != want {
		t.Errorf("%d revocations are pending, want %d", n, want)
	}
}

// names returns the names of operations, in order. A failed one has a "!".
func names(recorder *drivertest.Recorder) []string {
	var list []string
	for _, o := range recorder.Operations() {
		if o.Err != nil {
			o.Name += "!"
		}
		list = append(list, o.Name)
	}
	return list
}

// rows is an Outbox in memory. A test can make its methods fail, panic or hang.
type rows struct {
	mu        sync.Mutex
	kept      map[cache.Revocation]bool
	fail      error
	panics    bool
	beforeAdd func()
	// beforeRemove is called without the lock, like a slow database.
	beforeRemove func(ctx context.Context)
}

func (r *rows) do(change func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.panics {
		panic("outbox bug")
	}
	if r.fail == nil {
		if r.kept == nil {
			r.kept = map[cache.Revocation]bool{}
		}
		change()
	}
	return r.fail
}

func (r *rows) Add(_ context.Context, revocations []cache.Revocation) error {
	if r.beforeAdd != nil {
		r.beforeAdd()
	}
	return r.do(func() {
		for _, o := range revocations {
			r.kept[o] = true
		}
	})
}

func (r *rows) Remove(ctx context.Context, applied []cache.Revocation) error {
	if r.beforeRemove != nil {
		r.beforeRemove(ctx)
	}
	return r.do(func() {
		maps.DeleteFunc(r.kept, func(o cache.Revocation, _ bool) bool { return slices.Contains(applied, o) })
	})
}

func (r *rows) Pending(context.Context) (revocations []cache.Revocation, err error) {
	err = r.do(func() { revocations = slices.Collect(maps.Keys(r.kept)) })
	return revocations, err
}

func (r *rows) set(fail error, panics bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail, r.panics = fail, panics
}

// has checks that the outbox has exactly these rows. Their storage and time do not matter.
func (r *rows) has(t testing.TB, want ...cache.Revocation) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := map[cache.Revocation]bool{}
	for row := range r.kept {
		kept[cache.Revocation{Key: row.Key, Tag: row.Tag}] = true
	}
	for _, o := range want {
		if !kept[o] {
			t.Errorf("%+v is not in the outbox", o)
		}
	}
	if len(r.kept) != len(want) {
		t.Errorf("the outbox has %d rows, want %d: %v", len(r.kept), len(want), r.kept)
	}
}

// in returns a container with an Outbox.
func in(t testing.TB, service *cache.Service, outbox any) *dig.Container {
	t.Helper()
	container := dig.New()
	if err := errors.Join(service.ProvideTo(container), container.Provide(outbox)); err != nil {
		t.Fatal(err)
	}
	return container
}

// startWith is start with an Outbox.
func startWith(t testing.TB, strategy driver.Strategy, options cache.Options, outbox cache.Outbox) *cache.Service {
	t.Helper()
	service := newService(t, strategy, options)
	if err := service.Start(context.Background(), in(t, service, func() cache.Outbox { return outbox })); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop(context.Background()) })
	return service
}
