package drivertest_test

import (
	"context"
	"slices"

	"github.com/fxcache/fxcache/cache/driver"
)

var batchLeaseMutants = []mutant{
	broke("one lease too many", "BatchLeases/NoKeys", func(b *broken, r *reference) {
		b.leaseMany = func(keys []string, read bool) []driver.LeaseResult {
			return append(r.leaseMany(keys, read), driver.LeaseResult{})
		}
	}),
	broke("leases in another order", "BatchLeases/GetOrLeaseManyIsGetOrLease BatchLeases/ManyKeys", func(b *broken, r *reference) {
		b.leaseMany = func(keys []string, read bool) []driver.LeaseResult {
			results := r.leaseMany(keys, read)
			slices.Reverse(results)
			return results
		}
	}),
	broke("lease_many ends with the first hit", "BatchLeases/GetOrLeaseManyIsGetOrLease", func(b *broken, r *reference) {
		b.leaseMany = func(keys []string, read bool) []driver.LeaseResult {
			results := r.leaseMany(keys, read)
			if hit := slices.IndexFunc(results, func(r driver.LeaseResult) bool { return r.Found }); hit >= 0 {
				clear(results[hit+1:])
			}
			return results
		}
	}),
	broke("lease_many reads", "BatchLeases/LeaseManyIsLease", func(b *broken, r *reference) {
		b.leaseMany = func(keys []string, _ bool) []driver.LeaseResult { return r.leaseMany(keys, true) }
	}),
	broke("fill_many stores all", "BatchLeases/FillManyIsFill", func(b *broken, r *reference) {
		b.fillMany = func(fills []driver.Fill) []driver.FillResult {
			results := r.FillMany(anyContext, fills)
			for i, fill := range fills {
				if fill.Lease != nil && !results[i].Stored && results[i].Err == nil {
					results[i].Stored = r.Set(anyContext, fill.Lease.Key, fill.Value, fill.Options) == nil
				}
			}
			return results
		}
	}),
	broke("a refused fill ends the list", "BatchLeases/FillManyIsFill BatchLeases/RefusedFills", func(b *broken, r *reference) {
		b.fillMany = func(fills []driver.Fill) []driver.FillResult {
			results := make([]driver.FillResult, len(fills))
			for i := range fills {
				if results[i] = r.FillMany(anyContext, fills[i:i+1])[0]; !results[i].Stored {
					break
				}
			}
			return results
		}
	}),
	broke("release_many releases the first", "BatchLeases/ReleaseManyIsRelease", func(b *broken, r *reference) {
		b.releaseMany = func(leases []*driver.Lease) []error {
			return append(r.ReleaseMany(anyContext, leases[:min(1, len(leases))]), make([]error, max(0, len(leases)-1))...)
		}
	}),
	broke("extend_many extends the first", "BatchLeases/ExtendManyIsExtend", func(b *broken, r *reference) {
		b.extendMany = func(leases []*driver.Lease) []driver.HoldResult {
			return append(r.ExtendMany(anyContext, leases[:1]), make([]driver.HoldResult, len(leases)-1)...)
		}
	}),
	broke("no answer for an ended context", "BatchLeases/EndedContext", func(b *broken, r *reference) {
		b.leaseMany = func(keys []string, read bool) []driver.LeaseResult {
			if len(keys) == 2 {
				return nil
			}
			return r.leaseMany(keys, read)
		}
	}),
}

func (r *reference) GetOrLeaseMany(_ context.Context, keys []string) []driver.LeaseResult {
	return r.leaseMany(keys, true)
}

func (r *reference) LeaseMany(_ context.Context, keys []string) []driver.LeaseResult {
	return r.leaseMany(keys, false)
}

func (r *reference) leaseMany(keys []string, read bool) []driver.LeaseResult {
	results := make([]driver.LeaseResult, len(keys))
	for i, key := range keys {
		l := &results[i]
		if read {
			l.Value, l.Found, l.Lease, l.Err = r.GetOrLease(anyContext, key)
		} else {
			l.Lease, l.Err = r.Lease(anyContext, key)
		}
	}
	return results
}

func (r *reference) ExtendMany(ctx context.Context, leases []*driver.Lease) []driver.HoldResult {
	results := make([]driver.HoldResult, len(leases))
	for i, lease := range leases {
		results[i].Held, results[i].Err = r.Extend(ctx, lease)
	}
	return results
}

func (r *reference) FillMany(ctx context.Context, fills []driver.Fill) []driver.FillResult {
	results := make([]driver.FillResult, len(fills))
	for i, fill := range fills {
		if fill.Lease != nil {
			results[i].Stored, results[i].Err = r.Fill(ctx, fill.Lease, fill.Value, fill.Options)
		}
	}
	return results
}

func (r *reference) ReleaseMany(ctx context.Context, leases []*driver.Lease) []error {
	failures := make([]error, len(leases))
	for i, lease := range leases {
		failures[i] = r.Release(ctx, lease)
	}
	return failures
}

func (b *broken) GetOrLeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	if b.leaseMany != nil {
		return b.leaseMany(keys, true)
	}
	return b.reference.GetOrLeaseMany(ctx, keys)
}

func (b *broken) LeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	if b.leaseMany != nil {
		return b.leaseMany(keys, false)
	}
	return b.reference.LeaseMany(ctx, keys)
}

func (b *broken) ExtendMany(ctx context.Context, leases []*driver.Lease) []driver.HoldResult {
	if b.extendMany != nil {
		return b.extendMany(leases)
	}
	return b.reference.ExtendMany(ctx, leases)
}

func (b *broken) FillMany(ctx context.Context, fills []driver.Fill) []driver.FillResult {
	if b.fillMany != nil {
		return b.fillMany(fills)
	}
	return b.reference.FillMany(ctx, fills)
}

func (b *broken) ReleaseMany(ctx context.Context, leases []*driver.Lease) []error {
	if b.releaseMany != nil {
		return b.releaseMany(leases)
	}
	return b.reference.ReleaseMany(ctx, leases)
}
