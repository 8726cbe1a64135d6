package cache

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/panics"
)

// guarded is a strategy with a guard around it, for one that is neither Immediate nor Cancellable:
// each operation returns when its context ends, whatever the strategy does.
type guarded struct {
	inner    driver.Strategy
	features driver.Features // of inner
	guard    *guard
	timeout  func() time.Duration // of what has no context with a deadline
	// changing: Init or Destroy is under way, or was given up and has not ended.
	changing atomic.Bool
}

var (
	_ driver.Leaser        = (*guarded)(nil)
	_ driver.LeaseExtender = (*guarded)(nil)
	_ driver.Notifier      = (*guarded)(nil)
	_ driver.Hinted        = (*guarded)(nil)
	_ driver.Batcher       = (*guarded)(nil)
	_ driver.Clearer       = (*guarded)(nil)
	_ driver.Initializer   = (*guarded)(nil)
	_ driver.Destroyer     = (*guarded)(nil)
	_ driver.Shared        = (*guarded)(nil)
	_ driver.Located       = (*guarded)(nil)
)

func newGuarded(strategy driver.Strategy, features driver.Features, timeout func() time.Duration) *guarded {
	return &guarded{inner: strategy, features: features, guard: newGuard(), timeout: timeout}
}

// Features implements driver.Featured.
func (g *guarded) Features() driver.Features {
	f := g.features
	f.Leaser = guardedPart(f.Leaser, driver.Leaser(g))
	f.BatchLeaser = guardedPart(f.BatchLeaser, driver.BatchLeaser(g))
	f.LeaseExtender = guardedPart(f.LeaseExtender, driver.LeaseExtender(g))
	f.Notifier = guardedPart(f.Notifier, driver.Notifier(g))
	f.Hinted = guardedPart(f.Hinted, driver.Hinted(g))
	f.Batcher = guardedPart(f.Batcher, driver.Batcher(g))
	f.Clearer = guardedPart(f.Clearer, driver.Clearer(g))
	f.Initializer = guardedPart(f.Initializer, driver.Initializer(g))
	f.Destroyer = guardedPart(f.Destroyer, driver.Destroyer(g))
	f.Shared = guardedPart(f.Shared, driver.Shared(g))
	f.Located = guardedPart(f.Located, driver.Located(g))
	f.Near = nil // it would be asked in the goroutine of the caller
	f.Cancellable = true
	return f
}

// guardedPart returns part in place of inner, if there is one.
func guardedPart[P comparable](inner, part P) P {
	var none P
	if inner == none {
		return none
	}
	return part
}

func (g *guarded) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	return g.read(ctx, func() driver.Result {
		value, found, err := g.inner.Get(ctx, key)
		return driver.Result{Value: value, Found: found, Err: err}
	})
}

func (g *guarded) GetHinted(ctx context.Context, key string, tags []string) (value []byte, found bool, err error) {
	return g.read(ctx, func() driver.Result {
		value, found, err := g.features.Hinted.GetHinted(ctx, key, tags)
		return driver.Result{Value: value, Found: found, Err: err}
	})
}

func (g *guarded) read(ctx context.Context, call func() driver.Result) (value []byte, found bool, err error) {
	r, err := run(ctx, &g.guard.operations, func() (driver.Result, error) {
		r := call()
		return r, r.Err
	}, func(driver.Result, bool) {})
	return r.Value, r.Found, err
}

func (g *guarded) GetMany(ctx context.Context, keys, tags []string) []driver.Result {
	results, err := run(ctx, &g.guard.operations, func() ([]driver.Result, error) {
		return g.features.Batcher.GetMany(ctx, keys, tags), nil
	}, func([]driver.Result, bool) {})
	if err != nil {
		return slices.Repeat([]driver.Result{{Err: err}}, len(keys))
	}
	return results
}

func (g *guarded) Set(ctx context.Context, key string, value []byte, opts SetOptions) error {
	return g.guard.write(ctx, key, opts.Tags, func() error { return g.inner.Set(ctx, key, value, opts) })
}

// SetMany leaves items to Set whose entries are being written: the others do not wait for them.
func (g *guarded) SetMany(ctx context.Context, items []driver.Item) []error {
	failures := make([]error, len(items))
	var single sync.WaitGroup
	var batch []driver.Item
	var writes []*write
	var places []int // of the batch's items
	for i, item := range items {
		w, earlier := g.guard.tryBegin(item.Key, item.Options.Tags)
		if earlier != nil {
			single.Go(func() { failures[i] = g.Set(ctx, item.Key, item.Value, item.Options) })
			continue
		}
		batch, writes, places = append(batch, item), append(writes, w), append(places, i)
	}
	answer, err := run(ctx, &g.guard.operations, func() (answer []error, err error) {
		if len(batch) > 0 {
			answer = g.features.Batcher.SetMany(ctx, batch)
		}
		return answer, nil
	}, func([]error, bool) {
		for _, w := range writes {
			g.guard.end(w)
		}
	})
	if err == nil && len(answer) != len(batch) {
		err = fmt.Errorf("the strategy answered for %d of %d keys", len(answer), len(batch))
	}
	for n, i := range places {
		if failures[i] = err; err == nil {
			failures[i] = answer[n]
		}
	}
	single.Wait()
	return failures
}

func (g *guarded) Delete(ctx context.Context, keys ...string) error {
	return g.guard.revoke(ctx, func() []*write { return g.guard.ofKeys(keys) }, func() error { return g.inner.Delete(ctx, keys...) })
}

func (g *guarded) InvalidateTags(ctx context.Context, tags ...string) error {
	tagged := func(w *write) bool {
		return slices.ContainsFunc(w.tags, func(tag string) bool { return slices.Contains(tags, tag) })
	}
	return g.guard.revoke(ctx, func() []*write { return g.guard.under(tagged) }, func() error { return g.inner.InvalidateTags(ctx, tags...) })
}

func (g *guarded) Clear(ctx context.Context) error {
	all := func(*write) bool { return true }
	return g.guard.revoke(ctx, func() []*write { return g.guard.under(all) }, func() error { return g.features.Clearer.Clear(ctx) })
}

// leased is the answer of GetOrLease.
type leased struct {
	value []byte
	found bool
	lease *driver.Lease
}

func (g *guarded) GetOrLease(ctx context.Context, key string) (value []byte, found bool, lease *driver.Lease, err error) {
	l, err := g.askForLease(ctx, func() (l leased, err error) {
		l.value, l.found, l.lease, err = g.features.Leaser.GetOrLease(ctx, key)
		return l, err
	})
	return l.value, l.found, l.lease, err
}

func (g *guarded) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	l, err := g.askForLease(ctx, func() (l leased, err error) {
		l.lease, err = g.features.Leaser.Lease(ctx, key)
		return l, err
	})
	return l.lease, err
}

// askForLease releases a lease that is granted too late: everybody would wait until it expires.
func (g *guarded) askForLease(ctx context.Context, ask func() (leased, error)) (leased, error) {
	return run(ctx, &g.guard.operations, ask, func(l leased, late bool) {
		if late && l.lease != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.timeout())
			defer cancel()
			_ = g.Release(ctx, l.lease)
		}
	})
}

// Fill is not among the writes of the guard: the storage refuses one that comes after a revocation.
func (g *guarded) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts SetOptions) (stored bool, err error) {
	return run(ctx, &g.guard.operations, func() (bool, error) {
		return g.features.Leaser.Fill(ctx, lease, value, opts)
	}, func(bool, bool) {})
}

func (g *guarded) Release(ctx context.Context, lease *driver.Lease) error {
	_, err := run(ctx, &g.guard.operations, func() (struct{}, error) {
		return struct{}{}, g.features.Leaser.Release(ctx, lease)
	}, func(struct{}, bool) {})
	return err
}

// LeaseTerm implements driver.LeaseExtender.
func (g *guarded) LeaseTerm() time.Duration { return g.features.LeaseExtender.LeaseTerm() }

// Extend implements driver.LeaseExtender.
func (g *guarded) Extend(ctx context.Context, lease *driver.Lease) (held bool, err error) {
	return run(ctx, &g.guard.operations, func() (bool, error) {
		return g.features.LeaseExtender.Extend(ctx, lease)
	}, func(bool, bool) {})
}

// Notify implements driver.Notifier. A strategy that does not return in time notifies nobody.
func (g *guarded) Notify(ctx context.Context, key string) <-chan struct{} {
	bounded, cancel := context.WithTimeout(ctx, g.timeout())
	defer cancel()
	notice, _ := run(bounded, &g.guard.operations, func() (<-chan struct{}, error) {
		return g.features.Notifier.Notify(ctx, key), nil
	}, func(<-chan struct{}, bool) {})
	return notice
}

// StorageID implements driver.Shared. It is not known if the strategy does not return in time.
func (g *guarded) StorageID() string {
	return g.name(func() string { return g.features.Shared.StorageID() })
}

// Location implements driver.Located, likewise.
func (g *guarded) Location() string {
	return g.name(func() string { return g.features.Located.Location() })
}

func (g *guarded) name(call func() string) string {
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout())
	defer cancel()
	name, _ := run(ctx, &g.guard.revocations, func() (string, error) { return call(), nil }, func(string, bool) {})
	return name
}

// Init implements driver.Initializer. If it is given up and succeeds later, Destroy follows.
func (g *guarded) Init(ctx context.Context, in driver.Injector) error {
	return g.change(ctx, "Init", func() error { return g.features.Initializer.Init(ctx, in) }, func() {
		if g.features.Destroyer != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			_, _ = panics.Run(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, g.features.Destroyer.Destroy(ctx) })
		}
	})
}

// Destroy implements driver.Destroyer.
func (g *guarded) Destroy(ctx context.Context) error {
	return g.change(ctx, "Destroy", func() error { return g.features.Destroyer.Destroy(ctx) }, func() {})
}

// change runs Init or Destroy, one of them at a time. after follows one that was given up.
func (g *guarded) change(ctx context.Context, what string, call func() error, after func()) error {
	if !g.changing.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: an earlier Init or Destroy of the strategy has not ended", driver.ErrUnavailable)
	}
	_, err := run(ctx, &places{taken: make(chan struct{}, 1)}, func() (struct{}, error) { return struct{}{}, call() }, func(_ struct{}, late bool) {
		defer g.changing.Store(false)
		if late {
			after()
		}
	})
	if ctx.Err() != nil && err == ctx.Err() { //nolint:errorlint // the guard's own
		return fmt.Errorf("the strategy's %s did not end in time: %w", what, err)
	}
	return err
}
