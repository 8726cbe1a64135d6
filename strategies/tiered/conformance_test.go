package tiered_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/sessioncache/sessiontest"
	"github.com/fxcache/fxcache/strategies/redis"
	"github.com/fxcache/fxcache/strategies/tiered"
)

// conforms runs both suites, unchanged, and checks that copies were served meanwhile.
func conforms(t *testing.T, far redis.Options, more ...drivertest.Option) {
	far.Require, far.DialTimeout = true, time.Minute // the first operation needs a connection, on a busy machine too
	var hits atomic.Uint64
	counted := func(t testing.TB) driver.Strategy {
		s := made(t, tiered.Options{Lag: 100 * time.Millisecond}, far)
		return counting{s, &hits}
	}
	t.Run("cache", func(t *testing.T) {
		drivertest.Run(t, counted, append(more, drivertest.Another(func(t testing.TB, _ driver.Strategy) driver.Strategy { return counted(t) }),
			drivertest.WallClock(), drivertest.NoEviction(), drivertest.Container(cache.Options{MaxValueBytes: driver.MiB}))...)
	})
	t.Run("sessions", func(t *testing.T) { sessiontest.Run(t, sessiontest.OnStorage(counted)) })
	if hits.Load() == 0 {
		t.Error("no copy was served")
	}
}

// counting adds the hits of a strategy to a sum when it is destroyed.
type counting struct {
	published

	sum *atomic.Uint64
}

func (c counting) Features() driver.Features {
	f := c.published.Features()
	f.Destroyer = c
	return f
}

func (c counting) Destroy(ctx context.Context) error {
	c.sum.Add(c.Stats().Hits)
	return c.published.Destroy(ctx)
}

func TestStandalone(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	conforms(t, redis.Options{Addresses: server.Addrs()}, drivertest.Stall(func(testing.TB, driver.Strategy) func() {
		server.Pause()
		return server.Resume
	}))
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	sentinel := redistest.StartSentinel(t, 1, 3)
	conforms(t, redis.Options{Mode: redis.Sentinel, Addresses: sentinel.SentinelAddrs(), SentinelMaster: redistest.MasterName})
}

func TestCluster(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	conforms(t, redis.Options{Mode: redis.Cluster, Addresses: redistest.StartCluster(t, 3, 0).Addrs()})
}
