package memo

import "context"

type scopeKey struct{}

// WithScope returns ctx with a table of its own.
func WithScope(ctx context.Context, table *Table) context.Context {
	return context.WithValue(ctx, scopeKey{}, table)
}

// ScopeOf returns the table of ctx, or nil.
func ScopeOf(ctx context.Context) *Table {
	table, _ := ctx.Value(scopeKey{}).(*Table)
	return table
}

// OutsideScope returns ctx without its table. Loads whose values go into a shared cache run there:
// what a request has memoised may be older than an invalidation that the load came after.
func OutsideScope(ctx context.Context) context.Context {
	if ScopeOf(ctx) == nil {
		return ctx
	}
	return WithScope(ctx, nil)
}
