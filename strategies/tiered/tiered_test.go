package tiered_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/redis"
	"github.com/fxcache/fxcache/strategies/tiered"
)

// rueidis closes a connection that the topology no longer needs five seconds later, and looks at a
// topology that was redirected from up to a second later, each in a goroutine that sleeps until
// then, also after Close.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
	)
}

// published is a strategy whose lag is published before it starts, as if other nodes had been there
// for a while.
type published struct {
	*tiered.Strategy

	redis redis.Options
	lag   time.Duration
}

// Init writes the fingerprint of the namespace, unless there is one.
func (p published) Init(ctx context.Context, in driver.Injector) error {
	limits, err := driver.Resolve[driver.Limits](in)
	if err != nil {
		return err
	}
	option := rueidis.ClientOption{InitAddress: p.redis.Addresses, DisableCache: true, SelectDB: p.redis.DB}
	if p.redis.Mode == redis.Sentinel {
		option.Sentinel = rueidis.SentinelOption{MasterSet: p.redis.SentinelMaster}
	}
	client, err := rueidis.NewClient(option)
	if err != nil {
		return err
	}
	defer client.Close()
	lanes := p.redis.Lanes
	if lanes == 0 && p.redis.Mode == redis.Cluster {
		lanes = 64
	}
	namespace := strings.NewReplacer("{", "%7B", "}", "%7D").Replace(strings.TrimSuffix(limits.KeyPrefix, ":"))
	text := fmt.Sprintf(`{"format":3,"lanes":%d,"id":"7465737473","settled":true,"lag_ms":%d,"usable_ms":%[2]d}`, max(1, lanes), p.lag.Milliseconds())
	err = client.Do(ctx, client.B().Set().Key(namespace+":f:{0}:").Value(text).Nx().Build()).Error()
	if err != nil && !rueidis.IsRedisNil(err) {
		return err
	}
	return p.Strategy.Init(ctx, in)
}

// Features implements driver.Featured: those of the strategy, with this Init.
func (p published) Features() driver.Features {
	f := p.Strategy.Features()
	f.Initializer = p
	return f
}

// made returns a strategy with those options, whose lag is published.
func made(t testing.TB, options tiered.Options, far redis.Options) published {
	t.Helper()
	l1, err := bigcache.New(bigcache.Options{MaxSize: 8 * driver.MiB})
	if err != nil {
		t.Fatal(err)
	}
	l2, err := redis.New(far)
	if err != nil {
		t.Fatal(err)
	}
	s, err := tiered.New(options, l1, l2)
	if err != nil {
		t.Fatal(err)
	}
	return published{s, far, options.WithDefaults().Lag}
}

// node returns a node of the namespace "shop", initialised.
func node(t *testing.T, options tiered.Options, far redis.Options) *tiered.Strategy {
	t.Helper()
	s := made(t, options, far)
	initialise(t, s)
	return s.Strategy
}

// initialise opens a strategy for the namespace "shop", until the test ends.
func initialise(t *testing.T, s interface {
	driver.Initializer
	driver.Destroyer
},
) {
	t.Helper()
	in := drivertest.NewInjector(t, cache.Options{Namespace: "shop", Timeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err := s.Init(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Destroy(context.Background()) })
}

// long is a lag that a busy machine keeps up with.
var long = tiered.Options{Lag: redis.MaxLag}

// until waits until check returns nil.
func until(t testing.TB, check func() error) {
	t.Helper()
	within(t, time.Minute, check)
}

// within is until, for so long at most.
func within(t testing.TB, patience time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		pause(t, 5*time.Millisecond)
	}
}

// pause lets real time pass.
func pause(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func set(t testing.TB, s driver.Strategy, key, value string, tags ...string) {
	t.Helper()
	if err := s.Set(t.Context(), key, []byte(value), driver.SetOptions{TTL: time.Hour, Tags: tags}); err != nil {
		t.Fatal(err)
	}
}

// reads checks what Get returns; "" is a miss.
func reads(t testing.TB, s driver.Strategy, key, want string) {
	t.Helper()
	value, found, err := s.Get(t.Context(), key)
	if err != nil || found != (want != "") || string(value) != want {
		t.Fatalf("Get = %q, %t, %v, want %q", value, found, err, want)
	}
}

// warm reads a key until a copy of it is served.
func warm(t testing.TB, s *tiered.Strategy, key, want string) {
	t.Helper()
	until(t, func() error {
		before := s.Stats().Hits
		reads(t, s, key, want)
		if s.Stats().Hits == before {
			return fmt.Errorf("no copy: %+v", s.Stats())
		}
		return nil
	})
}

// cold checks that a read is not served from a copy.
func cold(t testing.TB, s *tiered.Strategy, key, want string) {
	t.Helper()
	before := s.Stats().Hits
	reads(t, s, key, want)
	if s.Stats().Hits != before {
		t.Fatal("a copy was served")
	}
}

// propagated lets the time pass that a revocation waits.
func propagated(t testing.TB, s driver.Strategy) {
	t.Helper()
	pause(t, driver.FeaturesOf(s).Propagator.Propagation()*11/10)
}

// errStill says that what should be over is not.
var errStill = errors.New("still there")
