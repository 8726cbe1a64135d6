package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// NewSession returns the session of a customer, of whom there are many; number is at most 6 digits.
// It has no token, which belongs to a key.
func NewSession(number int) *sessioncache.CachedSession {
	return &sessioncache.CachedSession{
		ID: sessioncache.ID(fmt.Sprintf("1%06d", number)), Expires: time.UnixMilli(4_102_444_800_123).UTC(), // in 2100
		CacheExpiry: time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC(), ActiveOrderID: "774411", ActiveChannelID: "1",
		AuthenticationStrategy: "native",
		User: &sessioncache.User{
			ID: sessioncache.ID(fmt.Sprintf("9%06d", number)), Identifier: "hayden.zieme12@example.com", Verified: true,
			ChannelPermissions: []sessioncache.ChannelPermissions{{
				ID: "1", Token: cache.NewSecret("hvdz4ugk3mzc8tdw9pyk"), Code: "__default_channel__",
				Permissions: []string{"Authenticated", "Owner"},
			}},
		},
	}
}

// Sessions is Get of sessioncache.Default on a Service on the redis strategy: what an application
// calls. The rest of the key behind Namespace is the token.
type Sessions struct {
	service  *cache.Service
	sessions *sessioncache.Default
}

// NewSessions connects to one server. The timeout is long if options has none.
func NewSessions(ctx context.Context, addr string, options cache.Options) (*Sessions, error) {
	_, service, err := open(ctx, addr, options)
	if err != nil {
		return nil, err
	}
	container := dig.New()
	if err := service.ProvideTo(container); err != nil {
		return nil, errors.Join(err, service.Stop(ctx))
	}
	// StaleAfter is long, so that a session keeps the CacheExpiry that it has.
	sessions, err := sessioncache.New(sessioncache.Options{StaleAfter: 24 * time.Hour})
	if err == nil {
		err = sessions.Init(ctx, container)
	}
	if err != nil {
		return nil, errors.Join(err, service.Stop(ctx))
	}
	return &Sessions{service, sessions}, nil
}

// Set implements Peer.
func (s *Sessions) Set(ctx context.Context, key string, session *sessioncache.CachedSession) error {
	session = session.Clone()
	session.Token = cache.NewSecret(strings.TrimPrefix(key, Namespace))
	return s.sessions.Set(ctx, session)
}

// Get implements Peer.
func (s *Sessions) Get(ctx context.Context, key string) (*sessioncache.CachedSession, bool, error) {
	return s.sessions.Get(ctx, strings.TrimPrefix(key, Namespace))
}

// Close implements Peer.
func (s *Sessions) Close() error { return s.service.Stop(context.Background()) }
