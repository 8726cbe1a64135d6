package bench

import (
	"context"
	"errors"

	"github.com/go-redis/cache/v9"
)

// GoRedisCache is the Get of go-redis/cache on go-redis. It has no local cache, which would not see
// what other instances delete.
type GoRedisCache struct {
	client *GoRedis
	cache  *cache.Cache
}

// NewGoRedisCache connects to one server.
func NewGoRedisCache(addr string) *GoRedisCache {
	client := NewGoRedis(addr)
	return &GoRedisCache{client, cache.New(&cache.Options{Redis: client.client})}
}

// Set implements Peer.
func (g *GoRedisCache) Set(ctx context.Context, key string, value []byte) error {
	return g.cache.Set(&cache.Item{Ctx: ctx, Key: key, Value: value, TTL: TTL})
}

// Get implements Peer.
func (g *GoRedisCache) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	err = g.cache.Get(ctx, key, &value)
	if errors.Is(err, cache.ErrCacheMiss) {
		return nil, false, nil
	}
	return value, err == nil, err
}

// Close implements Peer.
func (g *GoRedisCache) Close() error { return g.client.Close() }
