// Package fxcache wires a cache and a login-session cache into an uber/fx application:
//
//	fx.New(
//		fxcache.Module,
//		fxcache.ConfigFile("fxcache.yaml"),
//		// the application's own options
//	)
//
// This gives the application *cache.Service, for typed caches, and sessioncache.Sessions, for login
// sessions. Both use the storage strategy that the file names. Both start and stop with the
// application.
//
// This package holds the fx wiring, and Vendure's names as aliases. The parts are in packages
// cache, sessioncache, config and strategies. They work without fx. Tests use package fxtest.
package fxcache
