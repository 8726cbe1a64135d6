// Package bench compares fxcache on Redis with what an application would use instead. Everything
// runs on one real redis-server in one run. On a noisy machine ratios are meaningful, and times are
// not.
//
// What lives here: a [Peer] for each way to read, a [Tagger] for each way to invalidate a tag, and
// the benchmarks. It is a module of its own, so that the peers never reach a user's build. Run it
// in its folder:
//
//	go test -run '^$' -bench . -benchtime 5s
package bench
