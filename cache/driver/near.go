package driver

import (
	"context"
	"time"
)

// Near is an optional part of a Strategy that keeps copies of entries in the process, in front of a
// storage outside of it. The Service asks for a copy first, without a deadline, and also while the
// circuit breaker leaves the storage alone. Get, GetHinted and GetMany do both with the strategy's
// own options.
//
// A decorator that replaces what reads entries replaces this part too, or takes it away: the
// Service prefers it.
type Near interface {
	// GetNear returns the copy of an entry, if there is one that may be served now. It never waits.
	// If found is false, the storage may have the entry all the same.
	GetNear(key string) (value []byte, found bool)
	// GetFar reads an entry from the storage as GetHinted does, or as Get if tags is nil, and may
	// keep a copy.
	GetFar(ctx context.Context, key string, tags []string, copies CopyOptions) (value []byte, found bool, err error)
	// GetManyFar is Batcher.GetMany likewise.
	GetManyFar(ctx context.Context, keys, tags []string, copies CopyOptions) []Result
}

// CopyOptions say whether the entries of one cache may be copied into the process. The zero value
// leaves it to the strategy.
type CopyOptions struct {
	// Off: no copy is served, and none is made.
	Off bool
	// TTL is how long a copy may be served at most. Zero means the strategy's own, and so does more
	// than that.
	TTL time.Duration
}
