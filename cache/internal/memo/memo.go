// Package memo keeps what was computed once. It is the part that request scopes and the values
// derived from a refreshing value have in common.
package memo

import (
	"context"
	"sync"
	"time"

	"github.com/fxcache/fxcache/internal/chain"
	"github.com/fxcache/fxcache/internal/panics"
)

// Patience is how long a caller within another load waits for a value that somebody else computes:
// as long as Options.LockWait by default. The two loads may be waiting for each other.
const Patience = 2 * time.Second

// Table is a bounded table of what was computed once, by typed key. It is safe for concurrent use.
// A nil Table keeps nothing.
type Table struct {
	// Limit is how many entries there are at most.
	Limit int
	// Evict: if the table is full, any one entry is dropped. Otherwise a new value is not kept.
	Evict bool

	mu      sync.Mutex
	entries map[any]any // typedKey[T, K] → *computed[T]
}

// typedKey has the types in it, so that a string and an int under the same key are two entries.
type typedKey[T any, K comparable] struct{ key K }

// computed is one value, or the call that computes it. Its fields are written before done is
// closed.
type computed[T any] struct {
	done  chan struct{}
	value T
	err   error
	// abandoned: the call failed after the context of its own caller had ended. That does not
	// concern the others.
	abandoned bool
}

// id identifies an entry in the chain of nested loads.
type id struct {
	table *Table
	key   any // typedKey[T, K]
}

// Compute returns the value of key. If there is none, load computes it, on the goroutine of the
// first caller.
func Compute[T any, K comparable](ctx context.Context, t *Table, key K, load func(context.Context) (T, error)) (T, error) {
	var zero T
	typed := typedKey[T, K]{key}
	within := chain.From(ctx)
	if within != nil && within.To(id{t, typed}) == chain.Loading {
		return zero, chain.ErrRecursiveLoad
	}
	if t == nil {
		return run(ctx, chain.Load, t, typed, load)
	}
	for {
		e, mine := entryOf[T](t, typed)
		switch {
		case e == nil:
			return run(ctx, chain.Load, t, typed, load)
		case mine:
			return compute(ctx, t, typed, e, load)
		}
		select {
		case <-e.done: // even if ctx has ended: the value is there
		default:
			over, stop := within.Patience(Patience)
			select {
			case <-e.done:
				stop()
			case <-over:
				return run(ctx, chain.LoadAfterWait, t, typed, load)
			case <-ctx.Done():
				stop()
				return zero, ctx.Err()
			}
		}
		if !e.abandoned {
			return e.value, e.err
		}
	}
}

// entryOf returns the entry of key. mine reports that the entry is new and the caller has to
// compute it. The entry is nil if there is no room.
func entryOf[T any](t *Table, key any) (e *computed[T], mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, found := t.entries[key]; found {
		return e.(*computed[T]), false
	}
	if len(t.entries) >= t.Limit {
		if !t.Evict {
			return nil, false
		}
		for other := range t.entries {
			delete(t.entries, other) // whoever waits for it has it in hand
			break
		}
	}
	if t.entries == nil {
		t.entries = make(map[any]any)
	}
	e = &computed[T]{done: make(chan struct{})}
	t.entries[key] = e
	return e, true
}

func compute[T any](ctx context.Context, t *Table, key any, e *computed[T], load func(context.Context) (T, error)) (T, error) {
	e.err = panics.ErrEnded // if load ends the goroutine
	defer func() {
		if e.err != nil { // errors are not kept
			e.abandoned = ctx.Err() != nil
			t.mu.Lock()
			delete(t.entries, key)
			t.mu.Unlock()
		}
		close(e.done)
	}()
	e.value, e.err = run(ctx, chain.Load, t, key, load)
	return e.value, e.err
}

// run runs what computes the entry of key.
func run[T any](ctx context.Context, kind chain.Kind, t *Table, key any, load func(context.Context) (T, error)) (T, error) {
	ctx, link := chain.Enter(ctx, kind, id{t, key})
	defer link.End()
	return panics.Run(ctx, load)
}
