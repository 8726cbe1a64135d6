package cache

import (
	"context"

	"github.com/fxcache/fxcache/cache/internal/memo"
	"github.com/fxcache/fxcache/internal/chain"
)

// ReadThrough returns a context for code that runs within an open transaction of the database. A
// cache cannot know what a transaction sees. Its snapshot may be older than an invalidation, and
// its writes may be rolled back. With this context
//
//   - GetOrLoad runs its load at once, with this context and for this caller alone, and stores
//     nothing. Get and GetMany are misses. The same holds for package refreshing and the session
//     cache. Sessions are not renewed.
//   - Update runs its write and stores nothing. Update, Set and SetMany delete the entry instead.
//     The Refresh of a refreshing.Value is followed by Invalidate.
//   - requestscope.Memo neither uses nor keeps what the request has memoised.
//   - Delete, InvalidateTags and Clear work as usual.
//
// Until the commit, others may load and store the rows that are about to change. So revoke the
// entries once more after the commit. Or make the change in the write of an Update that commits
// before it returns.
//
// Use this context within the transaction only, and ctx after it.
func ReadThrough(ctx context.Context) context.Context {
	ctx, _ = chain.Enter(memo.OutsideScope(ctx), chain.Transaction, nil)
	return ctx
}

// ReadsThrough reports whether ctx comes from [ReadThrough]. It is for caches other than [Cache],
// such as a session strategy with a storage of its own.
func ReadsThrough(ctx context.Context) bool { return chain.From(ctx).InTransaction() }

// entryID identifies an entry in the chain of nested loads. Two caches of one name share their
// entries, so it does not hold the cache.
type entryID struct {
	store    *store
	physical string
}
