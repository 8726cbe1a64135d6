// Package fxcache wires a cache and a login-session cache into an uber/fx application.
//
//	fx.New(
//		fxcache.Module,
//		fxcache.ConfigFile("fxcache.yaml"),
//		// the application's own options
//	)
//
// gives the application *cache.Service, for typed caches, and sessioncache.Sessions, for log-in
// sessions, on the storage strategy that the file names. Both start and stop with the application.
//
// What lives here: fx wiring, and the seed's names as aliases. The parts are in packages cache,
// sessioncache, config and strategies, and work without fx; tests use package fxtest.
package fxcache
