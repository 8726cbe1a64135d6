package cache

import (
	"context"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// The pauses between two looks at a key whose lease somebody else holds; the longest one where a
// Notifier tells, and where none does.
const (
	firstPause    = 2 * time.Millisecond
	lastPause     = 50 * time.Millisecond
	notifiedPause = 250 * time.Millisecond
)

// await returns the lease of a flight's key, or the entry that somebody else stored meanwhile, or
// neither when the strategy fails or lock_wait is over.
func (c *Cache[T]) await(ctx context.Context, f *flight[T]) (value T, found bool, lease *driver.Lease, err error) {
	over := time.NewTimer(c.service.options.LockWait)
	defer over.Stop()
	waiting, cancel := context.WithCancel(ctx) // ends the notification
	defer cancel()
	var told <-chan struct{}
	longest := lastPause
	for pause := firstPause; ; pause = min(2*pause, longest) {
		c.board(f)
		value, found, lease, err = c.getOrLease(ctx, f)
		if found || lease != nil || err != nil || f.unleased {
			return value, found, lease, err
		}
		if told == nil && c.service.features.Notifier != nil {
			told, longest = c.notify(waiting, f.key), notifiedPause
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-told:
			next.Stop()
			told, pause = nil, firstPause
		case <-over.C:
			next.Stop()
			c.service.counters.leaseTimeouts.Add(1)
			return value, false, nil, nil
		case <-ctx.Done():
			next.Stop()
			return value, false, nil, ctx.Err()
		}
	}
}

// notify is Notifier's, whose panic is worth no more than a notice that does not come.
func (c *Cache[T]) notify(ctx context.Context, physical string) (told <-chan struct{}) {
	var err error
	defer c.service.recovered("lease", &err)
	return c.service.features.Notifier.Notify(ctx, physical)
}

// getOrLease looks once. An entry that is stale, damaged or foreign is leased instead.
func (c *Cache[T]) getOrLease(ctx context.Context, f *flight[T]) (value T, found bool, lease *driver.Lease, err error) {
	var sealed []byte
	if err = c.service.mayHit(ctx); err == nil {
		err = c.service.guarded(ctx, "lease", func(ctx context.Context) (err error) {
			sealed, found, lease, err = c.service.leaser.GetOrLease(ctx, f.key)
			return err
		})
	}
	if err != nil && ctx.Err() != nil { // everybody has left
		return value, false, nil, ctx.Err()
	}
	if err != nil {
		c.service.warn(ctx, &c.service.readWarning, "cache: reads fail; loading instead", err)
		f.unleased = true
		return value, false, nil, nil
	}
	if f.vacant = !found; !found {
		return value, false, lease, nil
	}
	value, e, err := c.decode(sealed)
	if err != nil {
		c.service.undecoded(ctx, f.key, err)
	} else {
		verdict, err := c.judge(value, e)
		switch {
		case err != nil:
			return value, false, nil, err
		case verdict == serveNothing:
			return value, false, nil, ErrNotFound
		case verdict != reload:
			return value, true, nil, nil
		}
		f.stale = true
	}
	lease, err = c.lease(ctx, f.key)
	f.unleased = err != nil
	return value, false, lease, nil
}
