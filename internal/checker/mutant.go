package checker

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// The mutants of a strategy. The checker has to find each of them.
const (
	// SwallowDelete: one Delete in a hundred returns nil and does nothing.
	SwallowDelete = "swallow-delete"
	// SwallowTags: one InvalidateTags in ten returns nil and does nothing.
	SwallowTags = "swallow-tags"
	// BlindFill: Fill stores the value even if its lease is no longer valid.
	BlindFill = "blind-fill"
)

// mutantOf returns a mutant of strategy.
func mutantOf(strategy driver.Strategy, mutant string) (driver.Strategy, error) {
	leaser, ok := strategy.(driver.Leaser)
	if !ok {
		return nil, fmt.Errorf("%T has no leases", strategy)
	}
	switch mutant {
	case SwallowDelete, SwallowTags, BlindFill:
		return &mutantStrategy{leaser, mutant}, nil
	default:
		return nil, fmt.Errorf("there is no mutant %q", mutant)
	}
}

type mutantStrategy struct {
	driver.Leaser
	mutant string
}

var (
	_ driver.Leaser      = (*mutantStrategy)(nil)
	_ driver.Initializer = (*mutantStrategy)(nil)
	_ driver.Destroyer   = (*mutantStrategy)(nil)
)

// Init implements driver.Initializer.
func (f *mutantStrategy) Init(ctx context.Context, in driver.Injector) error {
	if init, ok := f.Leaser.(driver.Initializer); ok {
		return init.Init(ctx, in)
	}
	return nil
}

// Destroy implements driver.Destroyer.
func (f *mutantStrategy) Destroy(ctx context.Context) error {
	if destroy, ok := f.Leaser.(driver.Destroyer); ok {
		return destroy.Destroy(ctx)
	}
	return nil
}

// Delete implements driver.Strategy.
func (f *mutantStrategy) Delete(ctx context.Context, keys ...string) error {
	if f.mutant == SwallowDelete && rand.N(100) == 0 { //nolint:gosec // not a secret
		return nil
	}
	return f.Leaser.Delete(ctx, keys...)
}

// InvalidateTags implements driver.Strategy.
func (f *mutantStrategy) InvalidateTags(ctx context.Context, tags ...string) error {
	if f.mutant == SwallowTags && rand.N(10) == 0 { //nolint:gosec // not a secret
		return nil
	}
	return f.Leaser.InvalidateTags(ctx, tags...)
}

// Fill implements driver.Leaser.
func (f *mutantStrategy) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts cache.SetOptions) (bool, error) {
	if f.mutant == BlindFill {
		return true, f.Set(ctx, lease.Key, value, opts)
	}
	return f.Leaser.Fill(ctx, lease, value, opts)
}
