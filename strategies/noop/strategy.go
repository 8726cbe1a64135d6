// Package noop is the strategy that stores nothing. Every read is a miss, and every write succeeds.
// It switches caching off without a change to the application.
package noop

import (
	"context"

	"github.com/fxcache/fxcache/cache/driver"
)

// Name selects this strategy in the configuration.
const Name = "noop"

// Strategy is a driver.Strategy that stores nothing. The zero value is ready to use, and safe for
// concurrent use.
type Strategy struct{}

var (
	_ driver.Leaser  = Strategy{}
	_ driver.Clearer = Strategy{}
	_ driver.Local   = Strategy{}
)

// Factory makes the strategy. Its section of the configuration has no keys.
func Factory() driver.Factory {
	return driver.Factory{Name: Name, New: func(cfg driver.Decoder) (driver.Strategy, error) {
		var none struct{}
		if err := cfg.Decode(&none); err != nil {
			return nil, err
		}
		return Strategy{}, nil
	}}
}

// Local implements driver.Local.
func (Strategy) Local() {}

// Get implements driver.Strategy: always a miss.
func (Strategy) Get(context.Context, string) ([]byte, bool, error) { return nil, false, nil }

// Set implements driver.Strategy. It stores nothing, but refuses what every strategy refuses.
func (Strategy) Set(_ context.Context, _ string, _ []byte, opts driver.SetOptions) error {
	if opts.TTL <= 0 {
		return driver.ErrInvalidTTL
	}
	return nil
}

// Delete implements driver.Strategy.
func (Strategy) Delete(context.Context, ...string) error { return nil }

// InvalidateTags implements driver.Strategy.
func (Strategy) InvalidateTags(context.Context, ...string) error { return nil }

// Clear implements driver.Clearer.
func (Strategy) Clear(context.Context) error { return nil }

// GetOrLease implements driver.Leaser: a miss, and a lease for every caller, so that nobody waits
// for another caller's value.
func (s Strategy) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	lease, err := s.Lease(ctx, key)
	return nil, false, lease, err
}

// Lease implements driver.Leaser.
func (Strategy) Lease(_ context.Context, key string) (*driver.Lease, error) {
	return &driver.Lease{Key: key}, nil
}

// Fill implements driver.Leaser: never stored.
func (Strategy) Fill(_ context.Context, _ *driver.Lease, _ []byte, opts driver.SetOptions) (bool, error) {
	if opts.TTL <= 0 {
		return false, driver.ErrInvalidTTL
	}
	return false, nil
}

// Release implements driver.Leaser.
func (Strategy) Release(context.Context, *driver.Lease) error { return nil }
