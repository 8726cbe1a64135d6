package sessioncache

import (
	"context"
	"errors"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/chain"
	"github.com/fxcache/fxcache/internal/panics"
)

// Noop is a session cache that stores nothing, so every request reads the database. The zero value
// is ready for use. It is safe for concurrent use.
type Noop struct {
	// Clock tells which sessions have expired. Nil means driver.SystemClock.
	Clock driver.Clock
}

var _ Sessions = Noop{}

// Set implements Strategy.
func (Noop) Set(_ context.Context, session *CachedSession) error {
	if session != nil && session.Expires.IsZero() {
		return ErrNoExpires
	}
	return nil
}

// Get implements Strategy. It never finds a session.
func (Noop) Get(context.Context, string) (*CachedSession, bool, error) { return nil, false, nil }

// Delete implements Strategy.
func (Noop) Delete(context.Context, string) error { return nil }

// Clear implements Strategy.
func (Noop) Clear(context.Context) error { return nil }

// noopID identifies a session that is not cached in a chain of nested calls.
type noopID struct{ token string }

// GetOrLoad implements Sessions by calling load.
func (n Noop) GetOrLoad(ctx context.Context, token string, load Load) (*CachedSession, bool, error) {
	if token == "" {
		return nil, false, nil
	}
	if within := chain.From(ctx); within != nil && within.To(noopID{token}) == chain.Loading {
		return nil, false, cache.ErrRecursiveLoad // instead of an endless recursion
	}
	ctx, link := chain.Enter(ctx, chain.Load, noopID{token})
	defer link.End()
	session, err := n.Update(ctx, token, load)
	if errors.Is(err, cache.ErrNotFound) {
		return nil, false, nil
	}
	return session, err == nil, err
}

// Update implements Sessions by calling write.
func (n Noop) Update(ctx context.Context, token string, write Load) (session *CachedSession, err error) {
	if write == nil {
		return nil, panics.ErrNil
	}
	defer panics.Catch(&err) // as Default does
	session, err = write(ctx)
	if err != nil {
		return nil, err
	}
	clock := n.Clock
	if clock == nil {
		clock = driver.SystemClock{}
	}
	if session != nil && session.Expires.IsZero() {
		return nil, ErrNoExpires
	}
	if session == nil || session.Expired(clock.Now()) {
		return nil, cache.ErrNotFound
	}
	if !session.Token.IsZero() && session.Token.Reveal() != token {
		return nil, ErrTokenMismatch
	}
	returned := *session
	returned.Token, returned.CustomFields = cache.NewSecret(token), restored(session.CustomFields) // as Default returns it
	return &returned, nil
}

// DeleteUser implements Sessions.
func (Noop) DeleteUser(_ context.Context, user ID) error {
	if user == "" {
		return errNoUser
	}
	return nil
}

// InvalidateTags implements Sessions.
func (Noop) InvalidateTags(context.Context, ...string) error { return nil }
