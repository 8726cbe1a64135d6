package redis_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Sentinel: the master hands over under load, and lives on as a replica. Connections are made anew
// all the time.
func TestSentinelPlannedFailover(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	sentinel := redistest.StartSentinel(t, 1, 3)
	m, stop := startModel(t, redis.Options{
		Mode: redis.Sentinel, Addresses: sentinel.SentinelAddrs(), SentinelMaster: redistest.MasterName, WaitReplicas: 1,
		Connections: 4, ConnectionLifetime: time.Second,
	})
	defer stop()
	every := []int{0, 1, 2, 3}
	for range 2 {
		m.watch(every...).atLeast(t, 20)
		sentinel.Failover()
		took := until(t, func() error {
			return m.Set(t.Context(), "n:probe", []byte("v"), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:probe"}})
		})
		t.Logf("writes work again after %v", took)
		sentinel.WaitReady()
	}
	m.watch(every...).atLeast(t, 20)
	stop()
	m.works()
}

// Connections are made anew all the time, under load: nothing that works is lost by that.
func TestShortLivedConnections(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	proxy := redistest.NewProxy(t, redistest.Start(t).Addr())
	m, stop := startModel(t, redis.Options{Addresses: []string{proxy.Addr()}, Connections: 4, ConnectionLifetime: time.Second})
	defer stop()
	until(t, func() error {
		if proxy.Accepted() < 12 {
			return errors.New("too few connections were made")
		}
		return nil
	})
	m.watch(0, 1, 2, 3).atLeast(t, 20)
	stop()
	m.works()
}
