// Package sessioncache caches login sessions. A request then need not read the database to know who
// sends it. A session that was deleted, or whose permissions changed, is not served.
//
// This package holds the [Strategy] plug-in point, [Default] on top of cache.Service, [Noop], and
// [CachedSession] with its binary encoding. It must not contain code for a particular storage or
// database, or for HTTP.
package sessioncache
