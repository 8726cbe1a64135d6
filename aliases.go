package fxcache

import (
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/refreshing"
	"github.com/fxcache/fxcache/sessioncache"
)

// The names of the seed, for those who come from there.
type (
	// CacheStrategy is driver.Strategy.
	CacheStrategy = driver.Strategy
	// CacheService is cache.Service.
	CacheService = cache.Service
	// CacheTtlProvider is driver.Clock.
	CacheTtlProvider = driver.Clock //nolint:revive // the seed's spelling
	// SetCacheKeyOptions is cache.SetOptions.
	SetCacheKeyOptions = cache.SetOptions
	// SelfRefreshingCache is cache.Refreshing.
	SelfRefreshingCache[T any] = refreshing.Value[T]
	// Injector is driver.Injector.
	Injector = driver.Injector
	// SessionCacheStrategy is sessiondriver.Strategy.
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

// InjectableStrategy is driver.Initializer and driver.Destroyer together, which are optional each.
type InjectableStrategy interface {
	driver.Initializer
	driver.Destroyer
}
