package cache

import (
	"context"
	"slices"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/failure"
)

// leaseBatch is a door, for the leases of many keys. Each operation is what the door does for
// each of them. With a driver.BatchLeaser, it is one operation for all of them, which stands behind
// the circuit breaker and pending revocations as that of the door does.
type leaseBatch struct{ *door }

func (d leaseBatch) getOrLease(ctx context.Context, keys []string) []driver.LeaseResult {
	results := make([]driver.LeaseResult, len(keys))
	if d.features.BatchLeaser == nil || len(keys) == 0 {
		for i, key := range keys {
			r := &results[i]
			r.Value, r.Found, r.Lease, r.Err = d.door.getOrLease(ctx, key)
		}
		return results
	}
	err := d.mayHit(ctx)
	if err == nil {
		err = batched(ctx, d.door, results, func(bounded context.Context) []driver.LeaseResult {
			return d.features.BatchLeaser.GetOrLeaseMany(bounded, d.keys(keys))
		}, leaseError)
	}
	return failedOr(results, err, driver.LeaseResult{Err: err})
}

func (d leaseBatch) lease(ctx context.Context, keys []string) []driver.LeaseResult {
	results := make([]driver.LeaseResult, len(keys))
	if d.features.BatchLeaser == nil || len(keys) == 0 {
		for i, key := range keys {
			results[i].Lease, results[i].Err = d.door.lease(ctx, key)
		}
		return results
	}
	err := batched(ctx, d.door, results, func(bounded context.Context) []driver.LeaseResult {
		return d.features.BatchLeaser.LeaseMany(bounded, d.keys(keys))
	}, leaseError)
	return failedOr(results, err, driver.LeaseResult{Err: err})
}

func (d leaseBatch) fill(ctx context.Context, fills []driver.Fill) []driver.FillResult {
	results := make([]driver.FillResult, len(fills))
	if d.features.BatchLeaser == nil || len(fills) == 0 {
		for i, fill := range fills {
			results[i].Stored, results[i].Err = d.door.fill(ctx, fill.Lease, fill.Value, fill.Options)
		}
		return results
	}
	for i := range fills {
		fills[i].Options.Tags = d.keys(fills[i].Options.Tags)
	}
	err := batched(ctx, d.door, results, func(bounded context.Context) []driver.FillResult {
		return d.features.BatchLeaser.FillMany(bounded, fills)
	}, func(r *driver.FillResult) *error { return &r.Err })
	return failedOr(results, err, driver.FillResult{Err: err})
}

func (d leaseBatch) extend(ctx context.Context, leases []*driver.Lease) []driver.HoldResult {
	results := make([]driver.HoldResult, len(leases))
	if d.features.BatchLeaser == nil {
		for i, lease := range leases {
			results[i].Held, results[i].Err = d.door.extend(ctx, lease)
		}
		return results
	}
	err := d.call(ctx, func(bounded context.Context) error {
		return copyAll(results, d.features.BatchLeaser.ExtendMany(bounded, leases))
	})
	return failedOr(results, err, driver.HoldResult{Err: err})
}

// release gives leases up unused, as door.release does.
func (d leaseBatch) release(ctx context.Context, leases []*driver.Lease) {
	if d.features.BatchLeaser == nil {
		for _, lease := range leases {
			d.door.release(ctx, lease)
		}
		return
	}
	if len(leases) == 0 {
		return
	}
	failures := make([]error, len(leases))
	err := d.call(ctx, func(bounded context.Context) error {
		return copyAll(failures, d.features.BatchLeaser.ReleaseMany(bounded, leases))
	})
	for _, failed := range append(failures, err) {
		if failed != nil {
			d.store.logger.warn(ctx, ofFills, "cache: a lease could not be released", failed)
			return
		}
	}
}

func leaseError(r *driver.LeaseResult) *error { return &r.Err }

// failedOr returns results, or, if there is an error, failed in place of each.
func failedOr[R any](results []R, err error, failed R) []R {
	if err == nil {
		return results
	}
	return slices.Repeat([]R{failed}, len(results))
}

// batched runs one operation on many keys, and copies its answers to results. For the circuit
// breaker it is one operation, which fails if no key succeeds. The error then is one of theirs.
func batched[R any](ctx context.Context, d *door, results []R, operation func(context.Context) []R, errorOf func(*R) *error) error {
	return d.withBreaker(ctx, func(bounded context.Context) error {
		if err := copyAll(results, operation(bounded)); err != nil {
			return err
		}
		failures, worst := 0, error(nil)
		for i := range results {
			err := errorOf(&results[i])
			if *err == nil {
				continue
			}
			failures++
			*err = timeoutError(ctx, d.timeout(), *err)
			// prefer an error that concerns the whole strategy
			if worst == nil || failure.IsBadEntry(worst) {
				worst = *err
			}
		}
		if failures == len(results) {
			return worst
		}
		return nil
	})
}
