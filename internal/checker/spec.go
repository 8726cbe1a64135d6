package checker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/noop"
	"github.com/fxcache/fxcache/strategies/redis"
	"github.com/fxcache/fxcache/strategies/tiered"
)

// Spec describes a node. The node's process receives it as JSON.
type Spec struct {
	// Socket is where the coordinator listens.
	Socket string
	// Node is the number of this node. A process that replaces another one is another node.
	Node int
	// Clients is how many clients work at the same time. They are numbered from FirstClient.
	Clients, FirstClient int
	// Seed makes the choices of the clients.
	Seed uint64
	// Quota is how many operations a client does in a window at most.
	Quota int

	// Strategy is bigcache, noop, redis or tiered.
	Strategy string
	// Mode, Addresses, Connections, Lanes and WaitReplicas are those of redis.Options.
	Mode                             string
	Addresses                        []string
	Connections, Lanes, WaitReplicas int
	// Lag is that of tiered.Options.
	Lag time.Duration
	// StaleAfter is that of the sessions, LeaseTTL that of the strategy.
	StaleAfter, LeaseTTL time.Duration
	// Handover is how long the nodes take to learn that Addresses have changed. 0 is the default.
	Handover time.Duration
	// Mutant names a mutant of the strategy, such as [SwallowDelete]. "" means none.
	Mutant string
}

// cached is the cache of a node.
type cached struct {
	service  *cache.Service
	sessions sessioncache.Sessions
	rows     *cache.Cache[Mark]
}

// store returns the storage that a node is configured to use.
func (s Spec) store(clock driver.Clock) (cache.Store, error) {
	strategy, err := s.strategy()
	if err == nil && s.Mutant != "" {
		strategy, err = mutantOf(strategy, s.Mutant)
	}
	return cache.Store{Strategy: strategy, Options: cache.Options{
		Namespace: "checker", Clock: clock, Logger: slog.New(slog.DiscardHandler), StrategyName: s.Strategy, Handover: s.Handover,
	}}, err
}

func (s Spec) strategy() (driver.Strategy, error) {
	switch s.Strategy {
	case bigcache.Name:
		return bigcache.New(bigcache.Options{LeaseTTL: s.LeaseTTL})
	case noop.Name:
		return noop.Strategy{}, nil
	case redis.Name:
		return s.redis()
	case tiered.Name:
		near, err := bigcache.New(bigcache.Options{})
		far, failed := s.redis()
		if err = errors.Join(err, failed); err != nil {
			return nil, err
		}
		return tiered.New(tiered.Options{Lag: s.Lag}, near, far)
	default:
		return nil, fmt.Errorf("there is no strategy %q", s.Strategy)
	}
}

func (s Spec) redis() (*redis.Strategy, error) {
	return redis.New(redis.Options{
		Mode: s.Mode, Addresses: s.Addresses, Connections: s.Connections, Lanes: s.Lanes, WaitReplicas: s.WaitReplicas, LeaseTTL: s.LeaseTTL,
	})
}

// open starts the cache as an application would, without fx.
func (s Spec) open(ctx context.Context, clock driver.Clock) (*cached, error) {
	store, err := s.store(clock)
	if err != nil {
		return nil, err
	}
	service, err := cache.NewService(store.Strategy, store.Options)
	if err != nil {
		return nil, err
	}
	if err := service.Start(ctx, nil); err != nil {
		return nil, err
	}
	container := dig.New()
	if err := service.ProvideTo(container); err != nil {
		return nil, err
	}
	sessions, err := sessioncache.New(sessioncache.Options{StaleAfter: s.StaleAfter})
	if err != nil {
		return nil, err
	}
	rows, err := cache.New(service, "rows", rowPolicy)
	if err != nil {
		return nil, err
	}
	return &cached{service, sessions, rows}, sessions.Init(ctx, container)
}
