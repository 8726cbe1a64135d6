package strategies_test

// How to write a strategy of your own. This one is complete: a map behind a mutex, with an option
// of its own. It has no leases, so that Service fences fills within the process, and never evicts.

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/config"
)

// Options are the keys of the section `cache.memory`.
type Options struct {
	// MaxValue limits one value.
	MaxValue driver.Size `koanf:"max_value"`
}

// Validate is called by the decoder, which puts the section's path in front of what it reports.
func (o Options) Validate() error {
	if o.MaxValue <= 0 {
		return &driver.OptionError{Name: "max_value", Reason: fmt.Sprintf("must be positive, not %v", o.MaxValue)}
	}
	return nil
}

// Factory is what goes into fxcache.Register. New reads the section, and does no I/O.
func Factory() driver.Factory {
	return driver.Factory{Name: "memory", New: func(cfg driver.Decoder) (driver.Strategy, error) {
		options := Options{MaxValue: driver.MiB}
		if err := cfg.Decode(&options); err != nil {
			return nil, err
		}
		return &Memory{options: options}, nil
	}}
}

// Memory is a driver.Strategy.
type Memory struct {
	options Options
	clock   driver.Clock
	mu      sync.Mutex
	entries map[string]entry
	sweepAt int // how many entries there are when the expired ones are dropped next
}

type entry struct {
	value   []byte
	tags    []string
	expires time.Time
}

var (
	_ driver.Strategy = (*Memory)(nil)
	_ driver.Local    = (*Memory)(nil)
)

// Local says that no operation ever waits. A strategy with a server has no such method. If its
// client listens to contexts, it has Cancellable.
func (m *Memory) Local() {}

// Init takes from the container what it needs, here the clock: so tests can set it. A strategy that
// opens something here has a Destroy, too.
func (m *Memory) Init(_ context.Context, in driver.Injector) (err error) {
	m.entries = make(map[string]entry)
	m.clock, err = driver.Resolve[driver.Clock](in)
	return err
}

// Get returns a copy: the caller may change it.
func (m *Memory) Get(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, found := m.entries[key]
	if !found || m.expired(e) {
		delete(m.entries, key)
		return nil, false, nil // a miss is not an error
	}
	return slices.Clone(e.value), true, nil
}

// Set replaces all of an entry. One that is refused does not leave the previous value readable.
func (m *Memory) Set(_ context.Context, key string, value []byte, opts driver.SetOptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, key)
	switch {
	case opts.TTL <= 0:
		return driver.ErrInvalidTTL
	case driver.Size(len(value)) > m.options.MaxValue:
		return driver.ErrValueTooLarge
	}
	m.sweep()
	expires := m.clock.Now().Add(max(opts.TTL, time.Millisecond))
	m.entries[key] = entry{slices.Clone(value), slices.Clone(opts.Tags), expires}
	return nil
}

func (m *Memory) expired(e entry) bool { return !m.clock.Now().Before(e.expires) }

// sweep drops the expired entries, which nobody may ever ask for again, whenever the number of
// entries has doubled. So a Set costs little, and at most half of the memory is wasted.
func (m *Memory) sweep() {
	if len(m.entries) < m.sweepAt {
		return
	}
	maps.DeleteFunc(m.entries, func(_ string, e entry) bool { return m.expired(e) })
	m.sweepAt = 2*len(m.entries) + 64
}

// Delete does not mind keys that are not there.
func (m *Memory) Delete(_ context.Context, keys ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.entries, key)
	}
	return nil
}

// InvalidateTags looks at every entry; a strategy for more than a few keeps an index.
func (m *Memory) InvalidateTags(_ context.Context, tags ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.entries, func(_ string, e entry) bool {
		return slices.ContainsFunc(e.tags, func(tag string) bool { return slices.Contains(tags, tag) })
	})
	return nil
}

// The whole test of a strategy: say what it cannot do, and run the suite.
func TestMemory(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, func(testing.TB) driver.Strategy {
		return &Memory{options: Options{MaxValue: driver.MiB}}
	}, drivertest.NoLeases(), drivertest.NoEviction())
}

// What has expired goes, although nobody asks for it again.
func TestMemoryDropsExpired(t *testing.T) {
	t.Parallel()
	clock := drivertest.NewClock(time.Now())
	m := &Memory{options: Options{MaxValue: driver.MiB}}
	if err := m.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Clock: clock})); err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		if err := m.Set(t.Context(), fmt.Sprint(i), nil, driver.SetOptions{TTL: time.Second}); err != nil {
			t.Fatal(err)
		}
		clock.Advance(10 * time.Millisecond) // 100 live entries
	}
	if n := len(m.entries); n > 400 {
		t.Errorf("%d entries are kept, of which 100 have not expired", n)
	}
	if _, found, _ := m.Get(t.Context(), "99900"); found || len(m.entries) == 0 {
		t.Errorf("an expired entry is found: %t; %d are kept", found, len(m.entries))
	}
}

// From the configuration to a stored value, without fx. With fx it is fxcache.Register(Factory()).
func Example() {
	ctx := context.Background()
	source, _ := config.Load(config.YAML("cache: {memory: {max_value: 16B}}"))
	strategy, err := Factory().New(source.At("cache.memory"))
	if err != nil {
		fmt.Println(err)
		return
	}
	service, _ := cache.NewService(strategy, cache.Options{StrategyName: "memory"})
	if err := service.Start(ctx, nil); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = service.Stop(ctx) }()

	fmt.Println(service.Set(ctx, "greeting", "hello", driver.SetOptions{TTL: time.Minute}))
	fmt.Println(service.Set(ctx, "speech", "friends, Romans, countrymen", driver.SetOptions{TTL: time.Minute}))

	source, _ = config.Load(config.YAML("cache: {memory: {max_value: 0B}}"))
	_, err = Factory().New(source.At("cache.memory"))
	fmt.Println(err)
	// Output:
	// <nil>
	// cache set (memory): cache: value too large: raise max_value_bytes, or store less
	// invalid configuration: 1 problem:
	//   cache.memory.max_value (inline): must be positive, not 0B
}
