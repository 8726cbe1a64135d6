package bench

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/fxcache/fxcache/cache"
)

// TagNonce is InvalidateTags of the redis strategy.
type TagNonce struct{ *Static }

// NewTagNonce connects to one server.
func NewTagNonce(ctx context.Context, addr string) (*TagNonce, error) {
	static, err := NewStatic(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &TagNonce{static}, nil
}

// taggedValue is the value of every entry of a Tagger.
const taggedValue = "v"

// loaders is how many goroutines load, so that their commands share pipelines.
const loaders = 256

// Load implements Tagger.
func (t *TagNonce) Load(ctx context.Context, tag string, keys []string) error {
	options := cache.SetOptions{TTL: TTL, Tags: []string{tag}}
	var next atomic.Int64
	var failure atomic.Pointer[error]
	var group sync.WaitGroup
	for range min(loaders, len(keys)) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(keys)) && failure.Load() == nil; i = next.Add(1) - 1 {
				if err := t.strategy.Set(ctx, keys[i], []byte(taggedValue), options); err != nil {
					failure.Store(&err)
				}
			}
		})
	}
	group.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Found implements Tagger.
func (t *TagNonce) Found(ctx context.Context, key string) (bool, error) {
	value, found, err := t.strategy.Get(ctx, key)
	return found && string(value) == taggedValue, err
}

// InvalidateTag implements Tagger.
func (t *TagNonce) InvalidateTag(ctx context.Context, tag string) error {
	return t.strategy.InvalidateTags(ctx, tag)
}
