package drivertest_test

import (
	"context"

	"github.com/fxcache/fxcache/cache/driver"
)

// broken is the reference with some methods replaced. A nil field leaves the method as it is.
type broken struct {
	*reference
	get        func(key string) ([]byte, bool, error)
	set        func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error
	delete     func(ctx context.Context, keys []string) error
	invalidate func(ctx context.Context, tags []string) error
	getOrLease func(key string) ([]byte, bool, *driver.Lease, error)
	lease      func(key string) (*driver.Lease, error)
	fill       func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error)
	extend     func(lease *driver.Lease) (bool, error)
	release    func(lease *driver.Lease) error
	clear      func() error
	getMany    func(ctx context.Context, keys []string) []driver.Result
	setMany    func(ctx context.Context, items []driver.Item) []error
	init       func() error

	leaseMany   func(keys []string, read bool) []driver.LeaseResult
	extendMany  func(leases []*driver.Lease) []driver.HoldResult
	fillMany    func(fills []driver.Fill) []driver.FillResult
	releaseMany func(leases []*driver.Lease) []error

	destroy func() error
}

func (b *broken) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if b.get != nil {
		return b.get(key)
	}
	return b.reference.Get(ctx, key)
}

func (b *broken) Set(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
	if b.set != nil {
		return b.set(ctx, key, value, opts)
	}
	return b.reference.Set(ctx, key, value, opts)
}

func (b *broken) Delete(ctx context.Context, keys ...string) error {
	if b.delete != nil {
		return b.delete(ctx, keys)
	}
	return b.reference.Delete(ctx, keys...)
}

func (b *broken) InvalidateTags(ctx context.Context, tags ...string) error {
	if b.invalidate != nil {
		return b.invalidate(ctx, tags)
	}
	return b.reference.InvalidateTags(ctx, tags...)
}

func (b *broken) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	if b.getOrLease != nil {
		return b.getOrLease(key)
	}
	return b.reference.GetOrLease(ctx, key)
}

func (b *broken) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	if b.lease != nil {
		return b.lease(key)
	}
	return b.reference.Lease(ctx, key)
}

func (b *broken) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
	if b.fill != nil {
		return b.fill(ctx, lease, value, opts)
	}
	return b.reference.Fill(ctx, lease, value, opts)
}

func (b *broken) Extend(ctx context.Context, lease *driver.Lease) (bool, error) {
	if b.extend != nil {
		return b.extend(lease)
	}
	return b.reference.Extend(ctx, lease)
}

func (b *broken) Release(ctx context.Context, lease *driver.Lease) error {
	if b.release != nil {
		return b.release(lease)
	}
	return b.reference.Release(ctx, lease)
}

func (b *broken) Clear(ctx context.Context) error {
	if b.clear != nil {
		return b.clear()
	}
	return b.reference.Clear(ctx)
}

func (b *broken) GetMany(ctx context.Context, keys, tags []string) []driver.Result {
	if b.getMany != nil {
		return b.getMany(ctx, keys)
	}
	return b.reference.GetMany(ctx, keys, tags)
}

func (b *broken) SetMany(ctx context.Context, items []driver.Item) []error {
	if b.setMany != nil {
		return b.setMany(ctx, items)
	}
	return b.reference.SetMany(ctx, items)
}

// Init runs the replacement after the real one.
func (b *broken) Init(ctx context.Context, in driver.Injector) error {
	if err := b.reference.Init(ctx, in); err != nil || b.init == nil {
		return err
	}
	return b.init()
}

func (b *broken) Destroy(ctx context.Context) error {
	if b.destroy != nil {
		return b.destroy()
	}
	return b.reference.Destroy(ctx)
}
