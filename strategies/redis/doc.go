// Package redis is the shared strategy. Entries live in Redis 7.0 or newer, standalone, behind
// Sentinel or in a Cluster, and every instance of an application sees the same ones. Invalidating a
// tag takes effect at once for every reader, and costs one round trip.
//
// docs/redis.md explains how entries, tags and leases are stored. The head of each script says what
// the script reads and writes. Where to look:
//
//	strategy.go                          the public methods
//	store.go                             Init
//	keys.go, entry.go, *.lua             what Redis holds
//	operation.go, bulkhead.go, queue.go  which operations are let in
//	read.go, coalesce.go, taghints.go    reads, and how they share commands
//	write.go, lease.go, orphan.go        stores and leases
//	bodies.go, transfers.go              large values
//	batcher.go, batchread.go             many keys at once
//	revoke.go, replicas.go, clear.go     revocations
//	client.go, failover.go, link.go      the connection
//	fingerprint.go, agreement.go         whether all nodes make the same keys
//	lag.go                               how long revocations wait for the memory of other nodes
//
// The client is rueidis. No other package sees it, unless the application exports its own
// rueidis.Client. The strategy then uses that one, and does not close it.
package redis
