package drivertest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// listening claims to listen to contexts.
type listening struct{ *broken }

func (listening) Cancellable() {}

var lifecycleMutants = []mutant{
	broke("sleeps through the end of ctx", "Cancellation/EndedContext", func(b *broken, r *reference) {
		b.get = func(key string) ([]byte, bool, error) {
			<-time.After(2 * time.Second)
			return r.Get(anyContext, key)
		}
	}),
	func() mutant {
		var hangs atomic.Bool
		return mutant{
			name: "claims to listen", kills: "Cancellation/StalledStorage",
			new: func() driver.Strategy {
				b := &broken{reference: newReference()}
				b.get = func(key string) ([]byte, bool, error) {
					if hangs.Load() {
						<-time.After(2 * time.Second)
					}
					return b.reference.Get(anyContext, key)
				}
				return listening{b}
			},
			options: []drivertest.Option{drivertest.Stall(func(testing.TB, driver.Strategy) func() {
				hangs.Store(true)
				return func() { hangs.Store(false) }
			})},
		}
	}(),
	broke("destroy fails", "Lifecycle/InitUseDestroy", func(b *broken, _ *reference) {
		b.destroy = func() error { return errMutant }
	}),
	broke("second destroy fails", "Lifecycle/DestroyTwice Lifecycle/DestroyBeforeInit", func(b *broken, r *reference) {
		running := false
		b.init = func() error { running = true; return nil }
		b.destroy = func() error {
			if !running {
				return errMutant
			}
			running = false
			return r.Destroy(anyContext)
		}
	}),
	broke("starts once", "Lifecycle/InitAgain", func(b *broken, _ *reference) {
		started := false
		b.init = func() error {
			if started {
				return errMutant
			}
			started = true
			return nil
		}
	}),
	broke("closed for good", "Restart/Works", func(b *broken, r *reference) {
		closed := false
		b.destroy = func() error { closed = true; return r.Destroy(anyContext) }
		b.get = func(key string) ([]byte, bool, error) {
			value, found, err := r.Get(anyContext, key)
			return value, found && !closed, err
		}
	}),
	broke("panics after destroy", "Lifecycle/UseAfterDestroy", func(b *broken, r *reference) {
		b.destroy = func() error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.tags = nil
			return nil
		}
	}),
	broke("panics during destroy", "Lifecycle/DestroyWhileInUse", func(b *broken, r *reference) {
		events := make(chan struct{}, 1)
		b.destroy = func() error { close(events); return nil }
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			select {
			case events <- struct{}{}:
			default:
			}
			return r.Set(ctx, key, value, opts)
		}
	}),
	broke("leaks a goroutine", "Lifecycle/GoroutinesEnd", func(b *broken, _ *reference) {
		b.init = func() error {
			go func() { select {} }()
			return nil
		}
	}),
	broke("delete pretends when given up", "Lifecycle/EndedContext", func(b *broken, r *reference) {
		b.delete = func(ctx context.Context, keys []string) error {
			if ctx.Err() != nil {
				return nil
			}
			return r.Delete(ctx, keys...)
		}
	}),
	broke("invalidation pretends when given up", "Lifecycle/EndedContext", func(b *broken, r *reference) {
		b.invalidate = func(ctx context.Context, tags []string) error {
			if ctx.Err() != nil {
				return nil
			}
			return r.InvalidateTags(ctx, tags...)
		}
	}),
	broke("set stores when given up", "Lifecycle/EndedContext", func(b *broken, r *reference) {
		b.set = func(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
			if err := r.Set(ctx, key, value, opts); err != nil {
				return err
			}
			return ctx.Err()
		}
	}),
	broke("fill stores when given up", "Lifecycle/EndedContextOfFill", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			stored, err := r.Fill(ctx, lease, value, opts)
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			return stored, err
		}
	}),
	broke("restart forgets revocations", "Restart/RevokedStaysRevoked", func(b *broken, r *reference) {
		// A snapshot that holds the entries, but not the tags.
		var saved map[string]*entry
		b.destroy = func() error { saved = r.entries; return r.Destroy(anyContext) }
		b.init = func() error {
			if saved != nil {
				r.entries, r.tagsFloor = saved, 0
			}
			return nil
		}
	}),
	broke("restart counts from zero", "LeaseRestart/OldLease", func(b *broken, r *reference) {
		b.lease = func(key string) (*driver.Lease, error) {
			lease, err := r.Lease(anyContext, key)
			if lease != nil {
				lease.Sequence += 100 // as if the earlier run had been longer
			}
			return lease, err
		}
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			r.leases[lease.Key] = lease
			return r.Fill(ctx, lease, value, opts)
		}
	}),

	{
		name: "retains", kills: "NoRetention/EverythingIsAMiss NoRetention/Concurrency NoRetention/Leases",
		new:     func() driver.Strategy { return newReference() },
		options: []drivertest.Option{drivertest.NoRetention()},
	},
	{
		name: "null takes any TTL", kills: "NoRetention/InvalidTTL",
		new:     func() driver.Strategy { return carelessNull{} },
		options: []drivertest.Option{drivertest.NoRetention()},
	},
	{
		name: "null cannot delete", kills: "NoRetention/Revocations",
		new:     func() driver.Strategy { return carelessNull{} },
		options: []drivertest.Option{drivertest.NoRetention()},
	},
}

// carelessNull stores nothing, and breaks the other rules for such a strategy.
type carelessNull struct{ null }

func (carelessNull) Set(context.Context, string, []byte, driver.SetOptions) error { return nil }
func (carelessNull) Delete(context.Context, ...string) error                      { return errMutant }
