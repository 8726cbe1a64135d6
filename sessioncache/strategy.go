package sessioncache

import (
	"context"
	"errors"

	"github.com/fxcache/fxcache/cache/driver"
)

// Strategy is the SessionCacheStrategy of the seed: where sessions are cached, and a plug-in point.
// A Strategy may be a driver.Initializer and a driver.Destroyer; Init runs when cache.Service is ready.
// All methods are safe for concurrent use. Errors contain no token.
type Strategy interface {
	// Set stores session under its Token and replaces what was there.
	Set(ctx context.Context, session *CachedSession) error
	// Get returns the session of token. Not found is false and nil; so is a session that has
	// expired, or that must be read from the database again. The session belongs to the caller.
	Get(ctx context.Context, token string) (session *CachedSession, found bool, err error)
	// Delete removes the session of token. It returns nil only when it is gone, or was not there.
	Delete(ctx context.Context, token string) error
	// Clear removes all sessions. Before Init it does nothing and returns nil: applications clear
	// the cache while they seed their database.
	Clear(ctx context.Context) error
}

// Sessions is what applications call: a Strategy that also reads through, and closes the races
// between the database and the cache. [Default] and [Noop] implement it.
type Sessions interface {
	Strategy
	// GetOrLoad returns the session of token from the cache, or from load, whose result it stores.
	// load reads the database; it returns nil or cache.ErrNotFound where there is no such session,
	// and then found is false. An empty token is never found.
	GetOrLoad(ctx context.Context, token string, load Load) (session *CachedSession, found bool, err error)
	// Update stores what write returns. write creates or changes the session in the database and
	// commits; a deletion in between wins. A *cache.Error beside a session means that write was done,
	// but that an older state may still be cached.
	Update(ctx context.Context, token string, write Load) (*CachedSession, error)
	// DeleteUser removes all sessions of a user, at the cost of one operation.
	DeleteUser(ctx context.Context, user ID) error
	// InvalidateTags removes all sessions that carry any of tags; see Options.Tags.
	InvalidateTags(ctx context.Context, tags ...string) error
}

// Load reads or writes one session in the application's database and returns it as it is now. Token
// and CacheExpiry of the result may be left empty. ctx carries the values of the first caller.
type Load func(ctx context.Context) (*CachedSession, error)

// Factory makes the session strategy of one name; see driver.Factory.
type Factory struct {
	// Name selects the strategy in `session_cache.strategy` and names its section,
	// `session_cache.<name>`.
	Name string
	// New reads the strategy's own section from cfg and builds the strategy. It does no I/O and
	// starts nothing: that is for Init.
	New func(cfg driver.Decoder) (Strategy, error)
}

// ErrTokenMismatch says that there is a session without a token, or one that has another token than it was asked for.
// Storing it would let one user act as another.
var ErrTokenMismatch = errors.New("sessioncache: the session's token is not the one it was loaded for")
