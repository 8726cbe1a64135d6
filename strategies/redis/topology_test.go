package redis_test

import (
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	conforms(t, redis.Options{Mode: redis.Cluster, Addresses: redistest.StartCluster(t, 3, 0).Addrs()})
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := redistest.StartSentinel(t, 2, 3)
	conforms(t, redis.Options{Mode: redis.Sentinel, Addresses: s.SentinelAddrs(), SentinelMaster: redistest.MasterName})
}
