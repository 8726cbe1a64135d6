package cache

import (
	"context"
	"sync"

	"github.com/fxcache/fxcache/internal/chain"
)

// memos is a bounded table of what was computed once, by typed key. It is the part that the request
// scope and the values derived from a Refreshing have in common.
type memos struct {
	limit int
	// evict: when the table is full, any one entry makes room. Otherwise what comes is not memoised.
	evict bool

	mu      sync.Mutex
	entries map[any]any // memoKey[T, K] → *memo[T]
}

// memoKey has the types in it, so that a string and an int under the same key are two entries.
type memoKey[T any, K comparable] struct{ key K }

// memo is one value, or the call that computes it. Its fields are written before done is closed.
type memo[T any] struct {
	done  chan struct{}
	value T
	err   error
	// left: the call failed when the context of the caller that ran it had ended, which says nothing
	// to the others.
	left bool
}

// memoID is what the links of a chain tell of a memo. memos is nil outside a request scope.
type memoID struct {
	memos *memos
	key   any // memoKey[T, K]
}

// memoize returns the value of key, or what load returns, which runs on the goroutine of the caller
// that came first. Who is within another load or write waits for no longer than nestedWait for that.
func memoize[T any, K comparable](ctx context.Context, m *memos, key K, load func(context.Context) (T, error)) (T, error) {
	var zero T
	within := chain.From(ctx)
	if within != nil && within.To(memoID{m, memoKey[T, K]{key}}) == chain.Loading {
		return zero, ErrRecursiveLoad
	}
	if m == nil {
		return run(ctx, chain.Load, m, memoKey[T, K]{key}, load)
	}
	for {
		e, mine := take[T](m, memoKey[T, K]{key})
		switch {
		case e == nil:
			return run(ctx, chain.Load, m, memoKey[T, K]{key}, load)
		case mine:
			return compute(ctx, m, memoKey[T, K]{key}, e, load)
		}
		select {
		case <-e.done: // also where ctx has ended: the value is there
		default:
			over, stop := patience(within, nestedWait)
			select {
			case <-e.done:
				stop()
			case <-over:
				return run(ctx, chain.LoadAfterWait, m, memoKey[T, K]{key}, load)
			case <-ctx.Done():
				stop()
				return zero, ctx.Err()
			}
		}
		if !e.left {
			return e.value, e.err
		}
	}
}

// take returns the memo of key; mine says that it is new, and the caller's to compute. It is nil when
// there is no room.
func take[T any](m *memos, key any) (e *memo[T], mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, found := m.entries[key]; found {
		return e.(*memo[T]), false
	}
	if len(m.entries) >= m.limit {
		if !m.evict {
			return nil, false
		}
		for other := range m.entries {
			delete(m.entries, other) // who waits for it has it in hand
			break
		}
	}
	if m.entries == nil {
		m.entries = make(map[any]any)
	}
	e = &memo[T]{done: make(chan struct{})}
	m.entries[key] = e
	return e, true
}

func compute[T any](ctx context.Context, m *memos, key any, e *memo[T], load func(context.Context) (T, error)) (T, error) {
	e.err = &PanicError{} // stands where load ends the goroutine
	defer func() {
		if e.err != nil { // is not memoised
			e.left = ctx.Err() != nil
			m.mu.Lock()
			delete(m.entries, key)
			m.mu.Unlock()
		}
		close(e.done)
	}()
	e.value, e.err = run(ctx, chain.Load, m, key, load)
	return e.value, e.err
}

// run runs what computes the memo of key.
func run[T any](ctx context.Context, kind chain.Kind, m *memos, key any, load func(context.Context) (T, error)) (T, error) {
	ctx, link := chain.Enter(ctx, kind, memoID{m, key})
	defer link.End()
	return protect(ctx, load)
}
