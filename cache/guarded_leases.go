package cache

import (
	"context"
	"slices"

	"github.com/fxcache/fxcache/cache/driver"
)

var _ driver.BatchLeaser = (*guarded)(nil)

func (g *guarded) GetOrLeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	return g.askForLeases(ctx, keys, g.features.BatchLeaser.GetOrLeaseMany)
}

func (g *guarded) LeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	return g.askForLeases(ctx, keys, g.features.BatchLeaser.LeaseMany)
}

// askForLeases is askForLease for many keys.
func (g *guarded) askForLeases(ctx context.Context, keys []string, ask func(context.Context, []string) []driver.LeaseResult) []driver.LeaseResult {
	keys = slices.Clone(keys) // the call may go on without its caller
	return runMany(ctx, g, len(keys), func() []driver.LeaseResult { return ask(ctx, keys) },
		func(err error) driver.LeaseResult { return driver.LeaseResult{Err: err} },
		func(results []driver.LeaseResult) {
			var late []*driver.Lease
			for _, r := range results {
				if r.Lease != nil {
					late = append(late, r.Lease)
				}
			}
			if len(late) > 0 {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.timeout())
				defer cancel()
				g.ReleaseMany(ctx, late)
			}
		})
}

// ExtendMany implements driver.BatchLeaser.
func (g *guarded) ExtendMany(ctx context.Context, leases []*driver.Lease) []driver.HoldResult {
	leases = slices.Clone(leases)
	return runMany(ctx, g, len(leases), func() []driver.HoldResult { return g.features.BatchLeaser.ExtendMany(ctx, leases) },
		func(err error) driver.HoldResult { return driver.HoldResult{Err: err} }, func([]driver.HoldResult) {})
}

// FillMany is not among the writes of the guard, as Fill is not.
func (g *guarded) FillMany(ctx context.Context, fills []driver.Fill) []driver.FillResult {
	fills = slices.Clone(fills)
	return runMany(ctx, g, len(fills), func() []driver.FillResult { return g.features.BatchLeaser.FillMany(ctx, fills) },
		func(err error) driver.FillResult { return driver.FillResult{Err: err} }, func([]driver.FillResult) {})
}

func (g *guarded) ReleaseMany(ctx context.Context, leases []*driver.Lease) []error {
	leases = slices.Clone(leases)
	return runMany(ctx, g, len(leases), func() []error { return g.features.BatchLeaser.ReleaseMany(ctx, leases) },
		func(err error) error { return err }, func([]error) {})
}

// runMany runs one operation on n keys. If it fails, each result is failed(err). late gets the
// results that nobody waits for any more.
func runMany[R any](ctx context.Context, g *guarded, n int, call func() []R, failed func(error) R, late func([]R)) []R {
	results, err := run(ctx, &g.guard.operations, func() ([]R, error) { return call(), nil }, func(results []R, tooLate bool) {
		if tooLate {
			late(results)
		}
	})
	if err != nil {
		return slices.Repeat([]R{failed(err)}, n)
	}
	return results
}
