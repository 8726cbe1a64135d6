package redis

import (
	"context"
	"slices"

	"github.com/fxcache/fxcache/cache/driver"
)

var _ driver.BatchLeaser = (*Strategy)(nil)

// GetOrLeaseMany implements driver.BatchLeaser: one pipeline for each node, with one script for
// each lane and 128 keys.
func (s *Strategy) GetOrLeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	return s.askForLeases(ctx, keys, true)
}

// LeaseMany implements driver.BatchLeaser, like GetOrLeaseMany.
func (s *Strategy) LeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	return s.askForLeases(ctx, keys, false)
}

func (s *Strategy) askForLeases(ctx context.Context, keys []string, read bool) []driver.LeaseResult {
	if len(keys) == 0 {
		return nil
	}
	st, err := s.initialised()
	if err != nil {
		return slices.Repeat([]driver.LeaseResult{{Err: err}}, len(keys))
	}
	return st.leases.ask(ctx, keys, read)
}

// ExtendMany implements driver.BatchLeaser: one pipeline for each node, with one script for each
// lease.
func (s *Strategy) ExtendMany(ctx context.Context, leases []*driver.Lease) []driver.HoldResult {
	st, err := s.initialised()
	if err != nil {
		return slices.Repeat([]driver.HoldResult{{Err: err}}, len(leases))
	}
	return st.leases.extend(ctx, leases, s.options.LeaseTTL, s.LeaseTTL())
}

// FillMany implements driver.BatchLeaser: one pipeline for each node, with one script for each lane
// and 128 entries.
func (s *Strategy) FillMany(ctx context.Context, fills []driver.Fill) []driver.FillResult {
	if len(fills) == 0 {
		return nil
	}
	st, err := s.initialised()
	if err != nil {
		return slices.Repeat([]driver.FillResult{{Err: err}}, len(fills))
	}
	return st.leases.fill(ctx, fills)
}

// ReleaseMany implements driver.BatchLeaser: one pipeline for each node, with one script for each
// lease. What fails is tried again in the background.
func (s *Strategy) ReleaseMany(ctx context.Context, leases []*driver.Lease) []error {
	st, err := s.initialised()
	if err != nil {
		return slices.Repeat([]error{err}, len(leases))
	}
	return st.leases.release(ctx, leases)
}
