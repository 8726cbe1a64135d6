package cache

import (
	"bytes"
	"context"
	"sync"

	"github.com/fxcache/fxcache/internal/chain"
)

// Previous returns the value that a loader would replace, so that the loader can ask its source for
// less: whether the row has another version, or a page another ETag. If nothing has changed, the
// loader returns [ErrNotModified]. ctx is the context that the loader got.
//
// There is a value if the load replaces one that the cache has read: an entry past its TTL with
// Policy.StaleFor, one that is refreshed early, and one that Policy.Fresh refuses. There is none if
// nothing was stored, in the write of an Update, with [ReadThrough], for a T that is not that of
// the cache, after the loader has returned, and anywhere else. A load that runs within another one
// does not see the value of that. For a refreshing.Value it is the last value that was loaded.
//
// Each call returns a copy of its own, except in a refreshing.Value. Previous may be called
// concurrently. It may read the storage, within ctx: what it returns is no older than the load.
func Previous[T any](ctx context.Context) (value T, ok bool) {
	if replaced, is := chain.Carried(ctx).(interface {
		Previous(ctx context.Context) (T, bool)
	}); is {
		return replaced.Previous(ctx)
	}
	return value, false
}

// previous is the value that a load would replace. A caller that was admitted to the load may get
// it, so it is read after the load has begun, as everything that the loader reads.
type previous[T any] struct {
	decode func(encoded []byte) (T, bool)

	mu      sync.Mutex
	read    func(context.Context) []byte // nil: it has been read
	encoded []byte                       // nil: there is none
	given   bool                         // to the loader
}

// replacing returns the previous value of a load that replaces an entry that is known.
func (v *values[T]) replacing(encoded []byte) *previous[T] {
	return &previous[T]{encoded: encoded, decode: func(encoded []byte) (value T, ok bool) {
		// a copy, because the value may keep it
		value, e, err := v.decode(bytes.Clone(encoded))
		if err != nil || e.Absent {
			var none T
			return none, false
		}
		return value, true
	}}
}

// newPrevious returns the previous value of a load that has just begun, or nil if there was no
// entry before. Only a loader that asks for the value pays for reading it again. What was read
// before the lease was granted, or before the last caller was admitted, may have been revoked
// since.
func newPrevious[T any](d *door, v *values[T], physical string, exists bool) *previous[T] {
	if !exists {
		return nil
	}
	p := v.replacing(nil)
	p.read = func(ctx context.Context) []byte {
		encoded, found, err := d.get(ctx, physical, v.stored())
		if err != nil || !found {
			return nil
		}
		return encoded
	}
	return p
}

// Previous is the function Previous.
func (p *previous[T]) Previous(ctx context.Context) (value T, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.read != nil {
		p.encoded, p.read = p.read(ctx), nil
	}
	if p.encoded == nil {
		return value, false
	}
	if value, ok = p.decode(p.encoded); ok {
		p.given = true
	}
	return value, ok
}

// again returns the value once more, for a load that says that it has not been modified. err is
// what the loader returned. A load without a previous value has a nil p.
func (p *previous[T]) again(err error) (value T, _ error) {
	if p == nil {
		return value, chain.Unfounded(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given {
		if value, ok := p.decode(p.encoded); ok {
			return value, nil
		}
	}
	return value, chain.Unfounded(err)
}
