package checker

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// The flaws that a strategy can be given, to see that the checker finds them.
const (
	// SwallowDelete: one Delete of a hundred returns nil and does nothing.
	SwallowDelete = "swallow-delete"
	// SwallowTags: one InvalidateTags of ten returns nil and does nothing.
	SwallowTags = "swallow-tags"
	// BlindFill: Fill stores whatever became of its lease.
	BlindFill = "blind-fill"
)

// flawed returns strategy with a flaw.
func flawed(strategy driver.Strategy, flaw string) (driver.Strategy, error) {
	leaser, ok := strategy.(driver.Leaser)
	if !ok {
		return nil, fmt.Errorf("%T has no leases", strategy)
	}
	switch flaw {
	case SwallowDelete, SwallowTags, BlindFill:
		return &flawedStrategy{leaser, flaw}, nil
	default:
		return nil, fmt.Errorf("there is no flaw %q", flaw)
	}
}

type flawedStrategy struct {
	driver.Leaser
	flaw string
}

var (
	_ driver.Leaser      = (*flawedStrategy)(nil)
	_ driver.Initializer = (*flawedStrategy)(nil)
	_ driver.Destroyer   = (*flawedStrategy)(nil)
)

// Init implements driver.Initializer.
func (f *flawedStrategy) Init(ctx context.Context, in driver.Injector) error {
	if init, ok := f.Leaser.(driver.Initializer); ok {
		return init.Init(ctx, in)
	}
	return nil
}

// Destroy implements driver.Destroyer.
func (f *flawedStrategy) Destroy(ctx context.Context) error {
	if destroy, ok := f.Leaser.(driver.Destroyer); ok {
		return destroy.Destroy(ctx)
	}
	return nil
}

// Delete implements driver.Strategy.
func (f *flawedStrategy) Delete(ctx context.Context, keys ...string) error {
	if f.flaw == SwallowDelete && rand.N(100) == 0 { //nolint:gosec // not a secret
		return nil
	}
	return f.Leaser.Delete(ctx, keys...)
}

// InvalidateTags implements driver.Strategy.
func (f *flawedStrategy) InvalidateTags(ctx context.Context, tags ...string) error {
	if f.flaw == SwallowTags && rand.N(10) == 0 { //nolint:gosec // not a secret
		return nil
	}
	return f.Leaser.InvalidateTags(ctx, tags...)
}

// Fill implements driver.Leaser.
func (f *flawedStrategy) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts cache.SetOptions) (bool, error) {
	if f.flaw == BlindFill {
		return true, f.Set(ctx, lease.Key, value, opts)
	}
	return f.Leaser.Fill(ctx, lease, value, opts)
}
