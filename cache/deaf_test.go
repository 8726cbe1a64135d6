package cache_test

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// deaf is a strategy with every optional part, none of which listens to its context: each call
// waits, and is performed after that.
type deaf struct {
	table table // not embedded: it is Cancellable

	wait   func(operation string) // before a call is performed
	leases atomic.Int64           // granted and not released
	opened atomic.Int64           // Init without Destroy
	filled atomic.Bool
}

func slow(d time.Duration) *deaf {
	return &deaf{wait: func(string) { <-time.After(d) }}
}

func (s *deaf) Get(ctx context.Context, key string) ([]byte, bool, error) {
	s.wait("Get")
	return s.table.Get(ctx, key)
}

func (s *deaf) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	s.wait("Set")
	return s.table.Set(ctx, key, value, opts)
}

func (s *deaf) Delete(ctx context.Context, keys ...string) error {
	s.wait("Delete")
	return s.table.Delete(ctx, keys...)
}

func (s *deaf) InvalidateTags(ctx context.Context, tags ...string) error {
	s.wait("InvalidateTags")
	return s.table.InvalidateTags(ctx, tags...)
}

func (s *deaf) Clear(ctx context.Context) error {
	s.wait("Clear")
	return s.table.Clear(ctx)
}

// deafParts are the optional parts that make deaf a Leaser and more.
type deafParts struct{ *deaf }

func (s deafParts) GetHinted(ctx context.Context, key string, _ []string) ([]byte, bool, error) {
	s.wait("GetHinted")
	return s.table.Get(ctx, key)
}

func (s deafParts) GetOrLease(context.Context, string) ([]byte, bool, *driver.Lease, error) {
	s.wait("GetOrLease")
	s.leases.Add(1)
	return nil, false, new(driver.Lease), nil
}

func (s deafParts) Lease(context.Context, string) (*driver.Lease, error) {
	s.wait("Lease")
	s.leases.Add(1)
	return new(driver.Lease), nil
}

func (s deafParts) Fill(context.Context, *driver.Lease, []byte, cache.SetOptions) (bool, error) {
	s.wait("Fill")
	return s.filled.Load(), nil
}

func (s deafParts) Release(context.Context, *driver.Lease) error {
	s.wait("Release")
	s.leases.Add(-1)
	return nil
}

func (s deafParts) LeaseTerm() time.Duration { return time.Minute }

func (s deafParts) Extend(context.Context, *driver.Lease) (bool, error) {
	s.wait("Extend")
	return true, nil
}

func (s deafParts) Notify(context.Context, string) <-chan struct{} {
	s.wait("Notify")
	return make(chan struct{})
}

func (s deafParts) GetMany(_ context.Context, keys, _ []string) []driver.Result {
	s.wait("GetMany")
	return make([]driver.Result, len(keys))
}

func (s deafParts) SetMany(ctx context.Context, items []driver.Item) []error {
	s.wait("SetMany")
	for _, item := range items {
		_ = s.table.Set(ctx, item.Key, item.Value, item.Options)
	}
	return make([]error, len(items))
}

func (s deafParts) GetOrLeaseMany(_ context.Context, keys []string) []driver.LeaseResult {
	s.wait("GetOrLeaseMany")
	s.leases.Add(int64(len(keys)))
	return slices.Repeat([]driver.LeaseResult{{Lease: new(driver.Lease)}}, len(keys))
}

func (s deafParts) LeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	return s.GetOrLeaseMany(ctx, keys)
}

func (s deafParts) ExtendMany(_ context.Context, leases []*driver.Lease) []driver.HoldResult {
	s.wait("ExtendMany")
	return slices.Repeat([]driver.HoldResult{{Held: true}}, len(leases))
}

func (s deafParts) FillMany(_ context.Context, fills []driver.Fill) []driver.FillResult {
	s.wait("FillMany")
	return slices.Repeat([]driver.FillResult{{Stored: s.filled.Load()}}, len(fills))
}

func (s deafParts) ReleaseMany(_ context.Context, leases []*driver.Lease) []error {
	s.wait("ReleaseMany")
	s.leases.Add(-int64(len(leases)))
	return make([]error, len(leases))
}

func (s deafParts) Init(context.Context, driver.Injector) error {
	s.wait("Init")
	s.opened.Add(1)
	return nil
}

func (s deafParts) Destroy(context.Context) error {
	s.wait("Destroy")
	s.opened.Add(-1)
	return nil
}

func (s deafParts) Location() string {
	s.wait("Location")
	return "here"
}

func (s deafParts) StorageID() string {
	s.wait("StorageID")
	return "id"
}

// every lists the operations of all optional parts, with what one returns that has succeeded.
func every(s driver.Strategy) map[string]func(ctx context.Context) (bool, error) {
	f := driver.FeaturesOf(s)
	opts, lease := cache.SetOptions{TTL: time.Minute, Tags: []string{"t"}}, &driver.Lease{Key: "k"}
	did := func(err error) (bool, error) { return err == nil, err }
	return map[string]func(ctx context.Context) (bool, error){
		"Get":            func(ctx context.Context) (bool, error) { _, _, err := s.Get(ctx, "k"); return did(err) },
		"Set":            func(ctx context.Context) (bool, error) { return did(s.Set(ctx, "k", nil, opts)) },
		"Delete":         func(ctx context.Context) (bool, error) { return did(s.Delete(ctx, "k")) },
		"InvalidateTags": func(ctx context.Context) (bool, error) { return did(s.InvalidateTags(ctx, "t")) },
		"Clear":          func(ctx context.Context) (bool, error) { return did(f.Clearer.Clear(ctx)) },
		"GetHinted": func(ctx context.Context) (bool, error) {
			_, _, err := f.Hinted.GetHinted(ctx, "k", nil)
			return did(err)
		},
		"GetOrLease": func(ctx context.Context) (bool, error) {
			_, _, lease, err := f.Leaser.GetOrLease(ctx, "k")
			return lease != nil, err
		},
		"Lease": func(ctx context.Context) (bool, error) {
			lease, err := f.Leaser.Lease(ctx, "k")
			return lease != nil, err
		},
		"Fill":    func(ctx context.Context) (bool, error) { return f.Leaser.Fill(ctx, lease, nil, opts) },
		"Release": func(ctx context.Context) (bool, error) { return did(f.Leaser.Release(ctx, lease)) },
		"Extend":  func(ctx context.Context) (bool, error) { return f.LeaseExtender.Extend(ctx, lease) },
		"GetMany": func(ctx context.Context) (bool, error) {
			r := f.Batcher.GetMany(ctx, []string{"a", "b"}, nil)
			return len(r) == 2 && r[1].Err == nil, r[1].Err
		},
		"SetMany": func(ctx context.Context) (bool, error) {
			errs := f.Batcher.SetMany(ctx, []driver.Item{{Key: "a", Options: opts}, {Key: "b", Options: opts}})
			return len(errs) == 2 && errs[1] == nil, errs[1]
		},
		"GetOrLeaseMany": func(ctx context.Context) (bool, error) {
			r := f.BatchLeaser.GetOrLeaseMany(ctx, []string{"a", "b"})
			return r[1].Lease != nil, r[1].Err
		},
		"LeaseMany": func(ctx context.Context) (bool, error) {
			r := f.BatchLeaser.LeaseMany(ctx, []string{"a", "b"})
			return r[1].Lease != nil, r[1].Err
		},
		"ExtendMany": func(ctx context.Context) (bool, error) {
			r := f.BatchLeaser.ExtendMany(ctx, []*driver.Lease{lease, lease})
			return r[1].Held, r[1].Err
		},
		"FillMany": func(ctx context.Context) (bool, error) {
			r := f.BatchLeaser.FillMany(ctx, []driver.Fill{{Lease: lease, Options: opts}, {Lease: lease, Options: opts}})
			return r[1].Stored, r[1].Err
		},
		"ReleaseMany": func(ctx context.Context) (bool, error) {
			return did(f.BatchLeaser.ReleaseMany(ctx, []*driver.Lease{lease, lease})[1])
		},
		"Init":    func(ctx context.Context) (bool, error) { return did(f.Initializer.Init(ctx, nil)) },
		"Destroy": func(ctx context.Context) (bool, error) { return did(f.Destroyer.Destroy(ctx)) },
		// These have no error, and no context with a deadline.
		"Notify":    func(context.Context) (bool, error) { return f.Notifier.Notify(context.Background(), "k") != nil, nil },
		"Location":  func(context.Context) (bool, error) { return f.Located.Location() == "here", nil },
		"StorageID": func(context.Context) (bool, error) { return f.Shared.StorageID() == "id", nil },
	}
}
