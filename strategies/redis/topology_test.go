package redis_test

import (
	"fmt"
	"testing"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Both with the least privilege: the client asks for more there than on one server.

func TestCluster(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for _, replicas := range []int{0, 1} {
		t.Run(fmt.Sprint("replicas ", replicas), func(t *testing.T) {
			t.Parallel()
			cluster := redistest.StartCluster(t, 3, replicas, leastPrivilege(t))
			conforms(t, redis.Options{
				Mode: redis.Cluster, Addresses: cluster.Addrs(), Username: "shop", Password: driver.NewSecret("password"),
			})
		})
	}
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := redistest.StartSentinel(t, 2, 3, leastPrivilege(t))
	conforms(t, redis.Options{
		Mode: redis.Sentinel, Addresses: s.SentinelAddrs(), SentinelMaster: redistest.MasterName,
		Username: "shop", Password: driver.NewSecret("password"),
	})
}
