package fxcache

import (
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/refreshing"
	"github.com/fxcache/fxcache/sessioncache"
)

// Vendure's names, for readers who come from Vendure.
type (
	// CacheStrategy is Vendure's name of driver.Strategy.
	CacheStrategy = driver.Strategy
	// CacheService is Vendure's name of cache.Service.
	CacheService = cache.Service
	// CacheTtlProvider is Vendure's name of driver.Clock.
	CacheTtlProvider = driver.Clock //nolint:revive // Vendure's spelling
	// SetCacheKeyOptions is Vendure's name of cache.SetOptions.
	SetCacheKeyOptions = cache.SetOptions
	// SelfRefreshingCache is Vendure's name of refreshing.Value.
	SelfRefreshingCache[T any] = refreshing.Value[T]
	// Injector is Vendure's name of driver.Injector.
	Injector = driver.Injector
	// SessionCacheStrategy is Vendure's name of sessioncache.Strategy.
	SessionCacheStrategy = sessioncache.Strategy
	// DefaultSessionCacheStrategy is Vendure's name of sessioncache.Default.
	DefaultSessionCacheStrategy = sessioncache.Default
	// NoopSessionCacheStrategy is Vendure's name of sessioncache.Noop.
	NoopSessionCacheStrategy = sessioncache.Noop
	// CachedSession is Vendure's name of sessioncache.CachedSession.
	CachedSession = sessioncache.CachedSession
	// CachedSessionUser is Vendure's name of sessioncache.User.
	CachedSessionUser = sessioncache.User
	// UserChannelPermissions is Vendure's name of sessioncache.ChannelPermissions.
	UserChannelPermissions = sessioncache.ChannelPermissions
)

// InjectableStrategy is Vendure's name of driver.Initializer and driver.Destroyer together. Here
// each of the two is optional.
type InjectableStrategy interface {
	driver.Initializer
	driver.Destroyer
}
