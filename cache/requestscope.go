package cache

import "context"

// MaxRequestEntries is how many values [WithRequestScope] memoises.
const MaxRequestEntries = 1000

type scopeKey struct{}

// WithRequestScope is the RequestContextCacheService of the seed: in the context that it returns,
// [Memo] computes each value once. Open a scope where a request comes in, in a middleware; it goes
// with the context. A scope within a scope is a new and empty one, which does not see the outer one:
// it is for a part of the request that must see what another part has changed.
func WithRequestScope(ctx context.Context) context.Context {
	return WithRequestScopeLimit(ctx, MaxRequestEntries)
}

// WithRequestScopeLimit is WithRequestScope with a limit of its own. What comes when that many values
// are memoised is computed each time; so is everything with a limit of zero or less.
func WithRequestScopeLimit(ctx context.Context, entries int) context.Context {
	return context.WithValue(ctx, scopeKey{}, &memos{limit: entries})
}

// outsideScope returns ctx without its request scope. Loads whose values go into a shared cache run
// there: what a request has memoised may be older than an invalidation that the load came after.
func outsideScope(ctx context.Context) context.Context {
	if scope, _ := ctx.Value(scopeKey{}).(*memos); scope == nil {
		return ctx
	}
	return context.WithValue(ctx, scopeKey{}, (*memos)(nil))
}

// Memo is get of the seed's RequestContextCacheService: it returns what load returned when it was
// first asked for key in the request scope of ctx. Without a scope, and with [ReadThrough], it just calls load. It is safe for
// concurrent use.
//
// A key is unique together with its type and T. One of a type of your own cannot meet those of other
// packages; its dynamic type must be comparable, or Memo panics.
//
// load runs on the goroutine of the first caller, with its context; others wait for it, or leave when
// their own context ends. When it fails because the first caller's context has ended, one of those who
// wait runs its own; any other error goes to all who wait, and the next caller tries again. A panic in
// load is a [PanicError], for the first caller too. Zero values and nil are memoised like any other.
// A load that asks for the key that it computes gets ErrRecursiveLoad; one that waits for another's load
// waits for two seconds at most, and then runs its own.
//
// Everybody in the request gets the same value, not a copy: who changes what it points to changes it
// for all.
//
// The loaders of [Cache] and [Refreshing] run outside the scope, because their values outlive the
// request.
func Memo[T any, K comparable](ctx context.Context, key K, load func(context.Context) (T, error)) (T, error) {
	scope, _ := ctx.Value(scopeKey{}).(*memos)
	return memoize(ctx, scope, key, load)
}
