package bench

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// GoRedis is the bare GET of go-redis, with its defaults.
type GoRedis struct{ client *redis.Client }

// NewGoRedis connects to one server.
func NewGoRedis(addr string) *GoRedis {
	return &GoRedis{redis.NewClient(&redis.Options{Addr: addr})}
}

// Set implements Peer.
func (g *GoRedis) Set(ctx context.Context, key string, value []byte) error {
	return g.client.Set(ctx, key, value, TTL).Err()
}

// Get implements Peer.
func (g *GoRedis) Get(ctx context.Context, key string) ([]byte, bool, error) {
	value, err := g.client.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	return value, err == nil, err
}

// Close implements Peer.
func (g *GoRedis) Close() error { return g.client.Close() }
