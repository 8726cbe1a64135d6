package tiered

import (
	"context"
	"sync"

	"github.com/fxcache/fxcache/cache/driver"
)

// initialised returns the copies, or driver.ErrClosed if there are none.
func (s *Strategy) initialised() (*copies, error) {
	if c := s.copies.Load(); c != nil {
		return c, nil
	}
	return nil, driver.ErrClosed
}

// Get implements driver.Strategy: a copy, or a tracked read.
func (s *Strategy) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return s.GetHinted(ctx, key, nil)
}

// GetHinted implements driver.Hinted likewise.
func (s *Strategy) GetHinted(ctx context.Context, key string, tags []string) ([]byte, bool, error) {
	if ctx.Err() == nil {
		if value, found := s.GetNear(key); found {
			return value, true, nil
		}
	}
	return s.GetFar(ctx, key, tags, driver.CopyOptions{})
}

// GetMany implements driver.Batcher likewise.
func (s *Strategy) GetMany(ctx context.Context, keys, tags []string) []driver.Result {
	results := make([]driver.Result, len(keys))
	var far []string
	var places []int // in results
	for i, key := range keys {
		if ctx.Err() == nil {
			results[i].Value, results[i].Found = s.GetNear(key)
		}
		if !results[i].Found {
			far, places = append(far, key), append(places, i)
		}
	}
	for n, result := range s.GetManyFar(ctx, far, tags, driver.CopyOptions{}) {
		results[places[n]] = result
	}
	return results
}

// GetNear implements driver.Near.
func (s *Strategy) GetNear(key string) ([]byte, bool) {
	c := s.copies.Load()
	if c == nil {
		return nil, false
	}
	return c.get(key)
}

// GetFar implements driver.Near: a tracked read.
func (s *Strategy) GetFar(ctx context.Context, key string, tags []string, options driver.CopyOptions) ([]byte, bool, error) {
	c, err := s.initialised()
	if err != nil {
		return nil, false, err
	}
	if lease := c.lease(ctx, key, options); lease != nil {
		r := c.read(ctx, lease, tags, options)
		return r.Value, r.Found, r.Err
	}
	if tags == nil {
		return s.l2.Get(ctx, key)
	}
	return s.l2.GetHinted(ctx, key, tags)
}

// copiesAtOnce is of how many entries one GetManyFar makes copies.
const copiesAtOnce = 64

// GetManyFar implements driver.Near likewise: tracked reads at the same time, and one batch for
// what is not copied.
func (s *Strategy) GetManyFar(ctx context.Context, keys, tags []string, options driver.CopyOptions) []driver.Result {
	c, err := s.initialised()
	if err != nil || options.Off {
		return s.l2.GetMany(ctx, keys, tags)
	}
	results := make([]driver.Result, len(keys))
	var rest []string
	var places []int // in results
	var tracked sync.WaitGroup
	for i, key := range keys {
		var lease *driver.Lease
		if i < copiesAtOnce {
			lease = c.lease(ctx, key, options)
		}
		if lease == nil {
			rest, places = append(rest, key), append(places, i)
			continue
		}
		tracked.Go(func() { results[i] = c.read(ctx, lease, tags, options) })
	}
	for n, result := range s.l2.GetMany(ctx, rest, tags) {
		results[places[n]] = result
	}
	tracked.Wait()
	return results
}
