package cache_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// lag is a Propagation in these tests, and delay how long the Service waits then.
const (
	lag   = 100 * time.Millisecond
	delay = 110 * time.Millisecond
)

// lagging is a strategy whose other nodes serve for a while what was revoked.
type lagging struct {
	driver.Strategy

	lag    atomic.Int64
	broken atomic.Bool // Propagation panics
}

func behind(inner driver.Strategy, lag time.Duration) *lagging {
	l := &lagging{Strategy: inner}
	l.lag.Store(int64(lag))
	return l
}

// Features implements driver.Featured.
func (l *lagging) Features() driver.Features {
	f := driver.FeaturesOf(l.Strategy)
	f.Propagator = l
	return f
}

// Propagation implements driver.Propagator.
func (l *lagging) Propagation() time.Duration {
	if l.broken.Load() {
		panic("broken")
	}
	return time.Duration(l.lag.Load())
}

// startLagging is a Service over a storage in which the other nodes lag.
func startLagging(t testing.TB, options cache.Options, parts ...cache.Part) (*cache.Service, *drivertest.Recorder, *lagging) {
	t.Helper()
	strategy := behind(newBigcache(t), lag)
	recorded, recorder := drivertest.Record(strategy)
	service, err := cache.NewService(recorded, quiet(options), parts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop(context.Background()) })
	return service, recorder, strategy
}

// takes checks how long a call takes that succeeds, by the clock of the bubble.
func takes(t testing.TB, what string, want time.Duration, call func() error) {
	t.Helper()
	began := time.Now()
	if err := call(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if took := time.Since(began); took != want {
		t.Errorf("%s took %v, want %v", what, took, want)
	}
}
