// Package cache is the core of fxcache: the Strategy plug-in point, the Service that applications
// call, and the typed, read-through Cache[T] on top of it.
//
// What lives here: contracts ([Strategy], [Leaser], [Codec], [Clock], [Injector]), the rules that
// hold for every storage (key namespaces, limits, TTLs, leases, single-flight, fail-open reads) and
// the errors. What must not live here: anything that knows a particular storage, the configuration
// library or uber/fx. The package works without fx; see the example of [NewService].
package cache
