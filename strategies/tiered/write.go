package tiered

import (
	"context"

	"github.com/fxcache/fxcache/cache/driver"
)

// Each write and revocation drops the copies of this node before Redis is asked, and again after it
// has answered, whatever it answered. So no read of this node that starts afterwards finds an older
// copy: a lease from before the second time is refused. The other nodes hear of it over their
// feeds.

// around runs a write of the entries of keys.
func (s *Strategy) around(keys []string, write func()) {
	if c := s.copies.Load(); c != nil {
		c.drop(keys...)
		defer c.drop(keys...)
	}
	write()
}

// aroundTags runs a revocation by tags.
func (s *Strategy) aroundTags(tags []string, revoke func()) {
	if c := s.copies.Load(); c != nil {
		c.dropTags(tags...)
		defer c.dropTags(tags...)
	}
	revoke()
}

// aroundAll runs a revocation of everything.
func (s *Strategy) aroundAll(revoke func()) {
	if c := s.copies.Load(); c != nil {
		c.clear()
		defer c.clear()
	}
	revoke()
}

// Set implements driver.Strategy.
func (s *Strategy) Set(ctx context.Context, key string, value []byte, opts driver.SetOptions) (err error) {
	s.around([]string{key}, func() { err = s.l2.Set(ctx, key, value, opts) })
	return err
}

// SetMany implements driver.Batcher.
func (s *Strategy) SetMany(ctx context.Context, items []driver.Item) (errs []error) {
	keys := make([]string, len(items))
	for i := range items {
		keys[i] = items[i].Key
	}
	s.around(keys, func() { errs = s.l2.SetMany(ctx, items) })
	return errs
}

// Delete implements driver.Strategy.
func (s *Strategy) Delete(ctx context.Context, keys ...string) (err error) {
	s.around(keys, func() { err = s.l2.Delete(ctx, keys...) })
	return err
}

// InvalidateTags implements driver.Strategy.
func (s *Strategy) InvalidateTags(ctx context.Context, tags ...string) (err error) {
	s.aroundTags(tags, func() { err = s.l2.InvalidateTags(ctx, tags...) })
	return err
}

// Clear implements driver.Clearer.
func (s *Strategy) Clear(ctx context.Context) (err error) {
	s.aroundAll(func() { err = s.l2.Clear(ctx) })
	return err
}

// GetOrLease implements driver.Leaser: a copy, or Redis' answer, which is no copy because a script
// reads it and Redis would not track all that it reads.
func (s *Strategy) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	return s.l2.GetOrLease(ctx, key)
}

// Lease implements driver.Leaser.
func (s *Strategy) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	return s.l2.Lease(ctx, key)
}

// Fill implements driver.Leaser.
func (s *Strategy) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (stored bool, err error) {
	if lease == nil {
		return s.l2.Fill(ctx, lease, value, opts)
	}
	s.around([]string{lease.Key}, func() { stored, err = s.l2.Fill(ctx, lease, value, opts) })
	return stored, err
}

// Release implements driver.Leaser.
func (s *Strategy) Release(ctx context.Context, lease *driver.Lease) error {
	return s.l2.Release(ctx, lease)
}

// GetOrLeaseMany implements driver.BatchLeaser.
func (s *Strategy) GetOrLeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	return s.l2.GetOrLeaseMany(ctx, keys)
}

// LeaseMany implements driver.BatchLeaser.
func (s *Strategy) LeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	return s.l2.LeaseMany(ctx, keys)
}

// ExtendMany implements driver.BatchLeaser.
func (s *Strategy) ExtendMany(ctx context.Context, leases []*driver.Lease) []driver.HoldResult {
	return s.l2.ExtendMany(ctx, leases)
}

// FillMany implements driver.BatchLeaser.
func (s *Strategy) FillMany(ctx context.Context, fills []driver.Fill) (results []driver.FillResult) {
	keys := make([]string, 0, len(fills))
	for i := range fills {
		if fills[i].Lease != nil {
			keys = append(keys, fills[i].Lease.Key)
		}
	}
	s.around(keys, func() { results = s.l2.FillMany(ctx, fills) })
	return results
}

// ReleaseMany implements driver.BatchLeaser.
func (s *Strategy) ReleaseMany(ctx context.Context, leases []*driver.Lease) []error {
	return s.l2.ReleaseMany(ctx, leases)
}
