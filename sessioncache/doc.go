// Package sessioncache caches login sessions, so that a request need not read the database to know
// who sends it, and so that a session which was deleted, or whose rights changed, is not served.
//
// What lives here: the [Strategy] plug-in point, [Default] on top of cache.Service, [Noop], and the
// [CachedSession] with its binary form. What must not live here: anything about a particular storage
// or database, and HTTP.
package sessioncache
