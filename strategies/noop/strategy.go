// Package noop is the strategy that stores nothing. Every read is a miss, and every write succeeds.
// It switches caching off without a change to the application.
package noop

import (
	"context"

	"github.com/fxcache/fxcache/cache"
)

// Name selects this strategy in the configuration.
const Name = "noop"

// Strategy is a cache.Strategy that stores nothing. The zero value is ready to use, and safe for
// concurrent use.
type Strategy struct{}

var (
	_ cache.Leaser  = Strategy{}
	_ cache.Clearer = Strategy{}
	_ cache.Local   = Strategy{}
)

// Factory makes the strategy. Its section of the configuration has no keys.
func Factory() cache.Factory {
	return cache.Factory{Name: Name, New: func(cfg cache.Decoder) (cache.Strategy, error) {
		var none struct{}
		if err := cfg.Decode(&none); err != nil {
			return nil, err
		}
		return Strategy{}, nil
	}}
}

// Local implements cache.Local.
func (Strategy) Local() {}

// Get implements cache.Strategy: always a miss.
func (Strategy) Get(context.Context, string) ([]byte, bool, error) { return nil, false, nil }

// Set implements cache.Strategy. It stores nothing, but refuses what every strategy refuses.
func (Strategy) Set(_ context.Context, _ string, _ []byte, opts cache.SetOptions) error {
	if opts.TTL <= 0 {
		return cache.ErrInvalidTTL
	}
	return nil
}

// Delete implements cache.Strategy.
func (Strategy) Delete(context.Context, ...string) error { return nil }

// InvalidateTags implements cache.Strategy.
func (Strategy) InvalidateTags(context.Context, ...string) error { return nil }

// Clear implements cache.Clearer.
func (Strategy) Clear(context.Context) error { return nil }

// GetOrLease implements cache.Leaser: a miss, and a lease for every caller, so that nobody waits
// for another caller's value.
func (s Strategy) GetOrLease(ctx context.Context, key string, tags []string) ([]byte, bool, *cache.Lease, error) {
	lease, err := s.Lease(ctx, key, tags)
	return nil, false, lease, err
}

// Lease implements cache.Leaser.
func (Strategy) Lease(_ context.Context, key string, tags []string) (*cache.Lease, error) {
	return &cache.Lease{Key: key, Tags: tags}, nil
}

// Fill implements cache.Leaser: never stored.
func (Strategy) Fill(_ context.Context, _ *cache.Lease, _ []byte, opts cache.SetOptions) (bool, error) {
	if opts.TTL <= 0 {
		return false, cache.ErrInvalidTTL
	}
	return false, nil
}

// Release implements cache.Leaser.
func (Strategy) Release(context.Context, *cache.Lease) error { return nil }
