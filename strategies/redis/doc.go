// Package redis is the shared strategy: entries live in Redis 7.0 or newer, standalone, behind Sentinel
// or in a Cluster, and every instance of an application sees the same. Tags are strict, and cost one
// round trip.
//
// How entries, tags and leases are kept is explained in docs/redis.md; what each script reads and
// writes stands at its head. rueidis is the client; nothing outside of this package sees it, but for an
// application that exports its own rueidis.Client, which is then used and not closed.
package redis
