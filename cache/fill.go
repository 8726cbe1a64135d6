package cache

import (
	"context"
	"errors"
)

// outcome says what became of a loaded value.
type outcome int

const (
	failed  outcome = iota // the strategy failed, or the value cannot be stored
	refused                // something was invalidated since the lease was granted
	stored
)

// lease asks for a lease; it is nil where somebody else has it.
func (c *Cache[T]) lease(ctx context.Context, physical string) (lease *Lease, err error) {
	err = c.service.guarded(ctx, "lease", func(ctx context.Context) (err error) {
		lease, err = c.service.leaser.Lease(ctx, physical, c.tags)
		return err
	})
	if err != nil {
		c.service.warn(ctx, &c.service.fillWarning, "cache: no leases; values are not stored", err)
	}
	return lease, err
}

// fill stores value under lease, and gives the lease up. Where the value cannot be stored, the entry
// that it should have replaced goes too.
func (c *Cache[T]) fill(ctx context.Context, lease *Lease, value T) outcome {
	s := c.service
	opts, store, err := c.policy.setOptions(value)
	var sealed []byte
	if err == nil && store {
		sealed, opts, err = s.prepare(c.shape, value, opts)
	}
	if err != nil || !store {
		// Deleting ends the lease, if it succeeds.
		if failure := c.hide(ctx, lease.Key); failure != nil {
			err = errors.Join(err, failure)
			c.release(ctx, lease)
		}
		if err != nil {
			s.counters.unfilled.Add(1)
			s.warn(ctx, &s.fillWarning, "cache: a loaded value cannot be stored", err)
		}
		return failed
	}
	var ok bool
	err = s.guarded(ctx, "fill", func(ctx context.Context) (err error) {
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
		s.counters.refused.Add(1)
		return refused
	default:
		s.counters.filled.Add(1)
		return stored
	}
}

// release gives lease up unused. A failure is not worth more than the wait for its expiry.
func (c *Cache[T]) release(ctx context.Context, lease *Lease) {
	err := c.service.call(ctx, "release", func(ctx context.Context) error {
		return c.service.leaser.Release(ctx, lease)
	})
	if err != nil {
		c.service.warn(ctx, &c.service.fillWarning, "cache: a lease could not be released", err)
	}
}
