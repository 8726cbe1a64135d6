package fxcache

import (
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// The names of the seed, for those who come from there.
type (
	// CacheStrategy is cache.Strategy.
	CacheStrategy = cache.Strategy
	// CacheService is cache.Service.
	CacheService = cache.Service
	// CacheTtlProvider is cache.Clock.
	CacheTtlProvider = cache.Clock //nolint:revive // the seed's spelling
	// SetCacheKeyOptions is cache.SetOptions.
	SetCacheKeyOptions = cache.SetOptions
	// SelfRefreshingCache is cache.Refreshing.
	SelfRefreshingCache[T any] = cache.Refreshing[T]
	// Injector is cache.Injector.
	Injector = cache.Injector
	// SessionCacheStrategy is sessioncache.Strategy.
	SessionCacheStrategy = sessioncache.Strategy
	// DefaultSessionCacheStrategy is sessioncache.Default.
	DefaultSessionCacheStrategy = sessioncache.Default
	// NoopSessionCacheStrategy is sessioncache.Noop.
	NoopSessionCacheStrategy = sessioncache.Noop
	// CachedSession is sessioncache.CachedSession.
	CachedSession = sessioncache.CachedSession
	// CachedSessionUser is sessioncache.User.
	CachedSessionUser = sessioncache.User
	// UserChannelPermissions is sessioncache.ChannelPermissions.
	UserChannelPermissions = sessioncache.ChannelPermissions
)

// InjectableStrategy is cache.Initializer and cache.Destroyer together, which are optional each.
type InjectableStrategy interface {
	cache.Initializer
	cache.Destroyer
}
