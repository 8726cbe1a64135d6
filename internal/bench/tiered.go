package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/redis"
	"github.com/fxcache/fxcache/strategies/tiered"
)

// Near is a Cache on the bigcache, the tiered or the redis strategy, for entries whose only tag its
// policy knows.
type Near struct {
	service *cache.Service
	cache   *cache.Cache[[]byte]
}

// NewNear opens the bigcache strategy.
func NewNear(ctx context.Context) (*Near, error) {
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 256 << 20})
	if err != nil {
		return nil, err
	}
	service, err := cache.NewService(strategy, cache.Options{Namespace: strings.TrimSuffix(Namespace, ":")})
	if err != nil {
		return nil, err
	}
	return newNear(ctx, service)
}

// NewTiered opens the tiered strategy on one server, where all nodes know the lag.
func NewTiered(ctx context.Context, addr string) (*Near, error) {
	const namespace = "tiered"
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ms := redis.MaxLag.Milliseconds()
	known := fmt.Sprintf(`{"format":3,"lanes":1,"id":"62656e6368","settled":true,"lag_ms":%d,"usable_ms":%d}`, ms, ms)
	if err := client.Do(ctx, client.B().Set().Key(namespace+":f:{0}:").Value(known).Build()).Error(); err != nil {
		return nil, err
	}
	near, err := bigcache.New(bigcache.Options{MaxSize: 256 << 20})
	if err != nil {
		return nil, err
	}
	far, err := redis.New(redis.Options{Addresses: []string{addr}})
	if err != nil {
		return nil, err
	}
	strategy, err := tiered.New(tiered.Options{Lag: redis.MaxLag, L1TTL: TTL}, near, far)
	if err != nil {
		return nil, err
	}
	service, err := cache.NewService(strategy, cache.Options{Namespace: namespace, Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	return newNear(ctx, service)
}

// NewFar opens the redis strategy on one server.
func NewFar(ctx context.Context, addr string) (*Near, error) {
	_, service, err := open(ctx, addr, cache.Options{})
	if err != nil {
		return nil, err
	}
	return withCache(service)
}

func newNear(ctx context.Context, service *cache.Service) (*Near, error) {
	if err := service.Start(ctx, nil); err != nil {
		return nil, err
	}
	return withCache(service)
}

func withCache(service *cache.Service) (*Near, error) {
	c, err := cache.New(service, "session", cache.Policy[[]byte]{TTL: TTL, Tags: []string{"session:all"}})
	return &Near{service, c}, err
}

// Set implements Peer.
func (n *Near) Set(ctx context.Context, key string, value []byte) error {
	return n.cache.Set(cache.WithNewKey(ctx), key, value)
}

// Get implements Peer.
func (n *Near) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return n.cache.Get(ctx, key)
}

// Close implements Peer.
func (n *Near) Close() error { return n.service.Stop(context.Background()) }

// Copies returns how many reads copies have served.
func (n *Near) Copies() uint64 { return n.service.Stats().CopyHits }
