package cache

import (
	"context"

	"github.com/fxcache/fxcache/cache/internal/memo"
	"github.com/fxcache/fxcache/internal/chain"
)

// ReadThrough returns a context for code that runs within an open transaction of the database. No
// cache can know what a transaction sees: its snapshot may be older than an invalidation, and what
// it has written may be rolled back. With this context
//
//   - GetOrLoad runs its load at once, alone, with this very context, and stores nothing. Get and
//     GetMany are misses. The same holds for package refreshing and the session cache; sessions are
//     not renewed.
//   - Update runs its write and stores nothing. Update, Set and SetMany delete the entry instead,
//     as Delete does. The Refresh of a refreshing.Value is followed by Invalidate.
//   - requestscope.Memo neither uses nor keeps what the request has memoised.
//   - Delete, InvalidateTags and Clear do what they always do.
//
// Until the commit, others may load and store what is about to change. So revoke it once more after
// the commit, or change it in the write of an Update that commits before it returns.
//
// Use it for what runs within the transaction, and the context that it was made of for what comes
// after.
func ReadThrough(ctx context.Context) context.Context {
	ctx, _ = chain.Enter(memo.OutsideScope(ctx), chain.Transaction, nil)
	return ctx
}

// ReadsThrough reports whether ctx is from [ReadThrough]. Caches that are not a [Cache], such as
// session strategies with a storage of their own, ask it.
func ReadsThrough(ctx context.Context) bool { return chain.From(ctx).InTransaction() }

// entryID is what the links of a chain tell of an entry. Two caches of one name share their
// entries.
type entryID struct {
	service  *Service
	physical string
}
