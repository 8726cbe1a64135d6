package cache_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

const handover = 30 * time.Second

// shop are the options of the tests of handovers.
var shop = cache.Options{Namespace: "shop", Handover: handover, Timeout: time.Second, MaxValueBytes: 64 * driver.KiB}

// server is a storage that several nodes share, and that outlives them. It has leases.
type server struct {
	leasing
	id string
}

func newServer(t testing.TB, id string) *server {
	t.Helper()
	s := &server{leasing{newBigcache(t)}, id}
	if err := s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{MaxValueBytes: 64 * driver.KiB})); err != nil {
		t.Fatal(err)
	}
	return s
}

// client is the strategy of one node for a server.
type client struct {
	*server
	remote  //nolint:unused // as in fragile
	distant //nolint:unused // likewise

	where     string                      // its Location
	begin     func(context.Context) error // of Init; nil: at once
	destroyed atomic.Int32
}

// distant is another remote, because two Local at one depth are none.
type distant struct{} //nolint:unused // as above

func (distant) Local() {} //nolint:unused // as above

var (
	_ driver.Shared      = (*client)(nil)
	_ driver.Hinted      = (*client)(nil)
	_ driver.Cancellable = (*client)(nil)
)

func (c *client) Cancellable()      {}
func (c *client) StorageID() string { return c.id }
func (c *client) Location() string  { return c.where }

func (c *client) Init(ctx context.Context, _ driver.Injector) error {
	if c.begin != nil {
		return c.begin(ctx)
	}
	return nil
}

// GetHinted implements driver.Hinted.
func (c *client) GetHinted(ctx context.Context, key string, _ []string) ([]byte, bool, error) {
	return c.Get(ctx, key)
}

func (c *client) Destroy(context.Context) error {
	c.destroyed.Add(1)
	return nil
}

// raw stores the entry of a key of the cache "c" as it is in another storage.
func (s *server) raw(t testing.TB, from *server) {
	t.Helper()
	encoded, found, err := from.Get(t.Context(), "shop:c:k")
	if !found || err != nil {
		t.Fatalf("there is no entry to copy: %v", err)
	}
	s.put(t, "shop:c:k", encoded)
}

func (s *server) put(t testing.TB, key string, value []byte) {
	t.Helper()
	if err := s.Set(t.Context(), key, value, driver.SetOptions{TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
}

// swapping is a Service whose storages are watched.
type swapping struct {
	*cache.Cache[int]

	service *cache.Service
	t       *testing.T
}

// watched is the strategy of one node for a server, and what it is asked.
type watched struct {
	*client
	*drivertest.Recorder

	strategy driver.Strategy
}

func watch(s *server) watched {
	c := &client{server: s}
	strategy, recorder := drivertest.Record(c)
	return watched{c, recorder, strategy}
}

func newSwapping(t *testing.T, strategy driver.Strategy, options cache.Options) *swapping {
	t.Helper()
	service := newService(t, strategy, options)
	if err := service.Start(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop(context.Background()) })
	return &swapping{newCache(t, service, "c", cache.Policy[int]{Tags: []string{"all"}}), service, t}
}

// to changes the storage.
func (s *swapping) to(strategy driver.Strategy) {
	s.t.Helper()
	if err := reconfigure(s.service, strategy, shop); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
}

func reconfigure(service *cache.Service, strategy driver.Strategy, options cache.Options, parts ...cache.Part) error {
	return service.Reconfigure(context.Background(), nil, cache.Store{Strategy: strategy, Options: quiet(options)}, parts...)
}

// load checks what a GetOrLoad whose loader returns v returns.
func (s *swapping) load(v, want int) {
	s.t.Helper()
	if got, err := s.GetOrLoad(s.t.Context(), "k", value(v)); got != want || err != nil {
		s.t.Errorf("GetOrLoad = %d, %v, want %d", got, err, want)
	}
}

// asks checks which of several storages a Get asks.
func (s *swapping) asks(want int, storages ...watched) {
	s.t.Helper()
	for _, w := range storages {
		w.Reset()
	}
	if _, _, err := s.Get(s.t.Context(), "k"); err != nil {
		s.t.Error(err)
	}
	for i, w := range storages {
		if n := w.Count(drivertest.OpGet); (n == 1) != (i == want) {
			s.t.Errorf("storage %d is read %d times, want storage %d to be read", i, n, want)
		}
	}
}

// tells checks which of several storages a Delete reaches.
func (s *swapping) tells(storages []watched, want ...bool) {
	s.t.Helper()
	for _, w := range storages {
		w.Reset()
	}
	if err := s.Delete(s.t.Context(), "k"); err != nil {
		s.t.Error(err)
	}
	for i, w := range storages {
		if n := w.Count(drivertest.OpDelete); (n == 1) != want[i] {
			s.t.Errorf("storage %d is told %d times, want %t", i, n, want[i])
		}
	}
}
