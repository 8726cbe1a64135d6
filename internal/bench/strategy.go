package bench

import (
	"context"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/strategies/redis"
)

// open starts a Service on the redis strategy with its defaults. Only the timeout is long if
// options has none, because on a shared machine a slow reply must not count as a miss.
func open(ctx context.Context, addr string, options cache.Options) (*redis.Strategy, *cache.Service, error) {
	strategy, err := redis.New(redis.Options{Addresses: []string{addr}})
	if err != nil {
		return nil, nil, err
	}
	options.Namespace = strings.TrimSuffix(Namespace, ":")
	if options.Timeout == 0 {
		options.Timeout = 10 * time.Second
	}
	service, err := cache.NewService(strategy, options)
	if err != nil {
		return nil, nil, err
	}
	return strategy, service, service.Start(ctx, nil)
}

// NewService starts a Service on the redis strategy of one server, and returns what stops it.
func NewService(ctx context.Context, addr string) (service *cache.Service, stop func() error, err error) {
	_, service, err = open(ctx, addr, cache.Options{})
	return service, func() error { return service.Stop(context.Background()) }, err
}

// Static is the redis strategy for entries whose only tag the policy of their Cache knows.
type Static struct {
	strategy *redis.Strategy
	service  *cache.Service
	tags     []string
}

// NewStatic connects to one server.
func NewStatic(ctx context.Context, addr string) (*Static, error) {
	strategy, service, err := open(ctx, addr, cache.Options{})
	if err != nil {
		return nil, err
	}
	return &Static{strategy, service, []string{Namespace + "session:all"}}, nil
}

// Set implements Peer.
func (s *Static) Set(ctx context.Context, key string, value []byte) error {
	return s.strategy.Set(ctx, key, value, cache.SetOptions{TTL: TTL, Tags: s.tags})
}

// Get implements Peer.
func (s *Static) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return s.strategy.GetHinted(ctx, key, s.tags)
}

// Close implements Peer.
func (s *Static) Close() error { return s.service.Stop(context.Background()) }

// Dynamic is the redis strategy for entries whose tags only their values know. They have the tags
// that sessions have: one that all share, and that of the user.
type Dynamic struct{ Static }

// NewDynamic connects to one server.
func NewDynamic(ctx context.Context, addr string) (*Dynamic, error) {
	static, err := NewStatic(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &Dynamic{*static}, nil
}

// Set implements Peer. The end of the key stands for the number of the user.
func (d *Dynamic) Set(ctx context.Context, key string, value []byte) error {
	user := key[max(0, len(key)-6):]
	tags := []string{d.tags[0], Namespace + "session:user:" + user}
	return d.strategy.Set(ctx, key, value, cache.SetOptions{TTL: TTL, Tags: tags})
}

// Get implements Peer.
func (d *Dynamic) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return d.strategy.Get(ctx, key)
}
