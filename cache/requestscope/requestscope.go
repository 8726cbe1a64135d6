// Package requestscope computes a value once for each request (Vendure's
// RequestContextCacheService). A middleware opens a scope with [With]; [Memo] uses it. It needs no
// cache and no storage.
package requestscope

import (
	"context"

	"github.com/fxcache/fxcache/cache/internal/memo"
)

// DefaultLimit is how many values a scope of [With] keeps.
const DefaultLimit = 1000

// With opens a scope: in the context that it returns, [Memo] computes each value once. A scope
// within a scope is a new and empty one, which does not see the outer one. It is for a part of the
// request that must see what another part has changed.
func With(ctx context.Context) context.Context { return WithLimit(ctx, DefaultLimit) }

// WithLimit is With with a limit of its own. A value that comes when the scope is full is computed
// each time. So is every value if the limit is zero or less.
func WithLimit(ctx context.Context, entries int) context.Context {
	return memo.WithScope(ctx, &memo.Table{Limit: entries})
}

// Memo returns what load returned when it was first asked for key in the scope of ctx. Without a
// scope, and with cache.ReadThrough, it just calls load. It is safe for concurrent use.
//
// A key is unique together with its type and T. A key of a type of your own cannot collide with
// those of other packages. Its dynamic type must be comparable, or Memo panics.
//
// load runs on the goroutine of the first caller, with its context. Others wait for it, or leave
// when their own context ends. If it fails because the first caller's context has ended, one of the
// others runs its own. Any other error goes to everybody who waits, and the next caller tries
// again. A panic in load is a cache.PanicError, for the first caller too. Zero values and nil are
// kept like any other. A load that asks for the key that it computes gets cache.ErrRecursiveLoad. A
// load that waits for another's load waits for two seconds at most, and then runs its own.
//
// Everybody in the request gets the same value, not a copy: whoever changes what it points to
// changes it for all.
//
// The loaders of cache.Cache and refreshing.Value run outside the scope, because their values
// outlive the request.
func Memo[T any, K comparable](ctx context.Context, key K, load func(context.Context) (T, error)) (T, error) {
	return memo.Compute(ctx, memo.ScopeOf(ctx), key, load)
}
