package cache

import (
	"context"
	"errors"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// outcome says what became of a loaded value.
type outcome int

const (
	failed  outcome = iota // the strategy failed, or the value cannot be stored
	refused                // something was invalidated since the lease was granted, or that has expired
	stored
	outlived // stored, but nothing for those who came after the load had begun
)

// lease asks for a lease; it is nil where somebody else has it.
func (c *Cache[T]) lease(ctx context.Context, physical string) (lease *driver.Lease, err error) {
	err = c.service.guarded(ctx, "lease", func(ctx context.Context) (err error) {
		lease, err = c.service.leaser.Lease(ctx, physical)
		return err
	})
	if err != nil {
		c.service.warn(ctx, &c.service.fillWarning, "cache: no leases; values are not stored", err)
	}
	return lease, err
}

// seal makes what is stored of value, which took so long to load (0: unknown). Its TTL counts from the
// beginning of o; nil: from now. store is false where the policy forbids to store it.
func (c *Cache[T]) seal(value T, o *origin, took time.Duration) (sealed []byte, opts SetOptions, store bool, err error) {
	opts, store, err = c.policy.setOptions(value)
	if err != nil || !store {
		return nil, opts, store, err
	}
	if opts, err = c.service.limit(opts); err != nil {
		return nil, opts, true, err
	}
	opts.TTL = c.jittered(opts.TTL)
	age := time.Duration(0)
	if o != nil {
		age = o.age()
	}
	var timed stamp
	if c.policy.refreshes() {
		// Rounded up to a millisecond, as storages do.
		ms := int64((opts.TTL - age + time.Millisecond - 1) / time.Millisecond)
		timed = stamp{expiry: c.service.options.Clock.Now().UnixMilli() + ms, took: took}
		opts.TTL = stretch(opts.TTL, c.policy.StaleFor, c.service.options.MaxTTL)
	}
	if o != nil {
		if opts.TTL, err = o.remaining(opts.TTL); err != nil {
			return nil, opts, true, err
		}
	}
	sealed, err = c.service.encode(c.shape, value, timed)
	return sealed, opts, true, err
}

// jittered shortens a TTL.
func (c *Cache[T]) jittered(ttl time.Duration) time.Duration {
	if c.policy.Jitter == 0 {
		return ttl
	}
	return max(time.Millisecond, ttl-time.Duration(c.policy.Jitter*c.random()*float64(ttl)))
}

// fill stores value under lease, and gives the lease up. Where the value cannot be stored, the entry
// that it should have replaced goes too, unless vacant says that there was none under this lease: a deletion
// that fails is owed, and would cost this node its hits. took is for seal.
func (c *Cache[T]) fill(ctx context.Context, lease *driver.Lease, value T, o *origin, took time.Duration, vacant bool) outcome {
	sealed, opts, store, err := c.seal(value, o, took)
	if err == nil && store {
		return c.put(ctx, lease, sealed, opts, o)
	}
	if vacant {
		c.release(ctx, lease)
	} else if failure := c.hide(ctx, lease.Key); failure != nil { // deleting ends the lease, if it succeeds
		err = errors.Join(err, failure)
		c.release(ctx, lease)
	}
	if err != nil {
		c.unstorable(ctx, o, err)
	}
	return failed
}

func (c *Cache[T]) unstorable(ctx context.Context, o *origin, err error) {
	c.service.counters.unfilled.Add(1)
	c.service.warn(ctx, &c.service.fillWarning, "cache: a loaded value cannot be stored", err, "cache", c.name, "took", o.took)
}

// fillAbsent stores under lease that there is nothing, where the policy wants that remembered, and gives
// the lease up.
func (c *Cache[T]) fillAbsent(ctx context.Context, lease *driver.Lease, o *origin) outcome {
	ttl, err := o.remaining(c.jittered(min(c.policy.NegativeTTL, c.service.options.MaxTTL)))
	if err != nil {
		c.release(ctx, lease)
		c.unstorable(ctx, o, err)
		return failed
	}
	return c.put(ctx, lease, c.shape.sealAbsent(), SetOptions{TTL: ttl, Tags: c.tags}, o)
}

// put stores what was sealed under lease, and gives the lease up.
func (c *Cache[T]) put(ctx context.Context, lease *driver.Lease, sealed []byte, opts SetOptions, o *origin) outcome {
	s := c.service
	var ok bool
	err := s.guarded(ctx, "fill", func(ctx context.Context) (err error) {
		ok, err = s.leaser.Fill(ctx, lease, sealed, opts)
		return err
	})
	switch {
	case err != nil:
		s.counters.unfilled.Add(1)
		s.warn(ctx, &s.fillWarning, "cache: a loaded value could not be stored", err)
		c.release(ctx, lease) // it may not have been used up
		return failed
	case !ok:
		c.refusedFill(ctx, o)
		return refused
	default:
		s.counters.filled.Add(1)
		return stored
	}
}

// release gives lease up unused. A failure is not worth more than the wait for its expiry.
func (c *Cache[T]) release(ctx context.Context, lease *driver.Lease) {
	err := c.service.call(ctx, "release", func(ctx context.Context) error {
		return c.service.leaser.Release(ctx, lease)
	})
	if err != nil {
		c.service.warn(ctx, &c.service.fillWarning, "cache: a lease could not be released", err)
	}
}
