package bench

import (
	"context"
	"time"
)

// Namespace begins the keys and tags that a Peer or Tagger is given: it is what the redis strategy
// expects of a cache.Service.
const Namespace = "bench:"

// TTL is the lifetime of every entry. None expires while a benchmark runs.
const TTL = time.Hour

// Peer is one way to keep values in Redis. It is safe for concurrent use.
type Peer[V any] interface {
	// Set stores value under key for TTL.
	Set(ctx context.Context, key string, value V) error
	// Get reads it back. A key that was never set is a miss, not an error.
	Get(ctx context.Context, key string) (value V, found bool, err error)
	// Close ends the connections.
	Close() error
}

// Tagger is one way to keep entries in Redis that can be invalidated by a tag.
type Tagger interface {
	// Load stores an entry with tag under each of keys. It is there to fill the server, and quick.
	Load(ctx context.Context, tag string, keys []string) error
	// Found reports whether key has an entry.
	Found(ctx context.Context, key string) (bool, error)
	// InvalidateTag makes every entry with tag a miss.
	InvalidateTag(ctx context.Context, tag string) error
	// Close ends the connections.
	Close() error
}
