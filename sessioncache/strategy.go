package sessioncache

import (
	"context"
	"errors"
	"fmt"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// Strategy stores cached sessions. It is a plug-in point. A Strategy may also be a
// driver.Initializer and a driver.Destroyer. Init runs when cache.Service is ready. All methods are
// safe for concurrent use. Errors contain no token.
type Strategy interface {
	// Set stores session under its Token and replaces the previous one. A session without Expires
	// is ErrNoExpires; a Strategy may also return nil. Either way, nothing is found then.
	Set(ctx context.Context, session *CachedSession) error
	// Get returns the session of token. If there is none, found is false and the error is nil. The
	// same holds for a session that has expired or must be read from the database again. The
	// session belongs to the caller.
	Get(ctx context.Context, token string) (session *CachedSession, found bool, err error)
	// Delete removes the session of token. It returns nil only if the session is gone or did not
	// exist.
	Delete(ctx context.Context, token string) error
	// Clear removes all sessions. Before Init it does nothing and returns nil, because applications
	// clear the cache while they fill their database with initial data.
	Clear(ctx context.Context) error
}

// Sessions is the interface that applications call. It is a Strategy that also reads through, and
// closes the races between the database and the cache. [Default] and [Noop] implement it.
type Sessions interface {
	Strategy
	// GetOrLoad returns the session of token from the cache. On a miss it calls load and stores the
	// result. load reads the database. It returns nil or cache.ErrNotFound if there is no such
	// session, and then found is false. An empty token is never found.
	GetOrLoad(ctx context.Context, token string, load Load) (session *CachedSession, found bool, err error)
	// Update stores the result of write. write creates or changes the session in the database and
	// commits. If the session is deleted meanwhile, the result is not stored. A *cache.Error
	// together with a session means that write succeeded, but an older state of the session may
	// still be cached. A session that cannot be stored is not an error here, because the database
	// has it: it is logged, and counted as unstorable. One without Expires is ErrNoExpires.
	Update(ctx context.Context, token string, write Load) (*CachedSession, error)
	// DeleteUser removes all sessions of a user with a single operation. The empty ID is an error.
	DeleteUser(ctx context.Context, user ID) error
	// InvalidateTags removes all sessions that carry any of tags, see Options.Tags. Some unusable
	// tags are a *cache.InvalidKeysError, and hold up none of the others.
	InvalidateTags(ctx context.Context, tags ...string) error
}

// Load reads or writes one session in the application's database and returns its current state.
// Token and CacheExpiry of the result may be empty. ctx carries the values of the first caller.
type Load func(ctx context.Context) (*CachedSession, error)

// Factory makes the session strategy of one name, see driver.Factory.
type Factory struct {
	// Name selects the strategy in `session_cache.strategy` and names its section,
	// `session_cache.<name>`.
	Name string
	// New reads the strategy's own section from cfg and builds the strategy. It does no I/O and
	// starts nothing: Init does that.
	New func(cfg driver.Decoder) (Strategy, error)
}

// ErrNoExpires says that a session has no Expires, so that it counts as ended. It wraps
// cache.ErrNotFound. Load and store Expires together with the rest of the session.
var ErrNoExpires = fmt.Errorf("sessioncache: the session has no Expires, so it has ended: %w", cache.ErrNotFound)

// errNoUser: sessions without a user would be meant, and they have no common tag.
var errNoUser = fmt.Errorf("sessioncache: DeleteUser needs the ID of a user: %w", cache.ErrInvalidKey)

// ErrTokenMismatch says that a session has no token, or another token than the one it was requested
// with. Storing it would let one user act as another.
var ErrTokenMismatch = errors.New("sessioncache: the session's token is not the one it was loaded for")
