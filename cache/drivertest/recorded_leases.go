package drivertest

import (
	"context"
	"slices"

	"github.com/fxcache/fxcache/cache/driver"
)

// recordedBatchLeaser records the operations of a BatchLeaser. A planned failure fails each of the
// keys.
type recordedBatchLeaser struct {
	recorder *Recorder
	leaser   driver.BatchLeaser
}

func (s recordedBatchLeaser) GetOrLeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	return recordMany(ctx, s.recorder, Operation{Name: OpGetOrLeaseMany, Keys: keys}, len(keys),
		func() []driver.LeaseResult { return s.leaser.GetOrLeaseMany(ctx, keys) },
		func(err error) driver.LeaseResult { return driver.LeaseResult{Err: err} })
}

func (s recordedBatchLeaser) LeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	return recordMany(ctx, s.recorder, Operation{Name: OpLeaseMany, Keys: keys}, len(keys),
		func() []driver.LeaseResult { return s.leaser.LeaseMany(ctx, keys) },
		func(err error) driver.LeaseResult { return driver.LeaseResult{Err: err} })
}

func (s recordedBatchLeaser) ExtendMany(ctx context.Context, leases []*driver.Lease) []driver.HoldResult {
	return recordMany(ctx, s.recorder, Operation{Name: OpExtendMany, Keys: keysOf(leases...)}, len(leases),
		func() []driver.HoldResult { return s.leaser.ExtendMany(ctx, leases) },
		func(err error) driver.HoldResult { return driver.HoldResult{Err: err} })
}

func (s recordedBatchLeaser) FillMany(ctx context.Context, fills []driver.Fill) []driver.FillResult {
	leases := make([]*driver.Lease, len(fills))
	for i, fill := range fills {
		leases[i] = fill.Lease
	}
	return recordMany(ctx, s.recorder, Operation{Name: OpFillMany, Keys: keysOf(leases...)}, len(fills),
		func() []driver.FillResult { return s.leaser.FillMany(ctx, fills) },
		func(err error) driver.FillResult { return driver.FillResult{Err: err} })
}

func (s recordedBatchLeaser) ReleaseMany(ctx context.Context, leases []*driver.Lease) []error {
	return recordMany(ctx, s.recorder, Operation{Name: OpReleaseMany, Keys: keysOf(leases...)}, len(leases),
		func() []error { return s.leaser.ReleaseMany(ctx, leases) },
		func(err error) error { return err })
}

// recordMany records an operation on n keys. If it fails, each result is failed(err).
func recordMany[R any](ctx context.Context, r *Recorder, o Operation, n int, perform func() []R, failed func(error) R) (results []R) {
	err := r.do(ctx, o, func() error {
		results = perform()
		return nil
	})
	if err != nil {
		results = slices.Repeat([]R{failed(err)}, n)
	}
	return results
}

// keysOf returns the keys of leases, without those that are nil.
func keysOf(leases ...*driver.Lease) (keys []string) {
	for _, lease := range leases {
		if lease != nil {
			keys = append(keys, lease.Key)
		}
	}
	return keys
}
